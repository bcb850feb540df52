"""Memory that was freed, given back to the system.

glibc keeps what is freed for what is asked for next, in an arena for each few
threads. After the step of a tiny encoder was compiled that was 150 MB, and two
more with each checkpoint.
"""

import ctypes
import functools
from collections.abc import Callable


def give_back() -> None:
  """Gives back what is free; with another C library nothing happens."""
  if trim := _trim():
    trim(0)


@functools.cache
def _trim() -> Callable[[int], int] | None:
  try:
    trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
  except (OSError, AttributeError):  # elsewhere than on Linux, and with musl
    return None
  return trim
