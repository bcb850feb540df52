"""python -m benchmarks.long [--only=steps,corpus,stages] [--cache=FOLDER]

Long and large runs of the command itself, on docstrings of the installed
packages, each in processes of its own that watched.py looks at:

  steps    10,000 steps of a tiny encoder by one process, and by two
  corpus   10,000, 100,000 and 1,000,000 passages of 64 tokens prepared,
           embedded, mined and searched by ScaNN, by one process; by two as well
  stages   how long a run of 200 stages takes to go on where all is done, and
           where the last one is to be made

What is measured stands in reliability/memory/, a file each, and is not measured
again unless --anew is given; all of it makes reliability/memory.json and its
picture. A second call goes on behind the last stage that was measured. An hour
on two cores.
"""

import argparse
import itertools
import json
import pathlib
import platform
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import long_config, long_page, noisy, run, watched

RELIABILITY = pathlib.Path(__file__).parent / "reliability"
PARTS = RELIABILITY / "memory"
CACHE = f"{run.CACHE}/long"
CONFIG = pathlib.Path(__file__).with_name("long_config.py")
CORPORA, BY_TWO = (10_000, 100_000, 1_000_000), (10_000, 100_000)
STAGES = 200
# Stages of a corpus, each with what stands before it in the same process.
WORKS = ("student", "encode", "mine", "evaluate")
UNITS: dict[str, list[str]] = {
  "steps": ["steps-1", "steps-2"],
  "corpus": [
    *(f"corpus-{rows}-1" for rows in CORPORA),
    *(f"corpus-{rows}-2" for rows in BY_TWO),
  ],
  "stages": [f"stages-{STAGES}"],
}


