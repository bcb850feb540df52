"""Where rankers have what a generated query was made of.

A query that a generator made of a passage is worth something where a ranker
finds that passage by it: the round trip of Promptagator (arXiv 2209.11755),
which keeps a query whose own passage its retriever has first. InPars-v2 (arXiv
2301.01820) asks a reranker instead, and keeps the pairs that it scores highest.
Here a teacher orders what was retrieved, and the passage has to be among the
first ones.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from prod_jax.batches.lists import Candidates
from prod_jax.retrieval import denoise


def own_columns(
  lists: Candidates, own: Mapping[int, Sequence[int]]
) -> np.ndarray:
  """bool [Q, C]: the passages that the query of a list is made of.

  Args:
    lists: of any queries.
    own: rows of such passages by query; queries that nobody made have none.
  """
  own_QC = np.zeros(lists.ids.shape, bool)
  for line, (query, ids) in enumerate(zip(lists.query, lists.ids, strict=True)):
    if int(query) in own:
      own_QC[line] = np.isin(ids, own[int(query)])
  return own_QC


def places(
  lists: Candidates, scores_QC: np.ndarray | None, own_QC: np.ndarray
) -> np.ndarray:
  """int64 [Q]: 0-based place of the best of certain passages in each list.

  -1 where there is none. A teacher's scores order the list; without them it
  stands as it was retrieved.
  """
  if scores_QC is None:
    order_QC, there_QC = lists.rank, own_QC & (lists.rank >= 0)
  else:
    order_QC = denoise.places(scores_QC)
    there_QC = own_QC & ~np.isnan(scores_QC)
  last = np.iinfo(np.int64).max
  best_Q = np.where(there_QC, order_QC.astype(np.int64), last).min(axis=1)
  return np.where(there_QC.any(axis=1), best_Q, -1)
