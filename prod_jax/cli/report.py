"""python -m prod_jax.cli.report WORKDIR… > docs/RESULTS.md

The tables of one or more runs as Markdown, from what their stages measured.
"""

import sys

from absl import app

from prod_jax import report


def main(argv: list[str]) -> None:
  if len(argv) < 2:
    raise app.UsageError("name at least one workdir")
  sys.stdout.write(report.write_results_markdown(argv[1:]))


if __name__ == "__main__":
  app.run(main)
