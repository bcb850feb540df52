"""The frame of a chart: its size, its plot area, axes and their words.

All charts are as wide as a phone, so that their letters keep their size there;
on wider screens they stand side by side. What is plotted is plots.py.
"""

import dataclasses
import math
from collections.abc import Sequence

from prod_jax.report.markup import Tag, tag

WIDTH, HEIGHT = 344.0, 220.0

Number = float | int


@dataclasses.dataclass(frozen=True)
class Frame:
  """A plot area and the ranges of its two axes.

  Attributes:
    left, top, right, bottom: margins, in pixels.
    x, y: lowest and highest value.
  """

  x: tuple[float, float]
  y: tuple[float, float]
  left: float = 44.0
  top: float = 26.0
  right: float = 12.0
  bottom: float = 36.0

  def at(self, x: Number, y: Number) -> tuple[float, float]:
    """A point of the data in the picture."""
    across = (x - self.x[0]) / (self.x[1] - self.x[0])
    up = (y - self.y[0]) / (self.y[1] - self.y[0])
    wide = WIDTH - self.left - self.right
    high = HEIGHT - self.top - self.bottom
    return self.left + across * wide, HEIGHT - self.bottom - up * high

  def path(self, xs: Sequence[Number], ys: Sequence[Number]) -> str:
    """A line through points of the data."""
    points = (self.at(x, y) for x, y in zip(xs, ys, strict=True))
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def ticks(low: float, high: float, count: int = 6) -> list[float]:
  """Round numbers that cover the inside of a range, at most `count` + 1."""
  rough = (high - low) / count
  power = 10.0 ** math.floor(math.log10(rough))
  step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= rough)
  first = math.ceil(low / step - 1e-9)
  last = math.floor(high / step + 1e-9)
  return [i * step for i in range(first, last + 1)]


def svg(title: str, description: str, *children: Tag) -> Tag:
  """A chart; title and description are what a screen reader says."""
  return tag(
    "svg",
    tag("title", title),
    tag("desc", description),
    *children,
    class_="chart",
    role="img",
    viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
  )


def text(words: str, x: Number, y: Number, anchor: str, kind: str) -> Tag:
  """Words at a place; `kind` is their class in the style sheet."""
  return tag("text", words, x=x, y=y, text_anchor=anchor, class_=kind)


def y_axis(frame: Frame, unit: str, at: Sequence[float]) -> Tag:
  """Grid lines at some values, these values, and their unit."""
  left, right = frame.x
  found = []
  for value in at:
    x, y = frame.at(left, value)
    found.append(
      tag("path", d=frame.path((left, right), (value, value)), class_="grid")
    )
    # Downward bars count what is there just the same.
    label = f"{abs(value) if '%' in unit else value:.10g}"
    found.append(text(label, x - 6, y + 4, "end", "tick"))
  return tag("g", *found, text(unit, 4, 12, "start", "unit"))


def x_axis(frame: Frame, unit: str) -> Tag:
  """Round values along the axis, and their unit."""
  found = []
  for value in ticks(*frame.x):
    x, _ = frame.at(value, frame.y[0])
    y = HEIGHT - frame.bottom
    found.append(text(f"{value:,.10g}", x, y + 14, "middle", "tick"))
  return tag("g", *found, x_label(frame, unit))


def x_label(frame: Frame, words: str) -> Tag:
  """What runs along the axis."""
  middle = (frame.left + WIDTH - frame.right) / 2
  return text(words, middle, HEIGHT - 6, "middle", "unit")
