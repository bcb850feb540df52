"""python -m prod_jax.cli.prepare --config=FILE[:part,…] --workdir=DIR

Downloads, builds and tokenises what a config's `data` section names, for each
of its models, so that the run itself starts at once. Processes of this machine
write the shards, or Apache Beam where it is installed and a runner is named:

  … --beam=--runner=DirectRunner --beam=--direct_num_workers=8

Workers of a runner elsewhere have to see `data.path` and `data.data_dir`.
"""

import sys

from absl import flags

from prod_jax import storage
from prod_jax.cli import arguments
from prod_jax.config import Config
from prod_jax.processes import Processes
from prod_jax.stages import files
from prod_jax.stages.run import Run

arguments.config_flag()
_WORKDIR = arguments.workdir_flag()
_BEAM = flags.DEFINE_multi_string(
  "beam", [], "An option of Beam's pipeline, such as --runner=DirectRunner."
)


def main(config: Config) -> None:
  workdir = storage.open_path(_WORKDIR.value)
  run = Run(config, Processes(workdir), tuple(_BEAM.value))
  files.check(run)
  # Models that agree share their tokens.
  made = {id(x): x for x in map(run.tokens_of, config.models or [""])}
  for tokens in made.values():
    for name, rows in {"passages": tokens.passages, **tokens.queries}.items():
      total = int(rows.lengths().sum())
      sys.stdout.write(f"{run.dataset.name}\t{name}\t{len(rows)}\t{total}\n")


if __name__ == "__main__":
  arguments.start(main)
