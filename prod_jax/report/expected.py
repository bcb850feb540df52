"""What a run was expected to take, beside what it took."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from prod_jax.progress import duration
from prod_jax.report import elements, plots, record
from prod_jax.report.markup import Tag, tag

NAME = "forecast"  # of the figure
_HEAD = ("stage", "forecast", "seconds", "of the forecast")


class Pair(NamedTuple):
  """Seconds of a stage that ran, and those that were expected."""

  stage: str
  expected: float
  took: float
  at_most: Sequence[str]


def pairs(run: record.Run) -> list[Pair]:
  """In the order of the run."""
  return [
    Pair(name, run.expected[name].seconds, stage.seconds, found.at_most)
    for name, stage in run.stages.items()
    if stage.ran and (found := run.expected.get(name))
  ]


def note(run: record.Run) -> str:
  """All of them in a line; "" without a forecast."""
  found = pairs(run)
  if not found:
    return ""
  expected, took = (sum(x) for x in zip(*(p[1:3] for p in found), strict=True))
  most = "at most " * any(pair.at_most for pair in found)
  skipped = sum(
    bool(run.stages[name].skipped)
    for name in run.expected
    if name in run.stages
  )
  beside = f"; skipped: {skipped}" * bool(skipped)
  return (
    f"forecast: {most}{duration(expected)} for the {len(found)} stages that "
    f"ran and were measured beforehand, which took {duration(took)}{beside}"
  )


def chart(run: record.Run) -> Tag | None:
  """Both, added up stage by stage; None without a forecast."""
  found = pairs(run)
  if not found:
    return None
  sums = {
    "forecast": itertools.accumulate(pair.expected for pair in found),
    "run": itertools.accumulate(pair.took for pair in found),
  }
  return plots.times({name: [0.0, *of] for name, of in sums.items()})


def section(run: record.Run) -> Iterator[Tag]:
  """The chart, and a row a stage."""
  drawn = chart(run)
  if drawn is None:
    return
  yield tag("h2", "Forecast and run")
  caption = (
    "Seconds of all stages so far, in their order: the line is the run, the "
    "dashed one what was expected. "
  )
  yield tag(
    "figure", drawn, tag("figcaption", caption + elements.sentence(note(run)))
  )
  rows = [(_cells(pair), False) for pair in pairs(run)]
  title = tag("summary", f"{len(rows)} stages")
  yield tag("details", title, elements.table(_HEAD, rows, words=1))


def _cells(pair: Pair) -> list[str]:
  most = "≤ " * bool(pair.at_most)
  share = f"{pair.took / pair.expected:.2f}" if pair.expected else "-"
  return [pair.stage, f"{most}{pair.expected:,.1f}", f"{pair.took:,.1f}", share]
