"""Progress of long work: a bar on a terminal, log lines elsewhere."""

import logging as stdlib_logging
import time
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, TypeVar

import tqdm
from absl import logging

from prod_jax.strict import printable

T = TypeVar("T")

SECONDS = 60  # between two log lines
_FIRST = 5  # seconds until the first one


class Meter:
  """How far a work has come, as a context.

  A log line has the rate and the time that is left by it:

    encode_student: 4096 of 15800 passages, 38/s, 5.1 min left

  Args:
    name: of the work.
    total: of it, None where nobody knows.
    unit: what is counted, in the plural.
    initial: how much of it was done before.
    quiet: log lines on a terminal too, as for all processes but the first.
    only_long: a work that takes no longer than a minute has no line.
    bar: what else tqdm is told.

  Attributes:
    latest: of all meters the one that has begun or moved last.
    name, total, unit: as above.
    done: how much is.
    is_bar: whether it is one; what a bar shows need not be logged.
  """

  latest: ClassVar["Meter | None"] = None

  def __init__(
    self,
    name: str,
    total: int | None,
    unit: str,
    *,
    initial: int = 0,
    quiet: bool = False,
    only_long: bool = False,
    **bar: Any,
  ):
    self.name, self.total, self.unit, self.done = name, total, unit, initial
    self._counted = _large if bar.get("unit_scale") else str
    self._bar = tqdm.tqdm(
      desc=name,
      total=total,
      unit=f" {unit}",
      initial=initial,
      disable=True if quiet else None,  # None: where there is no terminal
      **bar,
    )
    self.is_bar = not self._bar.disable
    first = SECONDS if only_long else _FIRST
    self._due = time.monotonic() + first
    self._says_all = not only_long
    self._counted_from: tuple[float, int] | None = None
    Meter.latest = self

  def __enter__(self) -> "Meter":
    return self

  def __exit__(self, *error: object) -> None:
    self.close()

  def close(self) -> None:
    """Ends the bar."""
    self._bar.close()

  @property
  def rate(self) -> float | None:
    """What is done in a second, None until that can be said."""
    if self._counted_from is None:
      return None
    since, before = self._counted_from
    seconds = time.monotonic() - since
    return (self.done - before) / seconds if seconds > 0 else None

  @property
  def seconds_left(self) -> float | None:
    """Until the end, at this rate; None where rate or end is unknown."""
    if not self.rate or self.total is None:
      return None
    return max(self.total - self.done, 0) / self.rate

  def add(self, done: int, beside: str = "", last: bool = False) -> None:
    """Moves the bar on by what is done, or logs a line that is due.

    Args:
      done: since it was called before.
      beside: what there is to say besides.
      last: the line is due in any case.
    """
    Meter.latest = self
    self.done += done
    now = time.monotonic()
    if self._counted_from is None:
      # The first part takes longer, since it compiles; or was done before.
      self._counted_from = now, self.done
    if self.is_bar:
      self._bar.set_postfix_str(beside, refresh=False)
      self._bar.update(done)
      return
    whole = self._says_all and done > 0 and self.done == self.total
    if last or whole or now >= self._due:
      self._due, self._says_all = now + SECONDS, True
      logging.info("%s", self._line(beside))

  def _line(self, beside: str) -> str:
    of_total = f" of {self._counted(self.total)}" if self.total else ""
    said = [f"{self.name}: {self._counted(self.done)}{of_total} {self.unit}"]
    if self.rate:
      said.append(f"{per_second(self.rate)}/s")
    if self.seconds_left:
      said.append(f"{duration(self.seconds_left)} left")
    return ", ".join(said + [beside] * bool(beside))


class Lines(stdlib_logging.StreamHandler):
  """Writes log lines, each above the bars of a terminal and not into one.

  A name in them may be anybody's: what a terminal would obey is left out.
  """

  def format(self, record: stdlib_logging.LogRecord) -> str:
    return printable(super().format(record), keep="\n\t")

  def emit(self, record: stdlib_logging.LogRecord) -> None:
    with tqdm.tqdm.external_write_mode(file=self.stream):
      super().emit(record)


def shown(
  items: Iterable[T],
  name: str,
  unit: str,
  total: int | None = None,
  **meter: Any,
) -> Iterator[T]:
  """Yields the items, and shows how many have been taken.

  Args:
    items: to pass on.
    name: of the work.
    unit: what an item is, in the plural.
    total: how many there will be, None where nobody knows.
    meter: what else a Meter is told.
  """
  with Meter(name, total, unit, **meter) as bar:
    for item in items:
      yield item
      bar.add(1)


def latest() -> dict[str, Any]:
  """How far the work is that has moved last, as JSON; {} before any."""
  meter = Meter.latest
  if meter is None:
    return {}
  return {
    "work": meter.name,
    "done": meter.done,
    "total": meter.total,
    "unit": meter.unit,
    "rate": meter.rate,
    "seconds_left": meter.seconds_left,
  }


def per_second(rate: float | int) -> str:
  """A rate as text: whole from 10, else two digits."""
  if rate >= 1e4:
    return _large(rate)
  return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"


def duration(seconds: float | int) -> str:
  """Seconds as text, in the unit that a reader would take."""
  if seconds < 90:
    return f"{seconds:.0f} s"
  minutes = seconds / 60
  return f"{minutes:.1f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _large(number: float | int) -> str:
  """A number of any size with three digits, such as 1.23M."""
  return tqdm.tqdm.format_sizeof(number)
