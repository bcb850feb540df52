"""A model's pickled weights (.bin, .pt) to safetensors, with torch.

  prod_jax convert downloads/old-model --to=models/old-model

Writes the folder anew, with the weights of modules in folders within it too;
all its other files are copied. Needs the extra `torch`, whose reader of weights
runs no code of a file.
"""

import argparse
import pathlib
import sys

from prod_jax import strict
from prod_jax.cli import arguments


def build(parser: arguments.Parser) -> None:
  parser.add_argument("folder", metavar="FOLDER", help="Folder of a model.")
  parser.add_argument(
    "--to",
    metavar="DIR",
    type=arguments.place,
    required=True,
    help="Folder to write; it is new or empty.",
  )
  parser.add_json("the folder and the files that were converted")


def run(args: argparse.Namespace) -> None:
  from prod_jax.models import pickled
  from prod_jax.models.weights import WeightsError

  try:
    converted = pickled.convert(
      pathlib.Path(args.folder), pathlib.Path(args.to)
    )
  except WeightsError as error:
    raise strict.ConfigError(str(error)) from error
  if args.json:
    arguments.say_json({"folder": args.to, "files": [*map(str, converted)]})
    return
  for path in converted:
    sys.stdout.write(f"{path}\n")
  sys.stdout.write(f'weights="{args.to}"\n')


if __name__ == "__main__":
  arguments.start(__name__)
