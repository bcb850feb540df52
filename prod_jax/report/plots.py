"""Charts as SVG: progression, loss curve, score distribution.

All are drawn for the width of a phone, so that their letters keep their size
there; on wider screens they stand side by side.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from prod_jax.report import tables
from prod_jax.report.markup import Tag, tag

WIDTH, HEIGHT = 344.0, 220.0
_BINS = 36
_LETTER = 6.2
_LINE = 13.0


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

  def at(self, x: float, y: float) -> tuple[float, float]:
    """A point of the data in the picture."""
    across = (x - self.x[0]) / (self.x[1] - self.x[0])
    up = (y - self.y[0]) / (self.y[1] - self.y[0])
    wide = WIDTH - self.left - self.right
    high = HEIGHT - self.top - self.bottom
    return self.left + across * wide, HEIGHT - self.bottom - up * high

  def path(self, xs: Sequence[float], ys: Sequence[float]) -> str:
    """A line through points of the data."""
    points = (self.at(x, y) for x, y in zip(xs, ys, strict=True))
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def progression(
  metric: str,
  stages: Sequence[str],
  values: Sequence[float],
  teachers: Sequence[tuple[str, float]],
) -> Tag:
  """A metric of the student after each stage, with its teachers as lines."""
  top = max([*values, *(v for _, v in teachers), 1e-3])
  high = ticks(0.0, top * 1.08)[-1]
  frame = Frame(
    x=(-0.35, max(len(stages) - 1, 1) + 0.35),
    y=(0.0, max(high, top * 1.08)),
    right=92.0 if teachers else 12.0,
    bottom=52.0,
  )
  short = _shortened(stages)
  spoken = ", ".join(
    f"{n} {tables.number(v)}"
    for n, v in [*zip(stages, values, strict=True), *teachers]
  )
  return _svg(
    f"{metric} of the student after each stage",
    spoken,
    _y_axis(frame, metric),
    *_references(frame, teachers),
    tag("path", d=frame.path(range(len(values)), values), class_="line"),
    *(_point(frame, i, v, teachers) for i, v in enumerate(values)),
    *(_below(frame, i, name, short) for i, name in enumerate(short)),
    _x_label(frame, "student's stage, in the order of the run"),
  )


def curve(name: str, steps: Sequence[int], values: Sequence[float]) -> Tag:
  """The loss of a train stage against its steps, on a scale of its own."""
  xs, ys = _thinned(steps, values)
  low, high = min(ys), max(ys)
  pad = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
  frame = Frame(
    x=(0.0, float(max(xs[-1], 1))), y=(low - pad, high + pad), bottom=34.0
  )
  last_x, last_y = frame.at(xs[-1], ys[-1])
  return _svg(
    f"Loss of {name}",
    f"from {ys[0]:.4g} at step {xs[0]:g} to {ys[-1]:.4g} at step {xs[-1]:g}",
    _y_axis(frame, "loss"),
    _x_axis(frame, "step"),
    tag("path", d=frame.path(xs, ys), class_="line"),
    tag("circle", cx=last_x, cy=last_y, r=3, class_="dot"),
  )


def distribution(
  title: str,
  unit: str,
  positives: np.ndarray,
  negatives: np.ndarray,
) -> Tag:
  """Scores of positives, upwards, against negatives, downwards.

  Each side is in percent of its own number, so that both have one area.
  """
  low = min(float(np.quantile(v, 0.002)) for v in (positives, negatives))
  high = max(float(np.quantile(v, 0.998)) for v in (positives, negatives))
  if high <= low:
    low, high = low - 0.5, high + 0.5
  edges = np.linspace(low, high, _BINS + 1)
  up, down = (_percent(scores, edges) for scores in (positives, negatives))
  most = 1.12 * float(max(up.max(), down.max()))
  frame = Frame(x=(low, high), y=(-most, most), bottom=34.0)
  medians = [float(np.median(scores)) for scores in (positives, negatives)]
  return _svg(
    title,
    f"median of {len(positives):,} positives {medians[0]:.3g}, of "
    f"{len(negatives):,} negatives {medians[1]:.3g}",
    _y_axis(frame, "% of its kind"),
    _x_axis(frame, unit),
    tag("path", d=_bars(frame, edges, up), class_="positives"),
    tag("path", d=_bars(frame, edges, -down), class_="negatives"),
    tag("path", d=frame.path((low, high), (0, 0)), class_="zero"),
    *_median(frame, medians[0], most, "positives", len(positives)),
    *_median(frame, medians[1], -most, "negatives", len(negatives)),
  )


def ticks(low: float, high: float, most: int = 5) -> list[float]:
  """Round numbers that cover the inside of a range, at most `most` + 1."""
  rough = (high - low) / most
  power = 10.0 ** math.floor(math.log10(rough))
  step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= rough)
  first = math.ceil(low / step - 1e-9)
  last = math.floor(high / step + 1e-9)
  return [i * step for i in range(first, last + 1)]


def _svg(title: str, description: str, *children: Tag) -> Tag:
  return tag(
    "svg",
    tag("title", title),
    tag("desc", description),
    *children,
    class_="chart",
    role="img",
    viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
  )


def _text(words: str, x: float, y: float, anchor: str, kind: str = "") -> Tag:
  return tag("text", words, x=x, y=y, text_anchor=anchor, class_=kind)


def _y_axis(frame: Frame, unit: str) -> Tag:
  left, right = frame.x
  found = []
  for value in ticks(*frame.y):
    x, y = frame.at(left, value)
    found.append(
      tag("path", d=frame.path((left, right), (value, value)), class_="grid")
    )
    # Downward bars count what is there just the same.
    label = f"{abs(value) if '%' in unit else value:.4g}"
    found.append(_text(label, x - 6, y + 4, "end", "tick"))
  return tag("g", *found, _text(unit, 4, 12, "start", "unit"))


def _x_axis(frame: Frame, unit: str) -> Tag:
  found = []
  for value in ticks(*frame.x):
    x, _ = frame.at(value, frame.y[0])
    y = HEIGHT - frame.bottom
    found.append(_text(f"{value:,.4g}", x, y + 14, "middle", "tick"))
  return tag("g", *found, _x_label(frame, unit))


def _x_label(frame: Frame, words: str) -> Tag:
  middle = (frame.left + WIDTH - frame.right) / 2
  return _text(words, middle, HEIGHT - 6, "middle", "unit")


def _point(
  frame: Frame, at: int, value: float, teachers: Sequence[tuple[str, float]]
) -> Tag:
  x, y = frame.at(at, value)
  heights = [frame.at(at, v)[1] for _, v in teachers]
  # Above the point, unless a teacher's line goes through there.
  crossed = any(y - 24 < height <= y + 2 for height in heights)
  label = _text(
    f"{value:.3f}", x, y + (17 if crossed else -9), "middle", "value"
  )
  return tag("g", tag("circle", cx=x, cy=y, r=3.5, class_="dot"), label)


def _below(frame: Frame, at: int, name: str, all_names: Sequence[str]) -> Tag:
  """A category's name, slanted where the names would touch."""
  x, _ = frame.at(at, 0.0)
  y = HEIGHT - frame.bottom + 14
  next_x, _ = frame.at(at + 1, 0.0)
  if max(map(len, all_names)) * _LETTER < next_x - x:
    return _text(name, x, y, "middle", "tick")
  slant = f"rotate(-28 {x:.1f} {y:.1f})"
  return tag(
    "text",
    name,
    x=x + 4,
    y=y,
    text_anchor="end",
    class_="tick",
    transform=slant,
  )


