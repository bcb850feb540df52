"""Charts as SVG: progression, loss curve, score distribution.

Size, margins and axes are those of axes.py.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from prod_jax.report import axes
from prod_jax.report.markup import Tag, tag

# Of lines over one another, by the order of their runs.
RUNS = ("first", "second", "third", "fourth")
_BINS = 36
_POINTS = 300  # of a curve, at most
_LETTER = 6.2
_LINE = 13.0
# How far the axis goes beyond the highest bar, for a line of words.
_STRIP = 1.3


def progression(
  metric: str,
  stages: Sequence[str],
  values: Sequence[float],
  teachers: Sequence[tuple[str, float]],
) -> Tag:
  """A metric of the student after each stage, with its teachers as lines."""
  short = _shortened(stages)
  high = 1.08 * max([*values, *(v for _, v in teachers), 1e-3])
  frame = axes.Frame(
    x=(-0.35, max(len(stages) - 1, 1) + 0.35),
    y=(0.0, high),
    right=_room(teachers),
  )
  space = frame.at(1, 0)[0] - frame.at(0, 0)[0]
  slanted = max(map(len, short)) * _LETTER > space
  if slanted:
    frame = dataclasses.replace(frame, bottom=86.0)
  best = max(range(len(values)), key=values.__getitem__)
  told = range(len(values)) if space > 30 else {0, best, len(values) - 1}
  spoken = ", ".join(
    f"{n} {v:.3f}" for n, v in [*zip(stages, values, strict=True), *teachers]
  )
  return axes.svg(
    f"{metric} of the student after each stage",
    spoken,
    axes.y_axis(frame, metric, axes.ticks(*frame.y)),
    *_references(frame, teachers),
    tag("path", d=frame.path(range(len(values)), values), class_="line"),
    *(_dot(frame, i, v) for i, v in enumerate(values)),
    *(_value(frame, i, values[i], teachers) for i in told),
    *(_below(frame, i, name, slanted) for i, name in enumerate(short)),
    axes.x_label(frame, "student's stage, in the order of the run"),
  )


def curve(
  name: str,
  who: str,
  steps: Sequence[int],
  values: Sequence[float],
  rates: Sequence[float] = (),
) -> Tag:
  """The loss of a train stage against its steps, on a scale of its own.

  Args:
    name: of the stage.
    who: "student" or "teacher".
    steps: of the logged values.
    values: the losses.
    rates: the learning rates of all these steps, or nothing.
  """
  xs, ys = _thinned(steps, values)
  frame = _around(xs, ys)
  last_x, last_y = frame.at(xs[-1], ys[-1])
  return axes.svg(
    f"Loss of {name}",
    f"from {ys[0]:.4g} at step {xs[0]:g} to {ys[-1]:.4g} at step {xs[-1]:g}",
    axes.y_axis(frame, "loss", axes.ticks(*frame.y)),
    axes.x_axis(frame, "step"),
    *(_rates(frame, steps, rates) if len(rates) == len(steps) else []),
    tag("path", d=frame.path(xs, ys), class_=f"line {who}"),
    tag("circle", cx=last_x, cy=last_y, r=3, class_=f"dot {who}"),
  )


def curves(name: str, logged: Mapping[str, tuple[list, list]]) -> Tag:
  """The losses of stages of one name over one another.

  Args:
    name: of the stages.
    logged: steps and losses of each, by its run.
  """
  thin = {run: _thinned(*of) for run, of in logged.items()}
  every = [
    np.concatenate(of).tolist() for of in zip(*thin.values(), strict=True)
  ]
  frame = _around(*every)
  spoken = "; ".join(
    f"{run} from {ys[0]:.4g} to {ys[-1]:.4g}" for run, (_, ys) in thin.items()
  )
  return axes.svg(
    f"Loss of {name} in {len(thin)} runs",
    spoken,
    axes.y_axis(frame, "loss", axes.ticks(*frame.y)),
    axes.x_axis(frame, "step"),
    *(
      tag("path", d=frame.path(xs, ys), class_=f"line {RUNS[i % len(RUNS)]}")
      for i, (xs, ys) in enumerate(thin.values())
    ),
  )


def progressions(
  metric: str, stages: Sequence[str], runs: Mapping[str, Mapping[str, float]]
) -> Tag:
  """A metric of the student after each stage, of several runs.

  Args:
    metric: its name.
    stages: in order; a run may lack some.
    runs: values by stage, by the name of the run.
  """
  short = _shortened(stages)
  values = [value for of in runs.values() for value in of.values()]
  # Not from 0: here the differences count.
  pad = 0.15 * (max(values) - min(values)) or 0.1
  frame = axes.Frame(
    x=(-0.35, max(len(stages) - 1, 1) + 0.35),
    y=(max(min(values) - pad, 0.0), max(values) + pad),
    bottom=86.0,
  )
  lines = []
  for i, of in enumerate(runs.values()):
    kind = RUNS[i % len(RUNS)]
    at = [x for x, stage in enumerate(stages) if stage in of]
    ys = [of[stages[x]] for x in at]
    dots = (frame.at(x, y) for x, y in zip(at, ys, strict=True))
    lines += [
      tag("path", d=frame.path(at, ys), class_=f"line {kind}"),
      *(
        tag("circle", cx=x, cy=y, r=3.5, class_=f"dot {kind}") for x, y in dots
      ),
    ]
  spoken = "; ".join(
    f"{run}: " + ", ".join(f"{stage} {v:.3f}" for stage, v in of.items())
    for run, of in runs.items()
  )
  return axes.svg(
    f"{metric} of the student in {len(runs)} runs",
    spoken,
    axes.y_axis(frame, metric, axes.ticks(*frame.y)),
    *lines,
    *(_below(frame, i, name, slanted=True) for i, name in enumerate(short)),
    axes.x_label(frame, "student's stage, in the order of the runs"),
  )


def times(sums: Mapping[str, Sequence[float]]) -> Tag:
  """Seconds after each stage, of a forecast and of its run.

  Args:
    sums: by what they are of, from 0 on; the forecast's come first.
  """
  forecast, took = sums.values()
  stages = range(len(took))
  frame = axes.Frame(
    x=(0.0, float(max(len(took) - 1, 1))),
    y=(0.0, 1.08 * max(forecast[-1], took[-1], 1e-3)),
  )
  spoken = ", ".join(f"{name} {of[-1]:.0f} s" for name, of in sums.items())
  return axes.svg(
    "Seconds of the run and of its forecast",
    spoken,
    axes.y_axis(frame, "s", axes.ticks(*frame.y)),
    axes.x_axis(frame, "stages done"),
    tag("path", d=frame.path(stages, took), class_=f"line {RUNS[0]}"),
    tag("path", d=frame.path(stages, forecast), class_=f"line {RUNS[1]}"),
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
  most = float(max(up.max(), down.max()))
  frame = axes.Frame(
    x=(low, high), y=(-_STRIP * most, _STRIP * most), bottom=34.0
  )
  return axes.svg(
    title,
    f"{len(positives):,} positives, {len(negatives):,} negatives",
    axes.y_axis(frame, "% of its kind", axes.ticks(-most, most)),
    axes.x_axis(frame, unit),
    tag("path", d=_bars(frame, edges, up), class_="positives"),
    tag("path", d=_bars(frame, edges, -down), class_="negatives"),
    tag("path", d=frame.path((low, high), (0, 0)), class_="zero"),
    *_side(frame, positives, most, "positives"),
    *_side(frame, negatives, -most, "negatives"),
  )


def _around(xs: Sequence[float], ys: Sequence[float]) -> axes.Frame:
  """A frame with room for curves from step 0 on."""
  low, high = min(ys), max(ys)
  pad = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
  return axes.Frame(
    x=(0.0, float(max(*xs, 1))), y=(low - pad, high + pad), bottom=34.0
  )


def _rates(
  frame: axes.Frame, steps: Sequence[int], rates: Sequence[float]
) -> list[Tag]:
  """Learning rates, from 0 to the highest over the height of the frame."""
  xs, ys = _thinned(steps, rates)
  low, high = frame.y
  peak = max(rates)
  scaled = [low + (high - low) * y / (peak or 1.0) for y in ys]
  words = f"learning rate up to {peak:.2g}"
  return [
    tag("path", d=frame.path(xs, scaled), class_="rate"),
    axes.text(words, axes.WIDTH - frame.right, 12, "end", "unit"),
  ]


def _dot(frame: axes.Frame, at: int, value: float) -> Tag:
  x, y = frame.at(at, value)
  return tag("circle", cx=x, cy=y, r=3.5, class_="dot")


def _value(
  frame: axes.Frame,
  at: int,
  value: float,
  teachers: Sequence[tuple[str, float]],
) -> Tag:
  """The number above its point, or below if a teacher's line is there."""
  x, y = frame.at(at, value)
  heights = [frame.at(at, v)[1] for _, v in teachers]
  crossed = any(y - 24 < height <= y + 2 for height in heights)
  away = 17 if crossed else -9
  return axes.text(f"{value:.3f}", x, y + away, "middle", "value")


