"""python -m prod_jax.cli.export --workdir=DIR --stage=NAME --to=DIR

Writes what a train stage has made as a folder that sentence-transformers and
transformers load. The run's config is read from its working folder.
"""

import pathlib

from absl import flags

from prod_jax import storage
from prod_jax.cli import arguments
from prod_jax.export import finished, whole

_WORKDIR = arguments.workdir_flag()
_STAGE = flags.DEFINE_string(
  "stage", None, "The train stage whose model is written.", required=True
)
_TO = flags.DEFINE_string(
  "to", None, "Folder to write; it appears there whole.", required=True
)
_OVERWRITE = flags.DEFINE_bool(
  "overwrite", False, "Replace an export that is there."
)


def main() -> None:
  trained = finished.open_stage(storage.open_path(_WORKDIR.value), _STAGE.value)
  options = whole.Options(
    to=pathlib.Path(_TO.value).resolve(), overwrite=_OVERWRITE.value
  )
  whole.export(trained, options)


if __name__ == "__main__":
  arguments.start_alone(main)
