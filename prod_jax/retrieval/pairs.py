"""Which pairs of a ranking a pairwise model is asked about."""

import numpy as np


def near_pairs(
  scores_C: np.ndarray,
  *,
  depth: int,
  window: int,
  count: int,
  rng: np.random.Generator,
) -> np.ndarray:
  """Pairs of candidates near each other in a teacher's ranking.

  As in PairDistill (arXiv 2410.01383): i above j by at most `window` ranks,
  both among the first `depth`, `count` of these drawn without replacement.
  The official code stops where there are fewer; here all are taken.

  Args:
    scores_C: float [C], the teacher's scores, NaN on padding.
    depth: of the ranking, 0 for all of it.
    window: 1 or more.
    count: most pairs returned.
    rng: of this list.

  Returns:
    int32 [<= count, 2], columns (i, j), the higher ranked one first.
  """
  ranking = np.argsort(-scores_C, kind="stable")  # NaN goes to the end
  ranking = ranking[: np.count_nonzero(~np.isnan(scores_C))]
  ranking = ranking[: depth or None]
  n = len(ranking)
  first, apart = np.indices((n, min(window, max(n - 1, 0))))
  second = first + 1 + apart
  there = second < n
  pairs = np.stack([ranking[first[there]], ranking[second[there]]], axis=1)
  if len(pairs) > count:
    pairs = pairs[np.sort(rng.choice(len(pairs), count, replace=False))]
  return pairs.astype(np.int32)
