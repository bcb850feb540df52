"""A fault at the k-th operation on files, in this process.

Operations are those by which a file comes to be there: it is opened to be
written, flushed, renamed or deleted, or a folder is made. Files that only say
that a run is alive do not count, as the time decides how often they are
written.
"""

import builtins
import errno
import io
import os
import pathlib
import threading
from collections.abc import Callable
from typing import Any

from prod_jax import presence

_ALIVE = (presence.RUNNING, presence.PROGRESS)
_NAMED = ("replace", "rename", "unlink", "mkdir", "rmdir")
# What happens at an operation: takes its name and path.
Act = Callable[[str, str], None]


class Fault:
  """Acts at an operation on files under some places.

  Args:
    places: folders and files; what is under none of them does not count.
    at: number of the operation, from 0; -1 is none, and they are only counted.
    act: what happens then.
    behind: it happens when the operation is done, not before it.
    tell: is called first, since there may be nothing afterwards.
  """

  def __init__(
    self,
    places: list[pathlib.Path],
    at: int,
    act: Act,
    behind: bool,
    tell: Callable[[], None],
  ):
    self._tell = tell
    self._places = [str(place) for place in places]
    self._at, self._act, self._behind = at, act, behind
    self._lock, self.seen = threading.Lock(), 0

  def install(self) -> None:
    """Puts itself around the operations, for the rest of the process."""
    for name in _NAMED:
      setattr(os, name, self._around(name, getattr(os, name), str))
    os.fsync = self._around("fsync", os.fsync, _path_of)
    opened = builtins.open
    around = self._around("open", opened, str)

    def open_(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
      writes = isinstance(mode, str) and set(mode) & set("wax+")
      return (around if writes else opened)(file, mode, *args, **more)

    builtins.open = io.open = open_

  def _around(
    self, name: str, work: Callable, path_of: Callable[[Any], str]
  ) -> Callable:
    def operation(first: Any, *args: Any, **more: Any) -> Any:
      path = path_of(first)
      due = self._counts(path) and self._is_due()
      if due and not self._behind:
        self._happens(name, path)
      result = work(first, *args, **more)
      if due and self._behind:
        self._happens(name, path)
      return result

    return operation

  def _happens(self, name: str, path: str) -> None:
    self._tell()
    self._act(name, path)

  def _counts(self, path: str) -> bool:
    name = os.path.basename(path).removesuffix(".part")
    return name not in _ALIVE and any(
      path == place or path.startswith(f"{place}/") for place in self._places
    )

  def _is_due(self) -> bool:
    with self._lock:
      self.seen += 1
      return self.seen == self._at + 1


def killing(number: int) -> Act:
  """Sends this process a signal."""

  def act(name: str, path: str) -> None:
    os.kill(os.getpid(), number)

  return act


def failing(code: int) -> Act:
  """Makes the operation fail, as a full or a lost disk does."""

  def act(name: str, path: str) -> None:
    raise OSError(code, os.strerror(code), path)

  return act


def _path_of(number: int) -> str:
  try:
    return os.readlink(f"/proc/self/fd/{number}")
  except OSError:
    return ""


FULL = errno.ENOSPC
