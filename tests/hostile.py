"""python -m tests.hostile

Runs hostile_test.py and writes what it tried to
benchmarks/reliability/hostile.json, a row a test.
"""

import json
import pathlib
import platform
import subprocess
import sys
import tempfile
from xml.etree import ElementTree

from prod_jax import origin, storage
from tests.commands import REPO

TESTS = "tests/hostile_test.py"
OUT = REPO / "benchmarks" / "reliability" / "hostile.json"
COLUMNS = ("what holds", "cases", "held", "skipped")


def main() -> int:
  """The command; 1 where a case did not hold, or none was tried."""
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "report.xml")
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={path}"]
    subprocess.run([*command, TESTS], cwd=REPO, stdout=sys.stderr)
    rows = table(ElementTree.parse(path))
  cases, held, skipped = (sum(row[i] for row in rows) for i in (1, 2, 3))
  failed = cases - held - skipped
  said = {
    "title": "Hostile files",
    "command": "python -m tests.hostile",
    "commit": origin.commit() or "",
    "machine": platform.platform(),
    "python": platform.python_version(),
    "columns": list(COLUMNS),
    "rows": rows,
    "notes": [
      f"{cases} cases, {failed} did not hold. SECURITY.md says what is trusted "
      "and what is not."
    ],
  }
  storage.write_text(OUT, json.dumps(said, indent=1) + "\n")
  return int(failed > 0 or not cases)


def table(report: ElementTree.ElementTree) -> list[list]:
  """A row a test, in the order of the file; parametrised cases are counted."""
  rows: dict[str, list] = {}
  for case in report.iter("testcase"):
    name = case.get("name", "").partition("[")[0].removeprefix("test_")
    row = rows.setdefault(name, [name.replace("_", " "), 0, 0, 0])
    row[1] += 1
    ended = {child.tag for child in case} & {"failure", "error", "skipped"}
    row[2] += not ended
    row[3] += ended == {"skipped"}
  return [*rows.values()]


if __name__ == "__main__":
  sys.exit(main())
