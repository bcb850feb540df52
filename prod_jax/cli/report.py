"""Figures of runs as Markdown, from what their stages measured.

  prod_jax report runs/quickstart > docs/RESULTS.md

What a run has not come to yet is left out.
"""

import argparse
import sys

from prod_jax import strict
from prod_jax.cli import arguments


def build(parser: arguments.Parser) -> None:
  parser.add_argument(
    "workdirs",
    metavar="WORKDIR…",
    nargs="+",
    help="Working folders of runs, one or more.",
  )


def run(args: argparse.Namespace) -> None:
  from prod_jax import report

  try:
    page = report.write_results_markdown(args.workdirs)
  except FileNotFoundError as error:
    raise strict.ConfigError(str(error)) from error
  sys.stdout.write(page)


if __name__ == "__main__":
  arguments.start(__name__)
