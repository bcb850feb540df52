"""python -m prod_jax.cli.distilbert FOLDER TARGET

Writes the DistilBERT of one folder as a BERT into another, which is what a
config's `weights` takes.
"""

import logging as stdlib_logging
import sys

from absl import app, logging

from prod_jax.models import distilbert


def main(argv: list[str]) -> None:
  if len(argv) != 3:
    raise app.UsageError("name a folder to read and a folder to write")
  logging.get_absl_handler().setFormatter(stdlib_logging.Formatter())
  try:
    config = distilbert.convert(*argv[1:])
  except (ValueError, OSError) as error:
    logging.error("%s", error)
    sys.exit(2)
  print(f"{argv[2]}: {config.depth} layers of width {config.width}")


if __name__ == "__main__":
  app.run(main)
