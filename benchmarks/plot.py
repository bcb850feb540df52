"""The rows as one picture: how often each ratio is as good as its goal."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import rows
from prod_jax.report.markup import Tag, render, tag

WIDTH = 760.0
_LEFT, _RIGHT, _TOP, _LINE, _BOTTOM = 270.0, 180.0, 46.0, 30.0, 34.0
_BAR = 12.0
_MOST = 5.0  # times the goal; a bar that goes further ends there
_STYLE = """
text { font: 12px system-ui, "Segoe UI", Roboto, Helvetica, sans-serif;
  fill: #1c2126; }
.quiet { fill: #5b656e; font-size: 11px; }
.grid { stroke: #dfe2e5; stroke-width: 1; }
.goal { stroke: #1c2126; stroke-width: 1.5; }
.reached { fill: #0a5f9e; }
.missed { fill: #ad4e00; }
.round { fill: #ffffff; stroke: #1c2126; stroke-width: 1; }
.value { font-weight: 600; }
"""


def picture(found: Sequence[Mapping[str, Any]]) -> str:
  """An SVG with a bar a row on a logarithmic axis, and a dot a round."""
  low, high = _range(found)
  height = _TOP + _LINE * len(found) + _BOTTOM

  def across(times: float) -> float:
    times = min(max(times, low), high)
    share = math.log(times / low) / math.log(high / low)
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

  parts = [
    tag("title", "Benchmarks: each ratio against its goal"),
    tag("style", _STYLE),
    tag("rect", width=WIDTH, height=height, fill="#fdfdfb"),
    _text("worse than the goal", across(1) - 8, 18.0, "end", "quiet"),
    _text("better, times the goal", across(1) + 8, 18.0, "start", "quiet"),
  ]
  for times in _ticks(low, high):
    kind = "goal" if times == 1 else "grid"
    parts.append(
      tag(
        "path",
        d=f"M{across(times):.1f} {_TOP - 14:.1f}V{height - _BOTTOM:.1f}",
        class_=kind,
      )
    )
    parts.append(
      _text(f"{times:g} x", across(times), height - 14, "middle", "quiet")
    )
  for i, row in enumerate(found):
    parts += _row(row, _TOP + _LINE * i, across)
  return render(
    tag(
      "svg",
      *parts,
      xmlns="http://www.w3.org/2000/svg",
      viewBox=f"0 0 {WIDTH:g} {height:g}",
      width=WIDTH,
      height=height,
    )
  )


def _row(row: Mapping[str, Any], top: float, across) -> list[Tag]:
  middle = top + _LINE / 2
  begin, end = sorted((across(1), across(rows.times_goal(row, row["ratio"]))))
  kind = "reached" if row["reached"] else "missed"
  sign = "≥" if row["better"] == "higher" else "≤"
  label = f"{row['ratio']:,.{_digits(row)}f} x (goal {sign} {row['goal']:g})"
  dots = [across(rows.times_goal(row, a / b)) for a, b in row["runs"]]
  return [
    _text(row["name"].replace("_", " "), 10.0, middle, "start", "value"),
    _text(
      f"{row['ours_is']} / {row['peer_is']}",
      10.0,
      middle + 12,
      "start",
      "quiet",
    ),
    tag(
      "rect",
      x=begin,
      y=middle - _BAR / 2,
      width=max(end - begin, 1.0),
      height=_BAR,
      class_=kind,
    ),
    *(tag("circle", cx=x, cy=middle, r=3, class_="round") for x in dots),
    _text(label, max(end, *dots) + 8, middle + 4, "start", "value"),
  ]


def _digits(row: Mapping[str, Any]) -> int:
  return 2 if row["ratio"] < 10 else 0


def _range(found: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
  """The ends of the axis: all rounds, as far as they are within `_MOST`."""
  all_times = [
    rows.times_goal(row, a / b) for row in found for a, b in row["runs"]
  ]
  low, high = min([*all_times, 0.5]) / 1.1, max([*all_times, 2.0]) * 1.1
  return max(low, 1 / _MOST), min(high, _MOST)


def _ticks(low: float, high: float) -> list[float]:
  steps = (f * 10.0**p for p in range(-3, 5) for f in (1, 2, 5))
  return [x for x in steps if low <= x <= high]


def _text(words: str, x: float, y: float, anchor: str, kind: str) -> Tag:
  return tag("text", words, x=x, y=y, text_anchor=anchor, class_=kind)
