"""Lines of trials, and faults.json of all of them."""

import json
import pathlib
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from prod_jax import storage
from tests.chaos import trials

REPO = pathlib.Path(__file__).parents[2]
FILE = REPO / "benchmarks" / "reliability" / "faults.json"
_NOTES = pathlib.Path(__file__).with_name("found.md")
_COLUMNS = [
  "fault",
  "hits",
  "trials",
  "identical",
  "refused",
  "silent difference",
  "failed otherwise",
]


def write(
  lines: Sequence[Mapping[str, Any]], seed: int, reference: pathlib.Path
) -> None:
  """Counts what came of each kind of fault, by what it hit.

  Args:
    lines: of the trials.
    seed: of them.
    reference: working folder of the undisturbed run, which says where it ran.
  """
  results = json.loads((reference / storage.RESULTS).read_text())
  counts: dict[tuple[str, str], list[int]] = {}
  for line in lines:
    row = counts.setdefault((line["fault"], line["hits"]), [0] * 5)
    for place, value in enumerate(_counted(line["outcome"])):
      row[place] += value
  rows: list[list[Any]] = [[*key, *row] for key, row in sorted(counts.items())]
  total = [sum(row[place] for row in rows) for place in range(2, 7)]
  said = {
    "title": "Faults",
    "command": f"make chaos (seed {seed})",
    "commit": _commit(),
    "machine": results[0]["processor"],
    "python": platform.python_version(),
    "columns": _COLUMNS,
    "rows": [*rows, ["all", "", *total]],
    "notes": _paragraphs(),
  }
  FILE.parent.mkdir(parents=True, exist_ok=True)
  FILE.write_text(json.dumps(said, indent=1) + "\n")


def tell(line: Mapping[str, Any]) -> None:
  """Shows a trial."""
  words = (line["fault"], line["hits"], line["outcome"], line["why"])
  sys.stdout.write(f"{line['trial']:4d}  {'; '.join(filter(None, words))}\n")
  sys.stdout.flush()


def _counted(outcome: str) -> list[int]:
  passed = [trials.IDENTICAL, trials.REFUSED, trials.DIFFERENT]
  return [
    1,
    *(int(outcome == word) for word in passed),
    int(outcome not in passed),
  ]


def _paragraphs() -> list[str]:
  """What found.md says, a paragraph or an item each."""
  text = _NOTES.read_text(encoding="utf-8")
  parts = [" ".join(part.split()) for part in text.split("\n\n")]
  return [part for part in parts if part and not part.startswith("#")]


def _commit() -> str:
  words = ["git", "rev-parse", "--short=12", "HEAD"]
  done = subprocess.run(words, cwd=REPO, capture_output=True, text=True)
  return done.stdout.strip()