def _references(
  frame: Frame, teachers: Sequence[tuple[str, float]]
) -> list[Tag]:
  """Dashed lines with their names at the right, moved apart."""
  found, free = [], math.inf
  for name, value in sorted(teachers, key=lambda pair: pair[1]):
    d = frame.path(frame.x, (value, value))
    x, y = frame.at(frame.x[1], value)
    free = min(y + 4, free)
    label = f"{name} {value:.3f}"
    found += [
      tag("path", d=d, class_="reference"),
      _text(label, x + 5, free, "start", "reference"),
    ]
    free -= _LINE
  return found


def _shortened(names: Sequence[str]) -> list[str]:
  """Names without the words, up to a "_", that all begin with."""
  words = [name.split("_") for name in names]
  same = 0
  while len(names) > 1 and all(len(w) > same + 1 for w in words):
    if len({w[same] for w in words}) > 1:
      break
    same += 1
  return ["_".join(w[same:]) for w in words]


def _thinned(
  steps: Sequence[int], values: Sequence[float], most: int = 300
) -> tuple[list[float], list[float]]:
  """Means of neighbours, so that a long stage is no longer than its chart."""
  parts = min(most, len(steps))
  means = [
    [float(part.mean()) for part in np.array_split(np.array(v, float), parts)]
    for v in (steps, values)
  ]
  return means[0], means[1]


def _percent(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
  # What lies outside counts in the outermost bars, so that nothing is lost.
  inside = np.clip(scores, edges[0], edges[-1])
  return 100 * np.histogram(inside, edges)[0] / max(len(scores), 1)


def _bars(frame: Frame, edges: np.ndarray, heights: np.ndarray) -> str:
  xs = [float(edge) for edge in np.repeat(edges, 2)]
  ys = [0.0, *(float(height) for height in np.repeat(heights, 2)), 0.0]
  return frame.path(xs, ys) + "Z"


def _median(
  frame: Frame, value: float, edge: float, kind: str, count: int
) -> list[Tag]:
  x, y = frame.at(value, edge)
  inside = 12 if edge > 0 else -4
  before = value > sum(frame.x) / 2
  words = f"{kind} ({count:,}), median {value:.3g}"
  anchor = "end" if before else "start"
  return [
    tag("path", d=frame.path((value, value), (0.0, edge)), class_="median"),
    _text(words, x + (-5 if before else 5), y + inside, anchor, "value"),
  ]
