"""Where a run stands, now or afterwards, and what is left of it.

  prod_jax status runs/quickstart

Needs the working folder alone, on a disk or in a bucket. A stage is done,
skipped, running, unfinished (a kill has stopped it, and it goes on from what is
kept), stale (work of another config, and why it runs again) or pending. The
time of stages that have not begun is told by those of their kind.
"""

import argparse

from prod_jax.cli import arguments


def build(parser: arguments.Parser) -> None:
  parser.add_argument(
    "workdir", metavar="WORKDIR", help="Working folder of a run."
  )
  parser.add_json("all of it")


def run(args: argparse.Namespace) -> None:
  from prod_jax import storage
  from prod_jax.status import look, said

  found = look.look(storage.open_path(args.workdir))
  if args.json:
    arguments.say_json(said.record(found))
  else:
    arguments.say(*said.lines(found))


if __name__ == "__main__":
  arguments.start(__name__)
