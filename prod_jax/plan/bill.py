"""What a whole run costs: hours, hours of chips, and money."""

import pathlib
import tomllib
from collections.abc import Sequence
from typing import Any

from prod_jax import strict
from prod_jax.plan.chips import GIB
from prod_jax.progress import duration, per_second

Row = dict[str, Any]

_MOST = 1e9  # of a price
_NONE = "-"
_HEAD = ("stage", "kind", "work", "memory", "once", "time", "")


def price_of(path: str) -> float:
  """What an hour of a chip costs, as a settings file of launch/ says it.

  Raises:
    ConfigError: it cannot be read, or has no price.
  """
  try:
    said = tomllib.loads(pathlib.Path(path).read_text(encoding="utf-8-sig"))
  # Also of bytes that are no text, numbers too long, and brackets too deep.
  except (OSError, ValueError, RecursionError) as error:
    raise strict.ConfigError(f"--settings={path}: {error}") from error
  price = said.get("price", 0)
  known = isinstance(price, int | float) and not isinstance(price, bool)
  if not (known and abs(price) <= _MOST):  # NaN is not
    raise strict.ConfigError(f"--settings={path}: price is {price!r}")
  if price <= 0:
    raise strict.ConfigError(
      f"--settings={path} has no price; add price = 1.2, what an hour of one "
      "chip costs"
    )
  return float(price)


def total(
  hours: Sequence[float | None], chips: int, price: float, at_most: bool = False
) -> str:
  """All stages in one line.

  Args:
    hours: of each stage, None where they are not known.
    chips: that each of these hours takes.
    price: of an hour of a chip, 0 where nobody has said it.
    at_most: some stages may take less, or be skipped.
  """
  known = [value for value in hours if value is not None]
  all_hours = sum(known, start=0.0)
  said = [
    f"{_stages(len(hours))}: {'at most ' * at_most}{_hours(all_hours)}",
    f"{all_hours * chips:.2f} chip-hours",
  ]
  if price:
    said.append(
      f"{all_hours * chips * price:,.2f} at {price:g} an hour of a chip"
    )
  if missing := len(hours) - len(known):
    said.append(f"without {missing} whose time is not known")
  return ", ".join(said)


def text(rows: Sequence[Row], machine: str, chips: int, price: float) -> str:
  """Rows of `here.plan` as columns for a terminal, and all of it in a line."""
  table = [_HEAD, *(_cells(row) for row in rows)]
  widths = [max(map(len, column)) for column in zip(*table, strict=True)]
  lines = [
    "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
    for line in table
  ]
  hours = [row["seconds"] and row["seconds"] / 3600 for row in rows]
  at_most = any(row["at_most"] for row in rows)
  ending = total(hours, chips, price, at_most)
  return "\n".join([f"measured on {machine}", *lines, "", ending]) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
  seconds, memory = row["seconds"], row["memory_bytes"]
  return (
    row["stage"],
    row["kind"],
    "; ".join(map(_work, row["parts"])) or _NONE,
    f"{memory / GIB:.2f} GiB" if memory else _NONE,
    duration(row["once_seconds"]) if row["once_seconds"] else _NONE,
    _NONE if seconds is None else duration(seconds),
    row["why"] or "; ".join(row["at_most"]),
  )


def _work(row: Row) -> str:
  each = row["seconds_each"]
  rate = f" of {each * 1e3:.0f} ms" if each >= 0.01 else ""
  rate = rate or (f" at {per_second(1 / each)}/s" if each else "")
  return f"{row['count']:,} {row['unit']}{rate}"


def _hours(hours: float) -> str:
  return f"{hours:.2f} h ({duration(hours * 3600)})"


def _stages(count: int) -> str:
  return f"all {count} stages" if count > 1 else "1 stage"
