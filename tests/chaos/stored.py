"""A run in a bucket whose calls fail, or take long.

The bucket is one in memory, which lives as long as a process. What a command
has left in it is written to a folder when the command ends, and the next one
begins with that.
"""

import functools
import os
import pathlib
import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

import fsspec
import numpy as np

from prod_jax import storage
from tests import buckets
from tests.chaos import commands, trials
from tests.chaos.trials import Outcome, Room

_PATH = "gs://bucket/run"
_CALLS = ("open", "exists", "isdir", "ls", "info", "rm", "rm_file", "makedirs")
_LOCAL = ("data", "tokens")  # of each machine
_SECONDS = 0.02
# By stages that write no checkpoint: TensorStore would look for a real bucket.
STAGES = ("encode", "cluster", "provided", "mine", "filter")


def failing(room: Room, what: str, rng: np.random.Generator) -> Outcome:
  """A call raises what storage raises on a bad day."""
  error = [
    ConnectionResetError("Connection reset by peer"),
    TimeoutError("The read operation timed out"),
    _of_gcsfs("503, Backend Error"),
  ][int(rng.integers(3))]

  def act() -> None:
    room.happens()
    raise error

  at = int(rng.integers(_calls(room, what)))
  while True:
    first = _run(room, what, at, act, anew=True)
    if room.happened or not at:
      return _again(room, what, first)
    at //= 2  # there were fewer calls than when they were counted


def slow(room: Room, what: str, rng: np.random.Generator) -> Outcome:
  """All calls take long."""
  del rng

  def act() -> None:
    room.happens()
    time.sleep(_SECONDS)

  return _again(room, what, _run(room, what, 0, act, anew=True))


def _of_gcsfs(text: str) -> Exception:
  """As gcsfs has them: of a class of its own, and no OSError."""
  return type("HttpError", (Exception,), {"__module__": "gcsfs.retry"})(text)


def _again(room: Room, what: str, first: commands.Ended) -> Outcome:
  return trials.again(
    room,
    first,
    says="the bucket does not answer",
    command=lambda: _run(room, what, -1, lambda: None),
  )


def _calls(room: Room, what: str) -> int:
  """How many calls the work on something takes."""
  told = room.log.with_name("calls")
  _run(room, what, -1, lambda: None, anew=True, told=told)
  return int(told.read_text())


def _run(
  room: Room,
  what: str,
  at: int,
  act: Callable[[], None],
  *,
  anew: bool = False,
  told: pathlib.Path | None = None,
) -> commands.Ended:
  """The command, with its folder in the bucket, on a machine of its own."""
  machine = room.trial.with_name("machine")
  if anew:
    room.copy()
    room.forget(what)
    shutil.rmtree(machine, ignore_errors=True)
    for name in _LOCAL:
      # As it would be there: a set is not kept in the bucket.
      os.environ["PROD_JAX_CACHE"] = str(machine)
      twin = storage.twin(buckets.empty(_PATH))
      shutil.copytree(room.trial / name, twin / name)
      shutil.rmtree(room.trial / name)

  def prepare() -> None:
    buckets.empty(_PATH)
    bucket = fsspec.filesystem("gcs")
    _fill(bucket, room.trial)
    seen = _watch(at, act)
    ended = os._exit

    def exit_(code: int) -> None:
      _watch(-1, lambda: None)
      if told:
        told.write_text(str(seen()))
      _empty(bucket, room.trial)
      ended(code)

    os._exit = exit_

  return room.run(prepare, workdir=_PATH)


def _watch(at: int, act: Callable[[], None]) -> Callable[[], int]:
  """Something happens at a call, and where it is the first at all others."""
  lock, seen = threading.Lock(), [0]

  def around(work: Callable) -> Callable:
    @functools.wraps(work)
    def call(*args: Any, **more: Any) -> Any:
      with lock:
        seen[0] += 1
        number = seen[0] - 1
      if number == at or at == 0:
        act()
      return work(*args, **more)

    return call

  for name in _CALLS:
    work = getattr(buckets.Bucket, name)
    work = getattr(work, "__wrapped__", work)
    setattr(buckets.Bucket, name, around(work))
  return lambda: seen[0]


def _fill(bucket: Any, folder: pathlib.Path) -> None:
  for path in sorted(folder.rglob("*")):
    if path.is_file():
      name = f"{_PATH}/{path.relative_to(folder)}"
      bucket.makedirs(name.rpartition("/")[0], exist_ok=True)
      bucket.pipe_file(name, path.read_bytes())


def _empty(bucket: Any, folder: pathlib.Path) -> None:
  shutil.rmtree(folder)
  for name in bucket.find(_PATH):
    path = folder / name.partition("bucket/run/")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bucket.cat_file(name))
