"""One measured side of a piece of work: a process of its own.

Each piece is a module whose `SIDES` are functions of a cache folder. What they
measure goes as JSON to the file that run.py names. What one side computes lies
beside it as an array, for run.py to hold against what the other computes. Under
"operators" is a function that watches the work once more, when time and memory
have been taken.
"""

import argparse
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

# Of the memory of both sides, see the README on speed.
LARGE_PAGES = "glibc.malloc.hugetlb=1"
THREADS = 2  # of each side; run.py binds the process to as many cores
# Of a distillation on both sides.
SCALE = 20.0  # of a cosine
RATE, CLIP, DECAY = 2e-5, 1.0, 0.01
NEGATIVES = 30  # mined for a query

Side = Callable[[pathlib.Path], dict[str, Any]]
T = TypeVar("T")


class Clock:
  """Seconds spent in named parts."""

  def __init__(self):
    self.seconds: dict[str, float] = {}

  def timed(self, name: str, call: Callable[..., T]) -> Callable[..., T]:
    """The same function, whose time is added up under `name`."""

    def wrapped(*args: Any, **kwargs: Any) -> T:
      began = time.perf_counter()
      try:
        return call(*args, **kwargs)
      finally:
        took = time.perf_counter() - began
        self.seconds[name] = self.seconds.get(name, 0.0) + took

    return wrapped

  def items(self, name: str, iterator: Iterator[T]) -> Iterator[T]:
    """The same items; the time spent waiting for them goes under `name`."""
    end = object()
    following = self.timed(name, lambda: next(iterator, end))
    while (item := following()) is not end:
      yield item

  def reset(self) -> None:
    """Forgets what was added up, say that of a warm-up."""
    self.seconds.clear()

  def shares(self, whole: float) -> dict[str, float]:
    """Each part's share of `whole` seconds, and that of the rest."""
    parts = {k: v / whole for k, v in self.seconds.items()}
    return {**parts, "rest": 1 - sum(parts.values())}


def seconds_of(call: Callable[[], Any]) -> float:
  """Wall time of a call."""
  began = time.perf_counter()
  call()
  return time.perf_counter() - began


def memory(key: str) -> float:
  """MiB of this process: "VmRSS" is now, "VmHWM" the most so far."""
  for line in pathlib.Path("/proc/self/status").read_text().splitlines():
    if line.startswith(f"{key}:"):
      return int(line.split()[1]) / 1024
  raise ValueError(f"/proc/self/status has no {key}")


def proof(cache: pathlib.Path, piece: str, side: str) -> pathlib.Path:
  """Where a side leaves what it computed."""
  folder = cache / "proof"
  folder.mkdir(exist_ok=True)
  return folder / f"{piece}-{side}.npy"


def padding(seen: Sequence[tuple[int, int]]) -> dict[str, float]:
  """Of batches, each (tokens of texts, places in rows)."""
  real, places = np.sum(seen, axis=0).tolist()
  return {"tokens": real, "padding": 1 - real / places}


def main(piece: str, sides: Mapping[str, Side]) -> None:
  """`--side=NAME --cache=FOLDER --out=FILE`."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--side", choices=list(sides), required=True)
  parser.add_argument("--cache", type=pathlib.Path, required=True)
  parser.add_argument("--out", type=pathlib.Path, required=True)
  args = parser.parse_args()
  measured = sides[args.side](args.cache)
  computed = measured.pop("proof", None)
  if computed is not None:
    np.save(proof(args.cache, piece, args.side), np.asarray(computed))
  watch = measured.pop("operators", None)
  measured["peak_mib"] = memory("VmHWM")
  if watch:
    measured["operators"] = watch()
  args.out.write_text(json.dumps(measured))
