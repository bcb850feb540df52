"""What changes between rankers, query by query, and whether it is by chance.

Values are one metric's, a query each. Several systems are held against the
first; the student of a curriculum, stage by stage, against where it began.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from absl import logging

from prod_jax import kinds, metrics, significance, storage, strict
from prod_jax.report import examples, record
from prod_jax.retrieval import runs

Values = Mapping[str, Mapping[str, float]]  # by name, by query


class Change(NamedTuple):
  """How a ranker differs from another one.

  Attributes:
    name: of the ranker.
    before: of that which it is held against.
    paired: their values compared.
    p: that of `paired`, corrected for all comparisons beside it by Holm.
  """

  name: str
  before: str
  paired: significance.Paired
  p: float


@dataclasses.dataclass(frozen=True)
class Course:
  """One query, from stage to stage.

  Attributes:
    query: its id.
    values: after each stage, in order.
    won, lost: the stage with the largest gain and with the largest loss
      against where it began, and how much; None where there is none.
  """

  query: str
  values: Mapping[str, float]
  won: tuple[str, float] | None
  lost: tuple[str, float] | None


def against_first(values: Values) -> list[Change]:
  """Every ranker but the first, held against that."""
  first, *others = values
  return _compared(values, [(first, name) for name in others])


def against_start(values: Values, start_of: Mapping[str, str]) -> list[Change]:
  """Every ranker that has a start, held against that."""
  return _compared(values, [(start, name) for name, start in start_of.items()])


def starts(run: record.Run, names: Collection[str]) -> dict[str, str]:
  """Where train stages began: the last stage on the way to each, by its name.

  Args:
    run: what it left.
    names: of the train stages, and of a model as it is; a start is one of them.
      One that began with none of them is left out.
  """
  found = {}
  for name in filter(run.stages.__contains__, names):
    start = run.began(run.stages[name])
    while start not in names and start in run.stages:
      start = run.began(run.stages[start])
    if start in names:
      found[name] = start
  return found


def most_changed(
  values: Values, before: str, after: str, count: int
) -> list[tuple[str, float, float]]:
  """Queries that differ, most first, with both values; equal ones by id."""
  pairs = [
    (query, value, values[after][query])
    for query, value in values[before].items()
    if values[after].get(query, value) != value
  ]
  return sorted(pairs, key=lambda p: (-abs(p[2] - p[1]), p[0]))[:count]


def courses(values: Values, start_of: Mapping[str, str]) -> Iterator[Course]:
  """What became of each query on its way; of equal changes the first."""
  names = list(values)
  for query in values[names[0]]:
    of = {name: values[name][query] for name in names if query in values[name]}
    steps = [
      (name, of[name] - of[start])
      for name, start in start_of.items()
      if name in of and start in of
    ]
    gains = [step for step in steps if step[1] > 0]
    losses = [step for step in steps if step[1] < 0]
    yield Course(
      query,
      of,
      max(gains, key=lambda step: step[1], default=None),
      min(losses, key=lambda step: step[1], default=None),
    )


def within(run: record.Run, names: Sequence[str]) -> list[str]:
  """Those of some metrics that look no further than the kept runs reach.

  Says which others there are.

  Raises:
    ConfigError: all look further.
  """
  depths = {}
  for _, stage in examples.answered(run):
    key = "rerank_depth" if stage.settings.get("rerank") else "depth"
    default = getattr(kinds.Evaluate, key)
    depths[stage.name] = int(stage.settings.get(key, default))
  if not depths:
    return [*names]
  shallow, least = min(depths.items(), key=lambda item: item[1])
  kept = [name for name in names if (metrics.parse(name)[1] or 0) <= least]
  further = ", ".join(name for name in names if name not in kept)
  said = (
    f"{further}: stage {shallow} has kept the first {least} passages of a "
    "query, and this looks further"
  )
  if not kept:
    raise strict.ConfigError(f"{said}; give the stage a larger depth")
  if further:
    logging.warning("%s; it is left out", said)
  return kept


def of_students(
  run: record.Run,
  qrels: Mapping[str, Mapping[str, int]],
  names: Sequence[str],
  relevant: int | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
  """Student's train stage to metric to query to value, in order of stages.

  Args:
    run: what it left.
    qrels: of the split that it has measured.
    names: of the metrics.
    relevant: lowest grade that counts; None is as each stage measured.

  Raises:
    ConfigError: fewer than two stages have left a run, or no query counts or
      has a label.
  """
  answered = examples.answered(run)
  if len(answered) < 2:
    raise strict.ConfigError(
      f"{run.workdir}: it takes two stages of the student with a run.trec to "
      f"compare, and {len(answered)} has one; let the evaluate stages behind "
      "them run"
    )
  if not any(qrels.values()):
    raise strict.ConfigError(
      f"no query of split {run.split} has a label to compare by; what was "
      f"measured by answers is in {run.workdir / storage.RESULTS}"
    )
  found = {
    name: metrics.evaluate(
      runs.read_run(stage.folder / "run.trec"),
      qrels,
      names,
      relevant=relevant or int(stage.settings.get("relevant", 1)),
    )
    for name, stage in answered
  }
  for values in found.values():
    for name, by_query in values.items():
      if not by_query:
        raise strict.ConfigError(
          f"no query of split {run.split} has a passage that {name} counts; "
          "lower --relevant"
        )
  return found


def _compared(values: Values, pairs: Sequence[tuple[str, str]]) -> list[Change]:
  found = [
    significance.paired(values[before], values[after])
    for before, after in pairs
  ]
  corrected = significance.holm([each.p for each in found])
  return [
    Change(after, before, each, p)
    for (before, after), each, p in zip(pairs, found, corrected, strict=True)
  ]
