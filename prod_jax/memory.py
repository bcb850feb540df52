"""Memory that was freed, given back; and what never is, not looked at.

glibc keeps what is freed for what is asked for next, in an arena for each few
threads. After the step of a tiny encoder was compiled that was 150 MB, and two
more with each checkpoint.
"""

import contextlib
import ctypes
import functools
import gc
from collections.abc import Callable, Iterator


def give_back() -> None:
  """Gives back what is free; with another C library nothing happens."""
  if trim := _trim():
    trim(0)


@contextlib.contextmanager
def imports() -> Iterator[None]:
  """Imports within it, for as long as the process lives.

  They leave 200,000 objects and next to no garbage. Python's collector would
  go through them several times before they are all there, and again with each
  full collection.
  """
  was_on = gc.isenabled()
  gc.disable()
  try:
    yield
  finally:
    gc.freeze()
    if was_on:
      gc.enable()


@functools.cache
def _trim() -> Callable[[int], int] | None:
  try:
    trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
  except (OSError, AttributeError):  # elsewhere than on Linux, and with musl
    return None
  return trim
