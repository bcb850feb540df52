"""Fuzzes each reader for some seconds, and writes what came of it.

  python -m tests.fuzz --seconds=15 --rounds=4

The extra fuzz brings atheris. What breaks a reader is kept in tests/fuzz/cases,
where `readers_test` tries it from then on. Seconds are those of the processor,
so that a busy machine tries as much. All readers have their turn in a round,
and the next round goes on from the inputs that have reached more; what is
written after each turn counts all of them.
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
from collections.abc import Mapping
from typing import NamedTuple

from prod_jax import origin
from tests.commands import REPO
from tests.fuzz import target
from tests.fuzz.readers import READERS, slug

CASES = pathlib.Path(__file__).parent / "cases"
OUT = REPO / "benchmarks" / "reliability" / "fuzzing.json"
COLUMNS = ("reader", "executions", "seconds", "edges reached", "crashes")
_COVERAGE = re.compile(r"\bcov: (\d+)")


class Tried(NamedTuple):
  """What came of a reader.

  Attributes:
    count: executions.
    seconds: of the processor.
    reached: edges.
    crashes: what broke it, and the case that did.
  """

  count: int
  seconds: float
  reached: int
  crashes: dict[str, str]

  def and_then(self, other: "Tried") -> "Tried":
    """This and a later turn."""
    return Tried(
      self.count + other.count,
      self.seconds + other.seconds,
      max(self.reached, other.reached),
      other.crashes | self.crashes,
    )


def main() -> None:
  """Runs the command."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--seconds", type=float, default=15.0)
  parser.add_argument("--rounds", type=int, default=4)
  parser.add_argument("--only", default="", help="part of a reader's name")
  args = parser.parse_args()
  names = [name for name in READERS if args.only in name]
  tried = {name: Tried(0, 0.0, 0, {}) for name in names}
  command = f"python -m tests.fuzz --seconds={args.seconds:g}"
  command += f" --rounds={args.rounds}"
  where = machine()
  with tempfile.TemporaryDirectory() as corpora:
    for name in names * args.rounds:
      corpus = pathlib.Path(corpora) / slug(name)
      turn = fuzz(name, args.seconds, corpus)
      print(name, *turn, sep=" | ", flush=True)
      tried[name] = tried[name].and_then(turn)
      if not args.only:
        write(tried, command, where)


def fuzz(name: str, seconds: float, corpus: pathlib.Path) -> Tried:
  """A turn of one reader, from the inputs in a folder, which gets more."""
  with tempfile.TemporaryDirectory() as folder:
    place = pathlib.Path(folder)
    # What was imported, and is watched, need not be so again.
    pid = os.fork()
    if not pid:
      log = os.open(place / "log", os.O_CREAT | os.O_WRONLY)
      os.dup2(log, 1)
      os.dup2(log, 2)
      target.run(name, seconds, place, corpus)
    os.waitpid(pid, 0)
    log = (place / "log").read_text(errors="replace")
    for path in [*place.glob("crashes/*"), *place.glob("*-*")]:
      kept = CASES / slug(name) / path.name
      kept.parent.mkdir(parents=True, exist_ok=True)
      shutil.copyfile(path, kept)
    result = place / "result.json"
    if not result.exists():
      tail = " ".join(log.split()[-40:])
      return Tried(0, 0.0, 0, {f"ended early: {tail}": ""})
    found = json.loads(result.read_text())
  reached = max(map(int, _COVERAGE.findall(log)), default=0)
  return Tried(found["count"], found["seconds"], reached, found["crashes"])


def machine() -> str:
  """Asked by a process of its own: JAX's threads are none to fork beside."""
  ask = "import jax; from prod_jax import origin; "
  ask += "print(origin.processor(jax.devices()))"
  command = [sys.executable, "-c", ask]
  return subprocess.run(
    command, cwd=REPO, capture_output=True, text=True, check=True
  ).stdout.strip()


def write(tried: Mapping[str, Tried], command: str, where: str) -> None:
  """Writes the table, for the page of what was tried."""
  count = sum(of.count for of in tried.values())
  took = sum(of.seconds for of in tried.values())
  page = {
    "title": "Any bytes before each reader",
    "command": command,
    "commit": origin.commit() or "",
    "machine": where,
    "python": platform.python_version(),
    "columns": list(COLUMNS),
    "rows": [
      [name, of.count, round(of.seconds, 1), of.reached, len(of.crashes)]
      for name, of in tried.items()
    ],
    "notes": [
      f"{count:,} executions in {took / 60:.0f} minutes of one core; seconds "
      "are those of the processor, edges those that libFuzzer has seen.",
      *(
        f"{name}: {key} ({case})"
        for name, of in tried.items()
        for key, case in of.crashes.items()
      ),
    ],
  }
  OUT.parent.mkdir(parents=True, exist_ok=True)
  OUT.write_text(json.dumps(page, indent=1) + "\n")


if __name__ == "__main__":
  main()
