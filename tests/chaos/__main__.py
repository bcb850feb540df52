"""python -m tests.chaos [--trials=N] [--seed=S] [--only=I,…] [--folder=DIR]

The long form. It goes on where it was stopped, and writes
benchmarks/reliability/faults.json in the end. `--only` runs some trials again,
and writes nothing.
"""

import argparse
import errno
import json
import os
import pathlib
import signal
import sys
from collections.abc import Callable

import numpy as np

# As tests have it: these programs are small, and are made more than once.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "True")

from tests.chaos import commands, damage, material, report, trials
from tests.chaos.trials import BOOKS, COMPILED, DATA, TOKENS

Trial = Callable[[trials.Room, str, np.random.Generator], trials.Outcome]
_MADE = (TOKENS, DATA)
# They are like others of their kind, and take long.
_TWICE = ("mine_all", "ranker", "pairwise", "encode_student")
_UNFINISHED = ("train", "encode", "mine", "score", "compare", "darken")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def kinds(stages: list[str]) -> list[tuple[str, list[str], Trial]]:
  """Each kind of fault, what it may hit, and what is done."""
  worked = [*stages, *_MADE, BOOKS, "export"]
  found: list[tuple[str, list[str], Trial]] = []
  for number in SIGNALS:
    name = number.name
    found += [
      (f"{name} at a file", worked, trials.kill_at_operation(number)),
      (f"{name} at any time", stages, trials.kill_at_any_time(number)),
    ]
  full = trials.fail_at_operation(errno.ENOSPC)
  lost = trials.fail_at_operation(errno.EIO)
  found += [
    ("no space at a file", worked, full),
    ("disk error at a file", worked, lost),
    ("folder read-only", stages, trials.read_only),
  ]
  if os.geteuid() == 0:
    found.append(("full disk", stages, trials.full_disk))
  for name, how in damage.KINDS.items():
    hit = [*stages, TOKENS, DATA, COMPILED, BOOKS]
    found.append((name, hit, trials.damaged(how)))
    found.append(
      (
        f"{name}, unfinished",
        [name for name in _UNFINISHED if name in stages],
        trials.damaged_unfinished(how),
      )
    )
  return found


def trial(
  room: trials.Room, stages: list[str], seed: int, number: int
) -> dict[str, str | int]:
  """Trial `number` of a seed."""
  known = kinds(stages)
  name, hits, work = known[number % len(known)]
  # Round by round another one, and not the same of all kinds in a round.
  turn = number // len(known)
  what = hits[(turn * 5 + number % len(known)) % len(hits)]
  found = work(room, what, np.random.default_rng((seed, number)))
  return {
    "trial": number,
    "fault": name,
    "hits": what,
    "outcome": found.found,
    "why": found.why,
  }


def main() -> None:
  parser = argparse.ArgumentParser(prog="tests.chaos")
  parser.add_argument("--trials", type=int, default=260)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--only", default="")
  parser.add_argument("--folder", default="runs/chaos")
  args = parser.parse_args()
  folder = pathlib.Path(args.folder).resolve()
  room = trials.Room(folder)
  if not (folder / "material").exists():
    material.write(folder / "material")
  commands.warm_up()
  if not room.reference.exists():
    room.make()
  stages = [name for name in room.stages() if name not in _TWICE]
  if args.only:
    for number in map(int, args.only.split(",")):
      report.tell(trial(room, stages, args.seed, number))
    return
  kept = folder / f"trials-{args.seed}.jsonl"
  lines = [json.loads(x) for x in kept.open()] if kept.exists() else []
  with kept.open("a") as file:
    for number in range(len(lines), args.trials):
      lines.append(trial(room, stages, args.seed, number))
      file.write(json.dumps(lines[-1]) + "\n")
      file.flush()
      report.tell(lines[-1])
  report.write(lines, args.seed)
  passed = (trials.IDENTICAL, trials.REFUSED)
  sys.exit(any(line["outcome"] not in passed for line in lines))


if __name__ == "__main__":
  main()
