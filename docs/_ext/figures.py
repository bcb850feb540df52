"""Draws the figures of the pages that explain: python docs/_ext/figures.py

Curves and bars are what the functions of `prod_jax.losses` make of the numbers
that stand here. A test holds what lies in docs/explanation/figures/ against it.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np

FOLDER = pathlib.Path(__file__).parents[1] / "explanation" / "figures"
sys.path.insert(0, str(FOLDER.parents[2]))

from prod_jax.losses import (  # noqa: E402
  contrastive,
  listwise,
  pairwise,
  preference,
)
from prod_jax.report import axes  # noqa: E402
from prod_jax.report.markup import Tag, render, tag  # noqa: E402

# Of a run's report, on paper. Blue is the student, orange its teacher.
BLUE, ORANGE, GREY = "#0a5f9e", "#ad4e00", "#868f98"
PALE, FAINT, EMPTY = "#8fbfe3", "#e7ebee", "none"
STYLE = """
svg { background: #fdfdfb; }
text { font: 11.5px system-ui, "Segoe UI", Roboto, Helvetica, sans-serif;
  fill: #1c2126; }
.tick, .unit { fill: #5b656e; font-size: 11px; }
.grid { stroke: #dfe2e5; stroke-width: 1; }
.line { fill: none; stroke-width: 2; }
"""
# A list of five passages: what a teacher thinks, and a student beside it.
TEACHER = np.array([6.0, 4.0, 3.5, 1.0, -1.0])
STUDENT = np.array([3.0, 4.5, 2.0, 3.0, 0.5])
T = 2.0


def softmax(scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
  """Shares of a list."""
  shares = np.exp((scores - scores.max()) / temperature)
  return shares / shares.sum()


def temperature() -> Tag:
  """What a temperature does to a teacher's scores."""
  series = {f"T = {t:g}": softmax(TEACHER, t) for t in (1.0, 2.0, 4.0)}
  return bars(
    "A teacher's scores at three temperatures",
    series,
    (ORANGE, "#d08a4e", "#ecc9a6"),
    [f"{z:g}" for z in TEACHER],
    "the teacher's score of each passage",
  )


def pull() -> Tag:
  """Both distributions over a list; KL pulls one to the other."""
  series = {
    "teacher": softmax(TEACHER, T),
    "student": softmax(STUDENT, T),
  }
  return bars(
    "What a teacher and a student think of one list",
    series,
    (ORANGE, BLUE),
    ["labelled", "2", "3", "4", "5"],
    "passages, in the teacher's order",
  )


def anchor() -> Tag:
  """Where a student comes to rest without LwF and with it."""
  teacher, before = softmax(TEACHER, T), softmax(STUDENT, T)
  # Of a KL(p || q) + b KL(o || q) the least is q = (a p + b o) / (a + b).
  soft, lwf = 0.9, 1.0
  series = {
    "before": before,
    "with LwF": (soft * teacher + lwf * before) / (soft + lwf),
    "without": teacher,
  }
  return bars(
    "Where the terms of PROD pull a student",
    series,
    (GREY, BLUE, ORANGE),
    ["labelled", "2", "3", "4", "5"],
    "passages, in the teacher's order",
  )


def margins() -> Tag:
  """Losses of a positive and a negative by how far apart they are."""
  margin = np.linspace(-3, 7, 101)
  student = jnp.stack([jnp.asarray(margin), jnp.zeros(101)], axis=-1)
  teacher = jnp.broadcast_to(jnp.array([2.0, 0.0]), student.shape)
  found = {
    "labels (CE)": contrastive.cross_entropy(student, jnp.zeros(101, int)),
    "KL": listwise.kl(student, teacher),
    "MarginMSE": pairwise.margin_mse(student, teacher),
  }
  return curves(
    "Three losses of a positive and one negative",
    margin,
    found,
    (GREY, ORANGE, BLUE),
    "the student's margin; the teacher's is 2",
    3.2,
  )


def order() -> Tag:
  """The loss of one pair by the ranks that its passages have."""
  difference = np.linspace(-3, 3, 61)
  loss = np.logaddexp(0, -difference)
  found = {
    f"ranks {i}, {j}": loss * abs(1 / i - 1 / j)
    for i, j in ((1, 10), (1, 2), (9, 10))
  }
  return curves(
    "The loss of a pair in CL-DRD",
    difference,
    found,
    (BLUE, ORANGE, GREY),
    "score of the better passage less that of the other",
    2.9,
  )


def preferences() -> Tag:
  """A pairwise teacher's preference, learnt from."""
  margin = np.linspace(-3, 5, 81)
  student = jnp.stack([jnp.asarray(margin), jnp.zeros(81)], axis=-1)
  first, second = jnp.zeros((81, 1), int), jnp.ones((81, 1), int)
  found = {}
  for prefer in (0.5, 0.75, 0.95):
    p = jnp.full((81, 1), prefer)
    sums = preference.preference_kl(student, first, second, p)
    found[f"p = {prefer:g}"] = sums.total
  return curves(
    "KL of a pairwise teacher's preference",
    margin,
    found,
    (GREY, ORANGE, BLUE),
    "score of the first passage less that of the second",
    2.6,
  )


def bars(
  title: str,
  series: Mapping[str, np.ndarray],
  colours: Sequence[str],
  names: Sequence[str],
  below: str,
) -> Tag:
  """Shares of five passages, a group of bars for each."""
  high = 1.15 * max(values.max() for values in series.values())
  frame = axes.Frame(x=(-0.5, len(names) - 0.5), y=(0.0, high), bottom=40.0)
  width = 0.8 / len(series)
  parts = []
  for number, (values, colour) in enumerate(
    zip(series.values(), colours, strict=True)
  ):
    for at, value in enumerate(values.tolist()):
      left, top = frame.at(at - 0.4 + number * width, value)
      right, bottom = frame.at(at - 0.4 + (number + 1) * width, 0)
      size = dict(width=right - left - 1, height=bottom - top)
      parts.append(tag("rect", x=left, y=top, fill=colour, **size))
  ticks = [
    axes.text(name, frame.at(at, 0)[0], axes.HEIGHT - 26, "middle", "tick")
    for at, name in enumerate(names)
  ]
  spoken = "; ".join(
    f"{name} {', '.join(f'{v:.2f}' for v in values)}"
    for name, values in series.items()
  )
  return axes.svg(
    title,
    spoken,
    axes.y_axis(frame, "share of the list", axes.ticks(*frame.y)),
    *parts,
    *ticks,
    *legend(list(series), colours),
    axes.x_label(frame, below),
  )


def legend(names: Sequence[str], colours: Sequence[str]) -> list[Tag]:
  """A square and a name each, in the upper right."""
  left = axes.WIDTH - 28 - 6.4 * max(map(len, names))
  parts = []
  for line, (name, colour) in enumerate(zip(names, colours, strict=True)):
    y = 34 + 16 * line
    parts.append(tag("rect", x=left, y=y - 9, width=10, height=10, fill=colour))
    parts.append(axes.text(name, left + 16, y, "start", "name"))
  return parts


def curves(
  title: str,
  xs: np.ndarray,
  found: Mapping[str, jnp.ndarray | np.ndarray],
  colours: Sequence[str],
  below: str,
  high: float,
) -> Tag:
  """Losses against a difference of scores.

  Args:
    title: of the figure.
    xs: the differences.
    found: losses by name.
    colours: of them.
    below: what runs along the axis.
    high: the largest loss that is drawn.
  """
  frame = axes.Frame(x=(float(xs[0]), float(xs[-1])), y=(0.0, high))
  parts = []
  for values, colour in zip(found.values(), colours, strict=True):
    losses = np.asarray(values, float)
    inside = losses <= high
    line = frame.path(xs[inside].tolist(), losses[inside].tolist())
    parts.append(tag("path", d=line, class_="line", stroke=colour))
  return axes.svg(
    title,
    f"{', '.join(found)} against {below}",
    axes.y_axis(frame, "loss", axes.ticks(0.0, high)),
    axes.x_axis(frame, below),
    *parts,
    *legend(list(found), colours),
  )


def columns() -> Tag:
  """Which passages of a batch a query is set against."""
  queries, own, size, left, top = 4, 3, 20.0, 70.0, 44.0
  parts = []
  for row in range(queries):
    y = top + row * (size + 4)
    parts.append(axes.text(f"query {row + 1}", left - 8, y + 14, "end", "name"))
    for column in range(queries * own):
      fill = PALE if column // own == row else FAINT
      fill = BLUE if column == row * own else fill
      if (row, column) == (3, 1):
        fill = EMPTY
      parts.append(square(left + column * (size + 1), y, size, fill))
  names = ("its positive", "its own list", "in-batch", "masked: labelled, too")
  for line, (name, fill) in enumerate(
    zip(names, (BLUE, PALE, FAINT, EMPTY), strict=True)
  ):
    x, y = left + 120 * (line % 2), 162.0 + 22 * (line // 2)
    parts.append(square(x, y, 12.0, fill))
    parts.append(axes.text(name, x + 18, y + 10, "start", "name"))
  return axes.svg(
    "Columns of a batch",
    "four queries with three passages each; in-batch losses see all twelve",
    axes.text(
      "passages of the batch, three a query", left, 30, "start", "unit"
    ),
    *parts,
  )


def division() -> Tag:
  """Which queries data progression keeps."""
  size, left, top, most = 10.0, 64.0, 36.0, 16
  parts = []
  for student in range(most):
    for teacher in range(most):
      fill = PALE if teacher < student and teacher <= 14 else FAINT
      if 1 <= student <= 14 and teacher == 0:
        fill = BLUE
      x, y = left + student * (size + 1), top + teacher * (size + 1)
      parts.append(square(x, y, size, fill))
  for rank in (1, 5, 10, 15):
    along = (rank - 1) * (size + 1)
    x, y = left + along + size / 2, top + along + size - 1
    parts.append(axes.text(f"{rank}", x, top - 5, "middle", "tick"))
    parts.append(axes.text(f"{rank}", left - 6, y, "end", "tick"))
  student, teacher = "rank by the student", "rank by the teacher"
  middle = top + most * (size + 1) / 2
  sideways = f"translate(28 {middle:g}) rotate(-90)"
  parts += [
    axes.text(student, left + most * (size + 1) / 2, 16, "middle", "unit"),
    tag(
      "text", teacher, transform=sideways, text_anchor="middle", class_="unit"
    ),
    *legend(("marco", "nq, too", "dropped"), (BLUE, PALE, FAINT)),
  ]
  return axes.svg(
    "Queries that data progression keeps",
    "marco keeps those that the student has 2nd to 15th and the teacher 1st; "
    "nq those that the teacher has higher, among its first 15",
    *parts,
  )


def square(x: float, y: float, size: float, fill: str) -> Tag:
  """A cell; one without a filling has a dashed frame."""
  stroke = GREY if fill == EMPTY else fill
  return tag(
    "rect",
    x=x,
    y=y,
    width=size,
    height=size,
    fill=fill,
    stroke=stroke,
    stroke_dasharray="3 2" if fill == EMPTY else "none",
  )


FIGURES: Sequence[Callable[[], Tag]] = (
  temperature,
  pull,
  anchor,
  margins,
  order,
  preferences,
  columns,
  division,
)


def drawn(figure: Callable[[], Tag]) -> str:
  """The text of its file."""
  picture = figure()
  attributes = {"xmlns": "http://www.w3.org/2000/svg", **picture.attributes}
  attributes |= {"width": "516", "height": "330"}
  children = (*picture.children[:2], tag("style", STYLE), *picture.children[2:])
  return render(
    dataclasses.replace(picture, attributes=attributes, children=children)
  )


if __name__ == "__main__":
  for figure in FIGURES:
    path = FOLDER / f"{figure.__name__}.svg"
    path.write_text(drawn(figure) + "\n")
    sys.stdout.write(f"{path}\n")
