"""Fuzzes each reader for some seconds, and writes what came of it.

  python -m tests.fuzz --seconds=60

The extra fuzz brings atheris. What breaks a reader is kept in tests/fuzz/cases,
where `readers_test` tries it from then on. Seconds are those of the processor,
so that a busy machine tries as much.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Any

from prod_jax import origin
from tests.commands import REPO
from tests.fuzz import target
from tests.fuzz.readers import READERS, slug

CASES = pathlib.Path(__file__).parent / "cases"
OUT = REPO / "benchmarks" / "reliability" / "fuzzing.json"
COLUMNS = ("reader", "executions", "seconds", "edges reached", "crashes")
_COVERAGE = re.compile(r"\bcov: (\d+)")


def main() -> None:
  """Runs the command."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--seconds", type=float, default=60.0)
  parser.add_argument("--only", default="", help="part of a reader's name")
  args = parser.parse_args()
  names = [name for name in READERS if args.only in name]
  rows, notes, where = [], [], machine()
  for name in names:
    row, found = fuzz(name, args.seconds)
    rows.append(row)
    notes += found
    print(*row, *found, sep=" | ", flush=True)
    if not args.only:
      write(rows, notes, args.seconds, where)


def fuzz(name: str, seconds: float) -> tuple[list[Any], list[str]]:
  """A row of one reader, and what broke it."""
  with tempfile.TemporaryDirectory() as folder:
    place = pathlib.Path(folder)
    # What was imported, and is watched, need not be so again.
    pid = os.fork()
    if not pid:
      log = os.open(place / "log", os.O_CREAT | os.O_WRONLY)
      os.dup2(log, 1)
      os.dup2(log, 2)
      target.run(name, seconds, place)
    os.waitpid(pid, 0)
    log = (place / "log").read_text(errors="replace")
    for path in [*place.glob("crashes/*"), *place.glob("*-*")]:
      kept = CASES / slug(name) / path.name
      kept.parent.mkdir(parents=True, exist_ok=True)
      shutil.copyfile(path, kept)
    result = place / "result.json"
    if not result.exists():
      tail = " ".join(log.split()[-40:])
      return [name, 0, 0.0, 0, 1], [f"{name}: ended early: {tail}"]
    found = json.loads(result.read_text())
  reached = max(map(int, _COVERAGE.findall(log)), default=0)
  took, crashes = round(found["seconds"], 1), found["crashes"]
  row = [name, found["count"], took, reached, len(crashes)]
  return row, [f"{name}: {key} ({case})" for key, case in crashes.items()]


def machine() -> str:
  """Asked by a process of its own: JAX's threads are none to fork beside."""
  ask = "import jax; from prod_jax import origin; "
  ask += "print(origin.processor(jax.devices()))"
  command = [sys.executable, "-c", ask]
  return subprocess.run(
    command, cwd=REPO, capture_output=True, text=True, check=True
  ).stdout.strip()


def write(
  rows: list[list[Any]], notes: list[str], seconds: float, where: str
) -> None:
  """Writes the table, for the page of what was tried."""
  tried = sum(row[1] for row in rows)
  took = sum(row[2] for row in rows)
  page = {
    "title": "Any bytes before each reader",
    "command": f"python -m tests.fuzz --seconds={seconds:g}",
    "commit": origin.commit() or "",
    "machine": where,
    "python": platform.python_version(),
    "columns": list(COLUMNS),
    "rows": rows,
    "notes": [
      f"{tried:,} executions in {took / 60:.0f} minutes of one core; seconds "
      "are those of the processor, edges those that libFuzzer has seen.",
      *notes,
    ],
  }
  OUT.parent.mkdir(parents=True, exist_ok=True)
  OUT.write_text(json.dumps(page, indent=1) + "\n")


if __name__ == "__main__":
  main()
