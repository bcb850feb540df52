"""Data and tokens, made ahead of a run.

  prod_jax prepare --config=configs/quickstart.py --workdir=runs/quickstart

Downloads, builds and tokenises what a config's `data` section names, for each
of its models, so that the run itself starts at once. Processes of this machine
write the shards, or Apache Beam where it is installed and a runner is named:

  … --beam=--runner=DirectRunner --beam=--direct_num_workers=8

Workers of a runner elsewhere have to see `data.path` and `data.data_dir`.
"""

import argparse
import sys

from absl import logging

from prod_jax import strict
from prod_jax.cli import arguments


def build(parser: arguments.Parser) -> None:
  parser.add_config()
  parser.add_workdir(written=True)
  parser.add_argument(
    "--beam",
    metavar="OPTION",
    action="append",
    default=[],
    help="An option of Beam's pipeline, such as --runner=DirectRunner.",
  )
  parser.add_json("the number of texts and tokens of each part")


def run(args: argparse.Namespace) -> None:
  config = arguments.config_of(args)
  from prod_jax import memory, storage

  memory.limit_arenas()  # before anything starts threads
  with memory.imports():
    from prod_jax.processes import Processes
    from prod_jax.stages import files, splits
    from prod_jax.stages.run import Run

  workdir = storage.open_path(args.workdir)
  run = Run(config, Processes(workdir), tuple(args.beam))
  files.check(run)
  try:
    splits.check(config, run.dataset)
  except strict.ConfigError as error:  # what is there is prepared all the same
    logging.warning("a run would stop here: %s", error)
  # Models that agree share their tokens.
  made = {id(x): x for x in map(run.tokens_of, config.models or [""])}
  rows = [
    {
      "set": run.dataset.name,
      "part": name,
      "texts": len(texts),
      "tokens": int(texts.lengths().sum()),
    }
    for tokens in made.values()
    for name, texts in {"passages": tokens.passages, **tokens.queries}.items()
  ]
  if args.json:
    arguments.say_json(rows)
    return
  for row in rows:
    sys.stdout.write("\t".join(map(str, row.values())) + "\n")


if __name__ == "__main__":
  arguments.start(__name__)
