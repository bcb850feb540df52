"""Memory that was freed, given back; and what never is, not looked at.

glibc keeps what is freed for what is asked for next, in an arena for each few
threads. After the step of a tiny encoder was compiled that was 150 MB, and two
more with each checkpoint.
"""

import contextlib
import ctypes
import functools
import gc
import os
from collections.abc import Callable, Iterator

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h


def limit_arenas() -> None:
  """Lets malloc have an arena a core, as many as are at work at once.

  glibc has eight a core, and a run goes through all of them: each checkpoint
  and each stage has threads of its own. To be called before there are any, as
  an arena stays. Nothing happens where the environment says how many, or with
  another C library.
  """
  tuned = os.environ.get("GLIBC_TUNABLES", "")
  if "MALLOC_ARENA_MAX" in os.environ or "malloc.arena_max" in tuned:
    return
  if set_option := _of_c("mallopt"):
    set_option(_ARENA_MAX, max(len(os.sched_getaffinity(0)), 2))


def give_back() -> None:
  """Gives back what is free; with another C library nothing happens."""
  if trim := _of_c("malloc_trim"):
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
def _of_c(name: str) -> Callable[..., int] | None:
  try:
    found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
  except (OSError, AttributeError):  # elsewhere than on Linux, and with musl
    return None
  return found
