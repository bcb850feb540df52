"""Progress of long work: a bar on a terminal, log lines elsewhere."""

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import tqdm
from absl import logging

T = TypeVar("T")

_SECONDS = 60


class Meter:
  """How far a work has come, as a context.

  Args:
    name: of the work.
    total: of it, None where nobody knows.
    seconds: at least so many between two log lines.
    quiet: log lines on a terminal too, as for all processes but the first.
    at_once: the first line is due at once; else after so many seconds, where
      the beginning says nothing of the rate.
    bar: what else tqdm is told.

  Attributes:
    is_bar: whether it is one; what a bar shows need not be logged.
  """

  def __init__(
    self,
    name: str,
    total: int | None,
    *,
    seconds: int = _SECONDS,
    quiet: bool = False,
    at_once: bool = True,
    **bar: Any,
  ):
    # None: no bar where there is no terminal.
    disable = True if quiet else None
    self._bar = tqdm.tqdm(desc=name, total=total, disable=disable, **bar)
    self.is_bar = not self._bar.disable
    self._seconds = seconds
    self._logged = -math.inf if at_once else time.monotonic()

  def __enter__(self) -> "Meter":
    return self

  def __exit__(self, *error: object) -> None:
    self.close()

  def close(self) -> None:
    """Ends the bar."""
    self._bar.close()

  def add(
    self,
    done: int,
    line: str,
    *values: object,
    beside: str = "",
    last: bool = False,
  ) -> None:
    """Moves the bar on by what is done, or logs a line that is due.

    Args:
      done: since it was called before.
      line, values: as logging takes them.
      beside: what the bar says besides.
      last: the line is due in any case.
    """
    if self.is_bar:
      self._bar.set_postfix_str(beside, refresh=False)
      self._bar.update(done)
      return
    now = time.monotonic()
    if last or now - self._logged >= self._seconds:
      self._logged = now
      logging.info(line, *values)


def shown(
  items: Iterable[T], name: str, unit: str, total: int | None = None
) -> Iterator[T]:
  """Yields the items, and shows how many have been taken.

  Args:
    items: to pass on.
    name: of the work.
    unit: what an item is, in the plural.
    total: how many there will be, None where nobody knows.
  """
  of_total = f" of {total}" if total else ""
  with Meter(name, total, unit=f" {unit}") as meter:
    for done, item in enumerate(items, 1):
      yield item
      meter.add(1, "%s: %d%s %s", name, done, of_total, unit)
