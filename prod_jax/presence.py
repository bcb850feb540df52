"""Who is at work in a working folder: one run at a time, and how far it is.

A run leaves two files there. RUNNING.json says who it is. On a disk it is
locked as long as the process lives, and the kernel lets go however that ends.
PROGRESS.json is written anew every few seconds, and says how far the work is.
In a bucket, which has no locks, it is the sign of life.
"""

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, NamedTuple

from absl import logging

from prod_jax import json_files, locks, storage
from prod_jax.strict import ConfigError, without_passwords

RUNNING, PROGRESS = "RUNNING.json", "PROGRESS.json"

_DISK_SECONDS = 5.0  # between two beats
_BUCKET_SECONDS = 20.0
_MISSED = 3  # beats, until a run in a bucket is taken for lost
_MOMENT = 0.05  # for which one who looks may hold the lock
# Of a tracker: each start leaves links there to the logs of its own service,
# all under names of the library's.
_WANDB = "trackers/wandb/wandb"

Said = Mapping[str, Any]

_WHO: dict[str, Any] = {
  "host": str,
  "pid": int,
  "since": str,
  "command": str,
  "outcome?": str,
}
_PROGRESS: dict[str, Any] = {
  "at": str,
  "work?": str,
  "done?": float,
  "total?": float,
  "unit?": str,
  "rate?": float,
  "seconds_left?": float,
}


class Presence(NamedTuple):
  """What a working folder says of the run in it.

  Attributes:
    who: host, pid, since and command of the last run; ended and outcome where
      it has come to an end in order. Empty where there was none.
    progress: what it has said last of its work.
    alive: whether it is at work.
  """

  who: Said
  progress: Said
  alive: bool


def check_place(folder: storage.Path) -> None:
  """Raises ConfigError where a file is in the way of a working folder.

  A bucket is not asked: its folders are what names of files begin with.
  """
  if not isinstance(folder, pathlib.Path):
    return
  for path in (folder, *folder.parents):
    if os.path.lexists(path) and not path.is_dir():
      raise ConfigError(
        f"--workdir: {folder} is a file, or in one; name a folder"
      )


@contextlib.contextmanager
def held(
  folder: storage.Path,
  latest: Callable[[], Said],
  wait: Callable[[float], object] = time.sleep,
) -> Iterator[None]:
  """Keeps other runs out of a working folder while this one is at work.

  Args:
    folder: it is made where it is not there.
    latest: how far the work is, for PROGRESS.json.
    wait: takes seconds; a beat of another run is waited for.

  Raises:
    ConfigError: another run is at work there, it cannot be a folder, or a link
      in it leads elsewhere.
  """
  check_place(folder)
  folder.mkdir(parents=True, exist_ok=True)
  on_disk = isinstance(folder, pathlib.Path)
  who = {
    "host": socket.gethostname(),
    "pid": os.getpid(),
    "since": _now(),
    "command": without_passwords(shlex.join(sys.orig_argv)),
  }
  with _on_disk(folder) if on_disk else _in_bucket(folder, wait) as write:
    write(who)
    beat = _Beat(folder, _DISK_SECONDS if on_disk else _BUCKET_SECONDS, latest)
    outcome = "done"
    try:
      yield
    except BaseException as error:
      said = without_passwords(" ".join(str(error).split()))
      outcome = said or type(error).__name__
      raise
    finally:
      beat.end()
      # A full disk or a lost bucket, whose errors are of classes of its own,
      # has stopped the run, and is not to hide that.
      with contextlib.suppress(Exception):
        write({**who, "ended": _now(), "outcome": outcome})


def look(folder: storage.Path) -> Presence:
  """Who is at work in a working folder, or was last."""
  who, progress = (_said(folder / name) for name in (RUNNING, PROGRESS))
  alive = bool(who) and "ended" not in who
  if alive and isinstance(folder, pathlib.Path):
    alive = _is_locked(folder / RUNNING)
  elif alive:
    alive = silent_for(progress) < _MISSED * _BUCKET_SECONDS
  return Presence(who, progress, alive)


def _said(path: storage.Path) -> Said:
  """What one of the two files says; {} where it is damaged, or not there."""
  found = storage.read_object(path)
  shape = _WHO if path.name == RUNNING else _PROGRESS
  return {} if json_files.mismatch(found, shape) else found


