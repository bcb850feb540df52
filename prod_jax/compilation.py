"""Compiled programs kept on disk, and what of them was used.

A program is compiled once for a user: a resumed run, another stage or another
run with the same shapes reads it.
"""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
from absl import logging

from prod_jax import memory

_COMPILED = "/jax/core/compile/backend_compile_duration"
_READ = "/jax/compilation_cache/cache_retrieval_time_sec"
_LONG = 0.2  # seconds of a compilation that takes much memory


def keep(folder: pathlib.Path) -> None:
  """Keeps every program in `folder`, unless the user has set another one."""
  settings: Any = jax.config  # older versions of JAX do not type its options
  if not settings.jax_compilation_cache_dir:
    jax.config.update("jax_compilation_cache_dir", str(folder))
  # Small programs are many, and read in a hundredth of what they take to make.
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@contextlib.contextmanager
def logged(name: str) -> Iterator[None]:
  """Says how many programs the work compiled, and how many it found.

  What the compiler has freed is given back, and in the end what the work has.
  """
  took: dict[str, list[float]] = {_COMPILED: [], _READ: []}

  def listen(event: str, duration_secs: float, **_: str | int) -> None:
    if event in took:
      took[event].append(duration_secs)
    if event == _COMPILED and duration_secs > _LONG:
      memory.give_back()

  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    yield
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)
    memory.give_back()
    # JAX counts the reading of a kept program as a compilation too.
    new = len(took[_COMPILED]) - len(took[_READ])
    if took[_COMPILED]:
      logging.info(
        "%s: compiled %d programs in %.1f s, read %d from the compilation "
        "cache in %.1f s",
        name,
        new,
        sum(took[_COMPILED]) - sum(took[_READ]),
        len(took[_READ]),
        sum(took[_READ]),
      )
