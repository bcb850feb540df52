"""python -m tests.bad_inputs

Brings each bad input to its command, and writes what was said of it to
benchmarks/reliability/inputs.json. Names on the command line are of rooms.
"""

import json
import os
import pathlib
import platform
import sys
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax

from prod_jax import origin, storage
from tests.bad_inputs.row import Ended, Row, run, wrong
from tests.bad_inputs.table import ROOMS, rows

REPO = pathlib.Path(__file__).parents[2]
REPORT = REPO / "benchmarks/reliability/inputs.json"
_LONGEST = 300  # characters of what is said that the table shows


def main(rooms: list[str]) -> int:
  """Runs all rows; returns how many did not end as they should."""
  table, failed = [], 0
  for room, row in rows(rooms):
    with tempfile.TemporaryDirectory(prefix="bad_inputs-") as made:
      folder = pathlib.Path(made).resolve()
      ended = run(row.line(folder))
      faults = wrong(row, folder, ended)
      said = _said(row, ended)
      for path, shown in (
        (f"{folder}/", ""),
        (f"{folder}", "."),
        (f"{REPO}/", ""),
        (f"{REPO}", "."),
      ):
        said = said.replace(path, shown)
    failed += bool(faults)
    outcome = f"wrong: {'; '.join(faults)}" if faults else row.outcome
    table.append([room, row.input, said, outcome])
    if faults:
      sys.stderr.write(f"{room}: {row.input}: {'; '.join(faults)}\n")
  REPORT.parent.mkdir(parents=True, exist_ok=True)
  storage.write_text(REPORT, json.dumps(_record(table, failed), indent=1))
  sys.stdout.write(f"{REPORT}\t{len(table)}\t{failed}\n")
  return failed


def _said(row: Row, ended: Ended) -> str:
  """The line that names a row's input."""
  lines = [line for line in ended.stderr.splitlines() if row.says[0] in line]
  said = ended.said if not lines else lines[-1].partition(" ")[2]
  return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"


def _record(table: list[list[str]], failed: int) -> dict:
  return {
    "title": "Bad inputs",
    "command": "python -m tests.bad_inputs",
    "commit": origin.commit() or "",
    "machine": origin.processor(jax.devices()),
    "python": platform.python_version(),
    "columns": ["room", "input", "what is said", "outcome"],
    "rows": table,
    "notes": [
      f"{len(table)} inputs, {failed} of which did not end as they should.",
      "Refused is exit code 2 with one line, without a traceback, and nothing "
      "left in the output place; what is skipped is counted in a log line.",
    ],
  }


if __name__ == "__main__":
  sys.exit(bool(main(sys.argv[1:] or list(ROOMS))))