def silent_for(progress: Said) -> float:
  """Seconds since a run has said how far it is.

  What it will have said counts as well: a clock was set back since, and one
  that is at work would have spoken again.
  """
  try:
    at = datetime.datetime.fromisoformat(progress.get("at", ""))
    return abs((datetime.datetime.now(datetime.UTC) - at).total_seconds())
  except (TypeError, ValueError):  # it has not, or the file is not ours
    return float("inf")


@contextlib.contextmanager
def _on_disk(folder: pathlib.Path) -> Iterator[Callable[[Said], None]]:
  """Holds the lock of a folder; yields what writes into its file."""
  # Never made anew: a lock is on the file, not on its name.
  number = locks.open_own(folder / RUNNING)
  with os.fdopen(number, "r+b") as file:
    _lock(file, folder)
    storage.check_links(folder, but=_WANDB)

    def write(said: Said) -> None:
      """At once, over what is there: whoever looks finds one or the other."""
      text = json.dumps(said).encode()
      os.pwrite(number, text.ljust(os.fstat(number).st_size), 0)
      os.ftruncate(number, len(text))

    yield write


def _lock(file: IO[bytes], folder: pathlib.Path) -> None:
  for again in (True, False):
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      if not again:
        raise ConfigError(_taken(folder)) from None
      time.sleep(_MOMENT)
    except OSError as error:
      logging.warning(
        "%s: its disk has no locks (%s): nothing keeps a second run out",
        folder,
        error.strerror,
      )
      return
    else:
      return


def _is_locked(path: pathlib.Path) -> bool:
  with path.open(encoding="utf-8") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
      return True
    except OSError:  # a disk without locks
      return silent_for(_said(path.with_name(PROGRESS))) < (
        _MISSED * _DISK_SECONDS
      )
  return False


@contextlib.contextmanager
def _in_bucket(
  folder: storage.Path, wait: Callable[[float], object]
) -> Iterator[Callable[[Said], None]]:
  """The same of a bucket, as far as it goes: two that begin in the same
  seconds do not see each other.
  """
  before = _said(folder / RUNNING)
  if before and "ended" not in before and _beats(folder, wait):
    raise ConfigError(_taken(folder))
  yield lambda said: storage.write_text(folder / RUNNING, json.dumps(said))


def _beats(folder: storage.Path, wait: Callable[[float], object]) -> bool:
  """Whether a run in a bucket goes on; not by clocks, of which there are two.

  One that ends just now, as its other processes have, may be seen once.
  """
  seconds = _MISSED * _BUCKET_SECONDS
  for _ in range(2):
    logging.info(
      "%s: the last run has not ended in order; waiting %d s for a sign of it",
      folder,
      seconds,
    )
    beat = storage.read_object(folder / PROGRESS)
    wait(seconds)
    if storage.read_object(folder / PROGRESS) == beat:
      return False
  return True


def _taken(folder: storage.Path) -> str:
  who = _said(folder / RUNNING)
  pid, host, since, command = (
    who.get(key, "unknown") for key in ("pid", "host", "since", "command")
  )
  return (
    f"--workdir: a run is at work in {folder}, process {pid} on {host}, since "
    f"{since}: {command}. Wait for it, end it, or take another folder"
  )


class _Beat:
  """Writes PROGRESS.json again and again, beside the work."""

  def __init__(
    self, folder: storage.Path, seconds: float, latest: Callable[[], Said]
  ):
    self._path, self._seconds, self._latest = folder / PROGRESS, seconds, latest
    self._ended = threading.Event()
    self._count, self._fails = 0, False
    self._thread = threading.Thread(
      target=self._go, name="progress", daemon=True
    )
    self._thread.start()

  def end(self) -> None:
    """Ends it, behind a last line."""
    self._ended.set()
    self._thread.join()

  def _go(self) -> None:
    ended = False
    while not ended:
      ended = self._ended.wait(self._seconds if self._count else 0)
      self._count += 1
      self._write({"beat": self._count, "at": _now(), **self._latest()})

  def _write(self, said: Said) -> None:
    try:
      storage.write_text(self._path, json.dumps(said))
    except Exception as error:  # of any kind of storage; the work goes on
      if not self._fails:
        logging.warning("%s cannot be written: %s", self._path, error)
      self._fails = True


def _now() -> str:
  return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
