"""python -m tests.chaos [--trials=N] [--seed=S] [--only=I,…] [--folder=DIR]

The long form. It goes on where it was stopped, and writes
benchmarks/reliability/faults.json of all trials so far. `--only` runs some
trials again, `--short` one of most kinds over the first stages alone; both
write nothing.
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

from tests.chaos import (
  commands,
  curriculum,
  damage,
  pair,
  report,
  stored,
  trials,
)
from tests.chaos.trials import BOOKS, COMPILED, DATA, EXPORT, TOKENS

Rooms = list[trials.Room]
Trial = Callable[[trials.Room, str, np.random.Generator], trials.Outcome]
# They are like others of their kind, and take long.
_TWICE = ("mine_all", "ranker", "pairwise", "encode_student")
_UNFINISHED = ("train", "encode", "mine", "score", "compare", "darken")
PASSED = (trials.IDENTICAL, trials.REFUSED)
_SHORT = (
  ("SIGKILL at a file", "filter"),
  ("SIGTERM at a file", "cluster"),
  ("no space at a file", "provided"),
  ("storage call fails", "filter"),
  ("file cut", "cluster"),
  ("byte flipped", TOKENS),
  ("byte flipped", DATA),
  ("byte flipped, unfinished", "encode"),
)
PAIR = "SIGKILL of one of two processes"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def kinds(stages: list[str]) -> list[tuple[str, list[str], Trial]]:
  """Each kind of fault, what it may hit, and what is done."""
  worked = [*stages, TOKENS, DATA, BOOKS, EXPORT]
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
  found += [
    ("storage call fails", [*stored.STAGES], stored.failing),
    ("storage calls are slow", [*stored.STAGES], stored.slow),
    (PAIR, [*pair.HITS], pair.killed),
  ]
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
  rooms: Rooms, stages: list[str], seed: int, number: int
) -> dict[str, str | int]:
  """Trial `number` of a seed, in the smallest room that has what it hits."""
  known = kinds(stages)
  name, hits, work = known[number % len(known)]
  # Round by round another one, and not the same of all kinds in a round.
  turn = number // len(known)
  what = hits[(turn * 5 + number % len(known)) % len(hits)]
  room = next(room for room in rooms if room.has(what))
  found = work(room, what, np.random.default_rng((seed, number)))
  return {
    "trial": number,
    "fault": name,
    "hits": what,
    "outcome": found.found,
    "why": found.why,
  }


def short(room: trials.Room) -> int:
  """One fault of most kinds; returns how many did not pass."""
  known = {name: work for name, _, work in kinds(room.stages())}
  failed = 0
  for number, (name, what) in enumerate(_SHORT):
    found = known[name](room, what, np.random.default_rng(number))
    failed += found.found not in PASSED
    line = {"trial": number, "fault": name, "hits": what}
    report.tell(line | {"outcome": found.found, "why": found.why})
  return failed


def main() -> None:
  parser = argparse.ArgumentParser(prog="tests.chaos")
  parser.add_argument("--trials", type=int, default=230)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--only", default="")
  parser.add_argument("--folder", default="runs/chaos")
  parser.add_argument("--short", action="store_true")
  args = parser.parse_args()
  folder = pathlib.Path(args.folder).resolve()
  # Half of all needs only the half of the curriculum.
  rooms = [trials.Room(folder / "lists", curriculum.LISTS)]
  if not args.short:
    rooms += [
      pair.Room(folder / "pair", curriculum.LISTS),
      trials.Room(folder / "whole"),
    ]
  commands.warm_up()
  for room in rooms:
    if not room.reference.exists():
      room.make()
  if args.short:
    sys.exit(short(rooms[0]))
  stages = [name for name in rooms[-1].stages() if name not in _TWICE]
  if args.only:
    for number in map(int, args.only.split(",")):
      report.tell(trial(rooms, stages, args.seed, number))
    return
  kept = folder / f"trials-{args.seed}.jsonl"
  lines = [json.loads(x) for x in kept.open()] if kept.exists() else []
  with kept.open("a") as file:
    for number in range(len(lines), args.trials):
      lines.append(trial(rooms, stages, args.seed, number))
      file.write(json.dumps(lines[-1]) + "\n")
      file.flush()
      report.tell(lines[-1])
      report.write(lines, args.seed, rooms[-1].reference)
  sys.exit(any(line["outcome"] not in PASSED for line in lines))


if __name__ == "__main__":
  main()
