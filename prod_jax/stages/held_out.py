"""Two rankings of held-out queries, measured and compared query by query."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from prod_jax import arrays, kinds, metrics, significance, strict
from prod_jax.retrieval import encode, search
from prod_jax.retrieval.index import Neighbours
from prod_jax.significance import Paired
from prod_jax.stages.run import Job

ROUNDING = 1e-9  # by which means of equal values may differ
HeldOut = Job[kinds.Gate | kinds.Accept]


def check_metric(job: HeldOut) -> None:
  """Raises ConfigError for a metric that is none, or looks too far."""
  check_metrics(
    [job.stage.metric],
    job.stage.depth,
    of_metrics=f"{job.where}.metric",
    of_depth=f"{job.where}.depth",
  )


def check_metrics(
  names: Sequence[str], depth: int, *, of_metrics: str, of_depth: str
) -> None:
  """Looks at what is to be measured on the first `depth` passages of a query.

  Args:
    names: of metrics.
    depth: passages that are there.
    of_metrics, of_depth: the keys or flags that these stand under.

  Raises:
    ConfigError: one is no metric, or looks further.
  """
  try:
    metrics.evaluate({}, {}, names)
  except ValueError as error:
    raise strict.ConfigError(f"{of_metrics}: {error}") from error
  for name in names:
    _, cutoff = metrics.parse(name)
    if cutoff and cutoff > depth:
      raise strict.ConfigError(
        f"{of_depth} is {depth}, and {name} looks further; set "
        f"{of_depth}={cutoff}"
      )


def queries(job: HeldOut, role: str) -> np.ndarray:
  """The vectors [Q, D] of the split's queries, of an encode stage."""
  path = job.inputs[role] / f"queries-{job.stage.split}.npy"
  return arrays.read(path)


def retrieved(job: HeldOut, role: str) -> Neighbours:
  """What a role's vectors find in the whole collection, to the job's depth."""
  index = search.open_index(
    "exact", encode.open_shards(job.inputs[role] / "passages")
  )
  own_Q = job.run.dataset.own_rows(job.stage.split)
  return search.search_others(index, queries(job, role), job.stage.depth, own_Q)


def values(
  job: HeldOut, ids_QK: np.ndarray, scores_QK: np.ndarray
) -> dict[str, float]:
  """The metric by query id, of passages [Q, K] with scores."""
  dataset, stage = job.run.dataset, job.stage
  run = {
    query.id: {
      dataset.passages.id(row): float(score)
      for row, score in zip(ids, scores, strict=True)
      if row >= 0
    }
    for query, ids, scores in zip(
      dataset.queries[stage.split], ids_QK, scores_QK, strict=True
    )
  }
  qrels = dataset.qrels(stage.split)
  return metrics.evaluate(run, qrels, [stage.metric])[stage.metric]


def compared(
  job: HeldOut, before: dict[str, float], after: dict[str, float]
) -> Paired:
  """How the latter differ."""
  return significance.paired(before, after, seed=job.seed)


def figures(paired: Paired) -> dict[str, Any]:
  """For a summary."""
  return {
    "difference": round(paired.difference, 4),
    "low": round(paired.low, 4),
    "high": round(paired.high, 4),
    "p": round(paired.p, 4),
    "queries": paired.queries,
  }


def said(job: HeldOut, paired: Paired, before: str) -> str:
  """The same in words: what there is, for what there was."""
  return (
    f"{job.stage.metric} {paired.mean_after:.4f} for the "
    f"{paired.mean_before:.4f} of {before} ({paired.difference:+.4f} "
    f"[{paired.low:+.4f}, {paired.high:+.4f}], p {paired.p:.4f}, "
    f"{paired.queries} queries of {job.stage.split})"
  )
