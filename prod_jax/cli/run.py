"""The stages of a config, run in a working folder.

  prod_jax run --config=configs/quickstart.py --workdir=runs/quickstart

A second run skips what is done; a killed one goes on from its last checkpoint
or block. SIGTERM saves and ends with 75. --dry_run shows what would be run.
"""

import argparse

from prod_jax import strict
from prod_jax.cli import arguments


def build(parser: arguments.Parser) -> None:
  parser.add_config()
  parser.add_workdir(written=True)
  parser.add_argument(
    "--stages",
    metavar="NAMES",
    type=arguments.names,
    default=[],
    help="Run only these stages, separated by commas; what they read must be "
    "done.",
  )
  parser.add_switch(
    "dry_run",
    "Print the stages and what of them is done, then stop. Nothing is written, "
    "downloaded or prepared.",
  )
  parser.add_json("what --dry_run shows")
  parser.add_argument(
    "--trace",
    metavar="STAGE:FROM:TO",
    default="",
    help="Profile these steps of a stage, from 1 on, into WORKDIR/traces: of "
    "training, or batches of texts where a stage reads them.",
  )
  parser.add_argument(
    "--coordinator",
    metavar="HOST:PORT",
    default="",
    help="Address of process 0, where a run has several; on TPU VMs it is "
    "found.",
  )
  parser.add_argument(
    "--processes",
    metavar="N",
    type=int,
    default=0,
    help="How many processes the run has; on TPU VMs it is found.",
  )
  parser.add_argument(
    "--process_id",
    metavar="N",
    type=int,
    default=-1,
    help="Which process of the run this is, from 0; on TPU VMs it is found.",
  )


def run(args: argparse.Namespace) -> None:
  if args.json and not args.dry_run:
    raise strict.ConfigError("--json is of --dry_run; status has its own")
  from prod_jax import memory

  memory.limit_arenas()  # before anything starts threads
  config = arguments.config_of(args)
  with memory.imports():
    from prod_jax import main

  main.main(config, args)


if __name__ == "__main__":
  arguments.start(__name__)
