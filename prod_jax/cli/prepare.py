"""python -m prod_jax.cli.prepare --config=FILE[:part,…] --workdir=DIR

Downloads, builds and tokenises what a config's `data` section names, so that
the run itself starts at once. Processes of this machine write the shards, or
Apache Beam where it is installed and a runner is named:

  … --beam=--runner=DirectRunner --beam=--direct_num_workers=8

Workers of a runner elsewhere have to see `data.path` and `data.data_dir`.
"""

import sys

from absl import app, flags, logging

from prod_jax import config_file, storage, strict
from prod_jax.processes import Processes
from prod_jax.sets.records import DataError
from prod_jax.stages.run import Run

_CONFIG = flags.DEFINE_string("config", None, "As prod_jax.main takes it.")
_WORKDIR = flags.DEFINE_string("workdir", None, "The same; holds the tokens.")
_BEAM = flags.DEFINE_multi_string("beam", [], "An option of Beam's pipeline.")


def main(argv: list[str]) -> None:
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  try:
    run = Run(
      config_file.load(_CONFIG.value),
      Processes(storage.open_path(_WORKDIR.value)),
      tuple(_BEAM.value),
    )
    tokens = run.tokens
  except (strict.ConfigError, DataError) as error:
    logging.error("%s", error)
    sys.exit(2)
  total = int(tokens.passages.lengths().sum())
  sys.stdout.write(
    f"{run.dataset.name}\tpassages\t{len(tokens.passages)}\t{total}\n"
  )
  for split, rows in tokens.queries.items():
    sys.stdout.write(
      f"{run.dataset.name}\t{split}\t{len(rows)}\t{int(rows.lengths().sum())}\n"
    )


if __name__ == "__main__":
  logging.set_verbosity(logging.INFO)
  flags.mark_flags_as_required(["config", "workdir"])
  app.run(main)
