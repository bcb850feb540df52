"""Arms of configs/study.py as figures, and the figures as docs/STUDY.md.

    python -m benchmarks.study collect WORKDIR [WORKDIR ...] --name=NAME
    python -m benchmarks.study page

The first reads what a run has left, whole or not, or several runs that differ
in their seeds, and writes `benchmarks/studies/NAME.json`. The second writes the
page and its plots of all that lie there, with what a Markdown file of that
name, written by hand, says of one.
"""

import argparse
import json
import pathlib
import re

from benchmarks import study_figures, study_page
from prod_jax.cli import arguments
from prod_jax.report.markup import render

FOLDER = pathlib.Path(__file__).parent / "studies"
DOCS = pathlib.Path(__file__).parents[1] / "docs"
PAGE = "STUDY.md"


def files() -> dict[pathlib.Path, str]:
  """What is written, and where."""
  studies = {
    path.stem: json.loads(path.read_text())
    for path in sorted(FOLDER.glob("*.json"))
  }
  pictures = {
    DOCS / f"study-{name}.svg": render(study_page.picture(name, study)) + "\n"
    for name, study in studies.items()
  }
  notes = {path.stem: path.read_text() for path in FOLDER.glob("*.md")}
  return {DOCS / PAGE: study_page.page(studies, notes), **pictures}


def main() -> None:
  """Collects a run, or writes the page."""
  parser = argparse.ArgumentParser(description=__doc__)
  commands = parser.add_subparsers(dest="command", required=True)
  collecting = commands.add_parser("collect")
  collecting.add_argument("workdir", nargs="+")
  collecting.add_argument("--name", type=_name, required=True)
  commands.add_parser("page")
  asked = parser.parse_args()
  if asked.command == "page":
    for path, text in files().items():
      path.write_text(text)
    return
  with arguments.ending():
    figures = study_figures.collect(*asked.workdir)
  FOLDER.mkdir(exist_ok=True)
  path = FOLDER / f"{asked.name}.json"
  path.write_text(json.dumps(figures, indent=1) + "\n")


def _name(text: str) -> str:
  """The name of a study, which is that of its files."""
  if not re.fullmatch(r"[\w-]+", text):
    raise argparse.ArgumentTypeError(
      f"{text!r} has more than letters, digits, - and _"
    )
  return text


if __name__ == "__main__":
  main()
