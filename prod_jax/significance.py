"""Whether two rankers differ on the same queries, and by how much.

Values are one metric's, a query each, as `metrics.evaluate` gives them. The
test is Fisher's paired randomisation, with which Smucker, Allan and Carterette
(CIKM 2007) compare retrieval systems: under "no difference" each query's two
values may change places. Intervals are the bootstrap's percentiles over
queries. Both come from scipy, and are drawn by a seed.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

_DRAWS = 9_999  # with the observed one 10,000: the least p is .0001
_BATCH = 256  # draws held in memory at once


class Paired(NamedTuple):
  """How a ranker differs from the one before it.

  Attributes:
    queries: that both have a value of.
    mean_before, mean_after: of that one, and of this.
    difference: of the means, after - before.
    low, high: its 95 % interval.
    p: two-sided, of the randomisation test; 1 where all values are equal, or
      there is one query.
    wins, losses: queries on which this one is better, and worse.
  """

  queries: int
  mean_before: float
  mean_after: float
  difference: float
  low: float
  high: float
  p: float
  wins: int
  losses: int


def paired(
  before: Mapping[str, float], after: Mapping[str, float], *, seed: int = 0
) -> Paired:
  """Compares two rankers on the queries that both have a value of.

  Args:
    before, after: value by query id.
    seed: of the draws.

  Raises:
    ValueError: there is no such query.
  """
  from scipy import stats  # most of a second, and only asked for here

  both = [query for query in before if query in after]
  if not both:
    raise ValueError("the two have no query in common")
  a, b = (np.array([of[q] for q in both]) for of in (before, after))
  changes = b - a
  low = high = mean = float(changes.mean())
  p = 1.0
  if len(changes) > 1 and changes.any():
    p = stats.permutation_test(
      (changes,),
      np.mean,
      permutation_type="samples",
      n_resamples=_DRAWS,
      batch=_BATCH,
      rng=np.random.default_rng(seed),
    ).pvalue
    low, high = _interval(changes, seed)
  return Paired(
    queries=len(both),
    mean_before=float(a.mean()),
    mean_after=float(b.mean()),
    difference=mean,
    low=low,
    high=high,
    p=float(p),
    wins=int((changes > 0).sum()),
    losses=int((changes < 0).sum()),
  )


def holm(p_values: Sequence[float]) -> list[float]:
  """P-values of several tests at once, as Holm (1979) corrects them.

  Each may be held against the same level as a single one.
  """
  order = np.argsort(p_values, kind="stable")
  count = len(p_values)
  steps = np.array(p_values)[order] * (count - np.arange(count))
  corrected = np.empty(count)
  corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
  return corrected.tolist()


def _interval(changes: np.ndarray, seed: int) -> tuple[float, float]:
  from scipy import stats

  interval = stats.bootstrap(
    (changes,),
    np.mean,
    n_resamples=_DRAWS,
    batch=_BATCH,
    method="percentile",
    rng=np.random.default_rng(seed),
  ).confidence_interval
  return float(interval.low), float(interval.high)
