"""docs/RELIABILITY.md, of all JSON in benchmarks/reliability.

    python -m tests.chaos.page

Nothing is typed in by hand: each file was written by the command that it names.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

REPO = pathlib.Path(__file__).parents[2]
FOLDER = REPO / "benchmarks" / "reliability"
PAGE = REPO / "docs" / "RELIABILITY.md"
# In the order of the page, with a title for one that was not run.
FILES = {
  "faults.json": "Faults",
  "inputs.json": "Bad input",
  "fuzzing.json": "Fuzzing",
  "memory.json": "Long and large",
  "hostile.json": "Hostile files",
  "security.json": "Known weaknesses of the locked packages",
}
_HEAD = """\
# Reliability

What was done to prod_jax, and what came of it. This page is rendered from
`benchmarks/reliability/` by `make chaos`; each table is what the command above
it has written. A fault passes where the same command then gives the same
results, to the last bit, or says in one line what is wrong and what to do.
"""


def render(folder: pathlib.Path = FOLDER) -> str:
  """The page of the files in a folder."""
  parts = [_HEAD]
  for name, title in FILES.items():
    path = folder / name
    if path.exists():
      parts.append(_section(json.loads(path.read_text(encoding="utf-8"))))
    else:
      parts.append(f"## {title}\n\nNot run.\n")
  return "\n".join(parts)


def _section(said: Mapping[str, Any]) -> str:
  """One file: where it comes from, its table, its plot and its notes."""
  made = f"`{said['command']}`, commit {said['commit']}"
  lines = [
    f"## {said['title']}",
    "",
    f"{made}, Python {said['python']}, {said['machine']}.",
    "",
    *_table(said["columns"], said["rows"]),
  ]
  if plot := said.get("plot"):
    lines += ["", f"![{said['title']}](../benchmarks/reliability/{plot})"]
  for note in said["notes"]:
    lines += ["", note]
  return "\n".join(lines) + "\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
  """A table, with numbers on the right."""
  numbers = [
    all(isinstance(row[place], int | float) for row in rows)
    for place in range(len(columns))
  ]
  marks = ["---:" if number else "---" for number in numbers]
  return [_row(columns), f"|{'|'.join(marks)}|", *map(_row, rows)]


def _row(cells: Sequence[Any]) -> str:
  texts = (str(cell).replace("|", "\\|") for cell in cells)
  return f"| {' | '.join(texts)} |"


if __name__ == "__main__":
  PAGE.write_text(render(), encoding="utf-8")
