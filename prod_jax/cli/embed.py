"""Texts of a file to vectors, with what a train stage has made.

  prod_jax embed --workdir=runs/tiny --stage=student_de texts.tsv -o out.npy

TEXTS has lines of id TAB text, of id TAB title TAB text, or JSON objects with
_id, text and perhaps title. FILE ends in .npy, with the ids beside it in
NAME.ids.txt, or in .parquet.
"""

import argparse
import pathlib
import sys

from prod_jax.cli import arguments


def build(parser: arguments.Parser) -> None:
  parser.add_argument("texts", metavar="TEXTS", help="File of texts to embed.")
  parser.add_workdir()
  parser.add_argument(
    "--stage",
    metavar="NAME",
    required=True,
    help="The train stage whose model embeds.",
  )
  parser.add_argument(
    "--to",
    "-o",
    metavar="FILE",
    type=arguments.place,
    required=True,
    help="File to write, .npy or .parquet.",
  )
  parser.add_argument(
    "--tower",
    choices=["query", "passage"],
    default="passage",
    help="What kind of texts they are.",
  )
  parser.add_argument(
    "--on_error",
    choices=["raise", "skip"],
    default="raise",
    help="What to do with a line that is no text.",
  )
  parser.add_json("the file and its number of rows")


def run(args: argparse.Namespace) -> None:
  from prod_jax import memory, storage

  with memory.imports():
    from prod_jax.export import finished, vectors

  trained = finished.open_stage(storage.open_path(args.workdir), args.stage)
  source, to = pathlib.Path(args.texts), pathlib.Path(args.to)
  rows = vectors.embed_file(trained, source, to, args.tower, args.on_error)
  if args.json:
    arguments.say_json({"file": str(to), "rows": rows})
  else:
    sys.stdout.write(f"{to}\t{rows}\n")


if __name__ == "__main__":
  arguments.start(__name__)
