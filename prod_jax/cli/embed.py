"""python -m prod_jax.cli.embed --workdir=DIR --stage=NAME --to=FILE TEXTS

Embeds the texts of a file with what a train stage has made. TEXTS has lines of
id TAB text, of id TAB title TAB text, or JSON objects with _id, text and
perhaps title. FILE ends in .npy, with the ids beside it in NAME.ids.txt, or in
.parquet.
"""

import pathlib
import sys

from absl import flags

from prod_jax import storage
from prod_jax.cli import arguments
from prod_jax.export import finished, vectors

_WORKDIR = arguments.workdir_flag()
_STAGE = flags.DEFINE_string(
  "stage", None, "The train stage whose model embeds.", required=True
)
_TO = flags.DEFINE_string(
  "to", None, "File to write, .npy or .parquet.", short_name="o", required=True
)
_TOWER = flags.DEFINE_enum(
  "tower", "passage", ["query", "passage"], "What the texts are."
)


def main(texts: str) -> None:
  trained = finished.open_stage(storage.open_path(_WORKDIR.value), _STAGE.value)
  source, to = pathlib.Path(texts), pathlib.Path(_TO.value)
  tower: vectors.Tower = "query" if _TOWER.value == "query" else "passage"
  rows = vectors.embed_file(trained, source, to, tower)
  sys.stdout.write(f"{to}\t{rows}\n")


if __name__ == "__main__":
  arguments.start_alone(main, "TEXTS")