def main() -> None:
  """The command."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--only", default=",".join(UNITS))
  parser.add_argument("--cache", default=CACHE)
  parser.add_argument("--anew", action="store_true")
  args = parser.parse_args()
  only = args.only.split(",")
  if unknown := set(only) - set(UNITS):
    sys.exit(f"--only: {', '.join(unknown)} unknown; known: {', '.join(UNITS)}")
  cache = pathlib.Path(args.cache).expanduser()
  cache.mkdir(parents=True, exist_ok=True)
  PARTS.mkdir(parents=True, exist_ok=True)
  for unit in (unit for part in only for unit in UNITS[part]):
    path = PARTS / f"{unit}.json"
    if args.anew or not path.exists():
      sys.stderr.write(f"{time.strftime('%H:%M:%S')} {unit}\n")
      path.write_text(json.dumps(measured(unit, cache), indent=1) + "\n")
    long_page.write(RELIABILITY, [*itertools.chain(*UNITS.values())])


def measured(unit: str, cache: pathlib.Path) -> dict[str, Any]:
  """One unit, with what it was measured of and on."""
  part, *numbers = unit.split("-")
  measure: Callable[..., dict[str, Any]]
  measure = {"steps": steps, "corpus": corpus, "stages": stages}[part]
  found = measure(cache, *map(int, numbers))
  machine = run.machine()
  return {
    "commit": run.commit(),
    "machine": f"{machine['processor']}, {machine['cores']} cores",
    "python": platform.python_version(),
    **found,
  }


def steps(cache: pathlib.Path, processes: int) -> dict[str, Any]:
  """One long stage, looked at by step."""
  workdir = cache / f"steps-{processes}"
  shutil.rmtree(workdir / "00-student", ignore_errors=True)
  metrics = workdir / "00-student" / "metrics.jsonl"
  found = _run(
    "steps", workdir, processes=processes, at=lambda: last_step(metrics)
  )
  return {
    "steps": long_config.STEPS,
    "seconds": max(x.seconds for x in found),
    "cpu": [x.cpu for x in found],
    "samples": [watched.thinned(x.samples) for x in found],
  }


def corpus(cache: pathlib.Path, rows: int, processes: int) -> dict[str, Any]:
  """Prepares a corpus and does the stages, each in processes of its own."""
  folder = cache / f"texts-{rows}"
  noisy.write(folder, rows, noisy.real())
  workdir = cache / f"corpus-{rows}-{processes}"
  kept = workdir.with_name(f"{workdir.name}.json")  # what a kill leaves of it
  works: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
  if not works:
    shutil.rmtree(workdir, ignore_errors=True)
  for work in ("prepare", *WORKS):
    if work not in works:
      works[work] = _work(folder, workdir, work, processes)
      kept.write_text(json.dumps(works))
      sys.stderr.write(f"{time.strftime('%H:%M:%S')} {rows} {work}\n")
  kept.unlink()
  return {"rows": rows, "works": works}


def _work(
  folder: pathlib.Path, workdir: pathlib.Path, work: str, processes: int
) -> dict[str, Any]:
  """A stage of a corpus, or all that comes before the first one."""
  only = [f"--stages={work}"] if work in WORKS else []
  found = _run(
    "corpus",
    workdir,
    f"--config.data.path={folder}",
    *only,
    processes=processes if only else 1,
    command="run" if only else "prepare",
    name=work,
    at=lambda: float(embedded(workdir)) if work == "encode" else 0.0,
  )
  samples = [watched.thinned(x.samples) for x in found]
  return {
    **({"samples": samples} if work == "encode" else {}),
    "seconds": max(x.seconds for x in found),
    "cpu": sum(x.cpu for x in found),
    "work_seconds": seconds_of(workdir, work),
    "processes": [_peaks(x) for x in found],
  }


def stages(cache: pathlib.Path, number: int) -> dict[str, Any]:
  """Makes a run of many stages once, and starts it again and again."""
  workdir = cache / f"stages-{number}"
  variant = f"stages-{number}"
  (first,) = _run(
    variant,
    workdir,
    name="first",
    at=lambda: float(len([*workdir.glob("*/DONE.json")])),
  )
  last = sorted(workdir.glob("[0-9]*-*"), key=_number)[-1]
  found = {}
  for name in ("all done", "all but one done"):
    if name != "all done":
      (last / "DONE.json").unlink()
    (again,) = _run(variant, workdir, name=name.replace(" ", "_"))
    found[name] = {"seconds": again.seconds, "cpu": again.cpu}
  return {
    "stages": number,
    "again": found,
    "samples": [watched.thinned(first.samples)],
  }


def last_step(metrics: pathlib.Path) -> float:
  """The step of the last whole line of a metrics.jsonl, 0 before any."""
  if not metrics.exists():
    return 0.0
  with metrics.open("rb") as file:
    file.seek(max(metrics.stat().st_size - 4096, 0))
    steps = re.findall(rb'"step": (\d+).*\n', file.read())
  return float(steps[-1]) if steps else 0.0


def embedded(workdir: pathlib.Path) -> int:
  """Passages whose vectors are there."""
  done = workdir.glob("*-encode/passages/*-*/FILES.json")
  return long_config.SHARD_ROWS * len([*done])


def seconds_of(workdir: pathlib.Path, work: str) -> float | None:
  """What a stage took by its own DONE file."""
  for path in workdir.glob(f"[0-9]*-{work}/DONE.json"):
    return json.loads(path.read_text())["seconds"]
  return None


def _number(folder: pathlib.Path) -> int:
  return int(folder.name.partition("-")[0])


def _run(
  variant: str,
  workdir: pathlib.Path,
  *more: str,
  processes: int = 1,
  command: str = "run",
  name: str = "log",
  at: Callable[[], float] = lambda: 0.0,
) -> list[watched.Watched]:
  line = [f"--config={CONFIG}:{variant}", f"--workdir={workdir}", *more]
  workdir.mkdir(parents=True, exist_ok=True)
  address = _address() if processes > 1 else ""
  return watched.run(
    [command, *line],
    workdir / f"{name}.txt",
    processes=processes,
    address=address,
    at=at,
  )


def _address() -> str:
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    return f"127.0.0.1:{free.getsockname()[1]}"


def _peaks(found: watched.Watched) -> dict[str, float]:
  samples: Sequence[watched.Sample] = found.samples
  keys = ("own_mib", "files_mib", "most_mib", "handles", "threads")
  return {key: watched.peak(samples, key) for key in keys}


if __name__ == "__main__":
  main()