def _below(frame: axes.Frame, at: int, name: str, slanted: bool) -> Tag:
  """The name of a stage under its point, slanted where names would touch."""
  x, y = frame.at(at, frame.y[0])
  if not slanted:
    return axes.text(name, x, y + 14, "middle", "tick")
  x, y = x + 4, y + 11
  cut = name if len(name) < 14 else f"{name[:12]}…"
  return tag(
    "text",
    cut,
    x=x,
    y=y,
    text_anchor="end",
    class_="tick",
    transform=f"rotate(-40 {x:.1f} {y:.1f})",
  )


def _references(
  frame: axes.Frame, teachers: Sequence[tuple[str, float]]
) -> list[Tag]:
  """Dashed lines with their names at the right, moved apart."""
  found, free = [], math.inf
  for name, value in sorted(teachers, key=lambda pair: pair[1]):
    d = frame.path(frame.x, (value, value))
    x, y = frame.at(frame.x[1], value)
    free = min(y + 4, free)
    label = _reference(name, value)
    found += [
      tag("path", d=d, class_="reference"),
      axes.text(label, x + 5, free, "start", "reference"),
    ]
    free -= _LINE
  return found


def _reference(name: str, value: float) -> str:
  return f"{name if len(name) < 15 else name[:13] + '…'} {value:.3f}"


