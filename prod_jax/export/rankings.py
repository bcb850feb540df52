"""What a ranker found: read from a run of any tool, measured, and written."""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from prod_jax import metrics
from prod_jax.export.named import System
from prod_jax.export.task import Task
from prod_jax.retrieval import rerank, runs, search
from prod_jax.sets.records import DataError


class Ranking(NamedTuple):
  """What a system found for each query of a split, best first.

  Attributes:
    ids_QK: rows of the collection, -1 on padding.
    scores_QK: of each.
    reorders: whether it puts another system's passages in order.
    unknown: names of passages that the set has left out; their rows are those
      behind the collection, in this order.
  """

  ids_QK: np.ndarray
  scores_QK: np.ndarray
  reorders: bool = False
  unknown: tuple[str, ...] = ()

  def name_of(self, task: Task, row: int) -> str:
    """The id of a passage."""
    passages = task.dataset.passages
    behind = row - len(passages)
    return self.unknown[behind] if behind >= 0 else passages.id(row)


def of_run(path: pathlib.Path, task: Task) -> Ranking:
  """A TREC run by rows of the collection.

  Raises:
    DataError: it cannot be read, is empty, or is of other queries or passages.
  """
  if not path.is_file():
    raise DataError(f"{path} is not there; it takes a TREC run")
  run = runs.read_run(path)
  if not run:
    raise DataError(f"{path} has no line in it; write the run again")
  queries = [query.id for query in task.dataset.queries[task.split]]
  others = run.keys() - set(queries)
  where = f"{task.dataset.name}, split {task.split}"
  if len(others) == len(run):
    raise DataError(
      f"{path}: none of its {len(run)} queries, {min(others)!r} among them, is "
      f"in {where}, or has a label there; name their --split"
    )
  if others:
    # TREC's own runs have topics that nobody judged.
    logging.warning(
      "%s: %d of its %d queries, such as %s, are not in %s, or have no label "
      "there, and do not count",
      path,
      len(others),
      len(run),
      min(others),
      where,
    )
  if missing := len(set(queries) - run.keys()):
    logging.warning("%s: without %d queries, which count 0", path, missing)
  return _of_lines(path, [run.get(query, {}) for query in queries], task)


def _of_lines(
  path: pathlib.Path, lines: Sequence[Mapping[str, float]], task: Task
) -> Ranking:
  """The ranking of a run, of which these are the passages of each query."""
  row_of, where = (
    task.dataset.row_of,
    f"{task.dataset.name}, split {task.split}",
  )
  left_out: dict[str, int] = {}
  width = max(map(len, lines))
  ids_QK = np.full((len(lines), width), -1, np.int32)
  scores_QK = np.full((len(lines), width), -np.inf, np.float32)
  for line, found in enumerate(lines):
    for at, name in enumerate(found):
      row = row_of.get(name)
      if row is None and task.data.on_error != "skip":
        raise DataError(
          f"{path}: passage {name!r} is not in {where}; is the run of another "
          "collection, or config.data.max_passages set?"
        )
      if row is None:
        behind = left_out.setdefault(name, len(left_out))
        row = len(task.dataset.passages) + behind
      ids_QK[line, at] = row
    scores_QK[line, : len(found)] = list(found.values())
  if left_out:
    logging.warning(
      "%s: %d of its passages, such as %s, are not in %s, perhaps because "
      "on_error=skip left them out; they keep their ranks, and nobody judged "
      "them",
      path,
      len(left_out),
      min(left_out),
      where,
    )
  ranking = others(*rerank.in_order(ids_QK, scores_QK), task, width)
  return ranking._replace(unknown=tuple(left_out))


def others(
  ids_QK: np.ndarray, scores_QK: np.ndarray, task: Task, k: int
) -> Ranking:
  """The first `k` of a ranking, without the queries' own documents."""
  if task.own_Q is not None:
    ids_QK, scores_QK = search.without_own(ids_QK, scores_QK, task.own_Q)
  return Ranking(ids_QK[:, :k], scores_QK[:, :k])


def evaluate(
  ranking: Ranking, task: Task, names: Sequence[str], relevant: int = 1
) -> dict[str, dict[str, float]]:
  """Metric to query id to value, as `metrics.evaluate` gives them."""
  rows = np.unique(ranking.ids_QK[ranking.ids_QK >= 0]).tolist()
  name_of = {row: ranking.name_of(task, row) for row in rows}
  lines = zip(
    task.dataset.queries[task.split],
    ranking.ids_QK.tolist(),
    ranking.scores_QK.tolist(),
    strict=True,
  )
  run = {
    query.id: {
      name_of[row]: score
      for row, score in zip(ids, scores, strict=True)
      if row >= 0
    }
    for query, ids, scores in lines
  }
  return metrics.evaluate(run, task.qrels, names, relevant=relevant)


def check_labels(task: Task, names: Sequence[str], relevant: int) -> None:
  """Raises DataError where no query has anything to find for a metric."""
  scope = f"{task.dataset.name}, split {task.split}"
  if not any(task.qrels.values()):
    raise DataError(
      f"no query of {scope}, has a label to measure by; what a run has "
      "measured by answers is in its results.json"
    )
  found = metrics.evaluate({}, task.qrels, names, relevant=relevant)
  for name, by_query in found.items():
    if not by_query:
      raise DataError(
        f"no query of {scope}, has a passage that {name} counts; lower "
        f"--relevant, which is {relevant}"
      )


def write(
  ranking: Ranking, system: System, task: Task, path: pathlib.Path
) -> None:
  """Writes a ranking as a TREC run."""
  path.parent.mkdir(parents=True, exist_ok=True)
  runs.write_run(
    path,
    [query.id for query in task.dataset.queries[task.split]],
    ranking.ids_QK,
    ranking.scores_QK,
    tag=system.label,
    name_of=functools.partial(ranking.name_of, task),
  )
