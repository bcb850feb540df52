"""Passages judged by the answers in them, where a data set has answers."""

from collections.abc import Sequence

import numpy as np

from prod_jax import strict
from prod_jax.data import answers
from prod_jax.stages.inputs import Inputs

_WITH_ANSWERS = ("nq",)
_BEST_ONE = ("mrr", "hit")  # metrics of the first relevant passage alone
_ELSEWHERE = ""  # id of a passage that nobody retrieves


def check(shared: Inputs, name: str, metrics: Sequence[str] = ()) -> None:
  """Raises ConfigError for a set without answers, or another metric."""
  data = shared.config.data.name
  if data not in _WITH_ANSWERS:
    raise strict.ConfigError(
      f"config.stages.{name}.answers is set, and data set {data!r} has none; "
      f"of the sets here they come with {', '.join(_WITH_ANSWERS)}"
    )
  for metric in metrics:
    if metric.partition("@")[0] not in _BEST_ONE:
      raise strict.ConfigError(
        f"config.stages.{name}.metrics: {metric} asks how many passages are "
        f"relevant, which answers do not tell; take {' or '.join(_BEST_ONE)}"
      )


def found_in(
  shared: Inputs, split: str, query: np.ndarray, ids_QK: np.ndarray
) -> np.ndarray:
  """bool [Q, K]: which passages contain an answer of queries `query`."""
  known = shared.dataset.answers(split)
  passages = shared.dataset.passages
  return answers.labels(
    ids_QK, [known[row] for row in query], lambda row: passages[row].text
  )


def qrels(
  shared: Inputs, split: str, ids_QK: np.ndarray
) -> dict[str, dict[str, int]]:
  """Judgements of what was retrieved for all queries of a split.

  Every query has something to find, if only elsewhere: one whose passages
  contain no answer counts, with 0.
  """
  queries = shared.dataset.queries[split]
  found_QK = found_in(shared, split, np.arange(len(queries)), ids_QK)
  name_of = shared.dataset.passages.id
  return {
    query.id: {name_of(row): 1 for row in ids[found]} | {_ELSEWHERE: 1}
    for query, ids, found in zip(queries, ids_QK, found_QK, strict=True)
  }
