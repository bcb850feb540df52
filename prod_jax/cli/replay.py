"""Where the first number arises that stopped a run as not finite.

  prod_jax replay runs/quickstart
  JAX_PLATFORMS=cpu prod_jax replay runs/quickstart --stage=student_de

A run that stops for a loss or gradient that is no number has kept the batch.
Here its step is done again on one device, of the newest state that was kept
before it: first compiled, as the run did it, then operation by operation, to
name the part of a model or the line of a loss that made something not finite
of finite numbers, or the parameter, score or vector that came in so.
"""

import argparse

from prod_jax.cli import arguments


def build(parser: arguments.Parser) -> None:
  parser.add_argument(
    "workdir", metavar="WORKDIR", help="Working folder of a run."
  )
  parser.add_argument(
    "--stage",
    metavar="NAME",
    default="",
    help="Train stage that has stopped; needed where several have.",
  )
  parser.add_switch(
    "redo",
    "Do the steps between the kept state and that step again first. It takes "
    "their time, and the data of the run.",
  )


def run(args: argparse.Namespace) -> None:
  from prod_jax import memory, storage

  with memory.imports():
    from prod_jax.export import finished
    from prod_jax.stages import replay

  of = finished.open_run(storage.open_path(args.workdir))
  arguments.say(*replay.lines(replay.replay(of, args.stage, redo=args.redo)))


if __name__ == "__main__":
  arguments.start(__name__)