def _room(teachers: Sequence[tuple[str, float]]) -> float:
  """The right margin that the names of the teachers need."""
  return 12 + _LETTER * max((len(_reference(*t)) for t in teachers), default=0)


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
  steps: Sequence[int], values: Sequence[float]
) -> tuple[list[float], list[float]]:
  """Means of neighbours, so that a long stage is no longer than its chart."""
  parts = min(_POINTS, len(steps))
  means = [
    [float(part.mean()) for part in np.array_split(np.array(v, float), parts)]
    for v in (steps, values)
  ]
  return means[0], means[1]


def _percent(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
  # What lies outside counts in the outermost bars, so that nothing is lost.
  inside = np.clip(scores, edges[0], edges[-1])
  return 100 * np.histogram(inside, edges)[0] / max(len(scores), 1)


def _bars(frame: axes.Frame, edges: np.ndarray, heights: np.ndarray) -> str:
  xs = [float(edge) for edge in np.repeat(edges, 2)]
  ys = [0.0, *(float(height) for height in np.repeat(heights, 2)), 0.0]
  return frame.path(xs, ys) + "Z"


def _side(
  frame: axes.Frame, scores: np.ndarray, height: float, kind: str
) -> list[Tag]:
  """The median of one side, and its name in the free strip beyond the bars."""
  median = float(np.median(scores))
  x, y = frame.at(frame.x[0], _STRIP * height)
  words = f"{len(scores):,} {kind}, median {median:.3g}"
  line = frame.path((median, median), (0.0, height))
  return [
    tag("path", d=line, class_="median"),
    axes.text(words, x + 2, y + (10 if height > 0 else -2), "start", "value"),
  ]
