"""What teachers' scores were like before a student learnt from them, as rows.

They are those of `scores.json`, which a train stage leaves.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from prod_jax.report import record, tables

HEAD = (
  "stage",
  "scores of",
  "temperature",
  "spread",
  "deviation",
  "entropy",
  "one-hot",
  "flat",
  "negatives above",
  "rank correlation",
  "suggested temperature",
)
EXPLAINED = (
  "Means over lists, of scores divided by the temperature. Spread is the "
  "largest less the smallest score; entropy is a share of log n; a list is "
  "one-hot where the best has a probability above .99, and flat above .99 of "
  "log n; negatives above are those that score more than the positive; the "
  "correlation is Kendall's tau of both judges. At the suggested temperature "
  "the teacher's entropy would be half of log n: our rule, nobody's result."
)


class Row(NamedTuple):
  """A judge of a stage's lists."""

  cells: tuple[str, ...]
  is_student: bool


def rows(run: record.Run) -> Iterator[Row]:
  """The teacher of each stage, then whoever retrieved its lists."""
  for stage in run.trained():
    found = record.scorecard(stage)
    if found is None:
      continue
    last = (found["agreement"], found["suggested_temperature"])
    yield Row(
      (stage.name, *_judge(found["teacher"]), *map(_number, last)), False
    )
    retriever = found["retriever"]
    if retriever:
      cells = (stage.name, *_judge(retriever), tables.ABSENT, tables.ABSENT)
      yield Row(cells, retriever["is_student"])


def notes(run: record.Run) -> Iterator[str]:
  """Of how many lists, stage by stage."""
  for stage in run.trained():
    found = record.scorecard(stage)
    if found is not None:
      columns = "columns as drawn" if found["drawn"] else "columns"
      yield (
        f"{stage.name}: {found['lists']:,} of {found['of_lists']:,} lists, "
        f"{found['columns']} {columns}"
      )


def _judge(judge: Mapping[str, Any]) -> Iterator[str]:
  yield judge["name"]
  for key in ("temperature", "extent", "deviation", "entropy"):
    yield _number(judge[key])
  for key in ("one_hot", "flat", "above_positive"):
    share = judge[key]
    yield tables.ABSENT if share is None else f"{100 * share:.0f}%"


def _number(value: float | None) -> str:
  return tables.ABSENT if value is None else f"{value:.3g}"
