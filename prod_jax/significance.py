"""Whether two rankers differ on the same queries, and by how much.

Values are one metric's, a query each, as `metrics.evaluate` gives them. The
test is Fisher's paired randomisation, with which Smucker, Allan and Carterette
(CIKM 2007) compare retrieval systems: under "no difference" each query's two
values may change places. Intervals are the bootstrap's percentiles over
queries. Both come from scipy, and are drawn by a seed.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

_DRAWS = 9_999  # with the observed one 10,000: the least two-sided p is .0002
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


class Change(NamedTuple):
  """A difference of means, after - before, and its 95 % interval."""

  difference: float
  low: float
  high: float


def change(before: Mapping[str, float], after: Mapping[str, float]) -> Change:
  """How two rankers differ, as of `paired`, without a test.

  Raises:
    ValueError: they have no query in common.
  """
  a, b = _of_both(before, after)
  return _change((b - a).tobytes(), 0)


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

  a, b = _of_both(before, after)
  changes = b - a
  difference, low, high = _change(changes.tobytes(), seed)
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
  return Paired(
    queries=len(changes),
    mean_before=float(a.mean()),
    mean_after=float(b.mean()),
    difference=difference,
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


def _of_both(
  before: Mapping[str, float], after: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray]:
  """The values of the queries that both have one of."""
  both = [query for query in before if query in after]
  if not both:
    raise ValueError("the two have no query in common")
  a, b = (np.array([of[q] for q in both]) for of in (before, after))
  return a, b


@functools.lru_cache(maxsize=256)  # a run's table and its page ask for it
def _change(changes: bytes, seed: int) -> Change:
  """Of float64, a change of each query."""
  from scipy import stats

  array = np.frombuffer(changes)
  mean = float(array.mean())
  if not (len(array) > 1 and array.any()):
    return Change(mean, mean, mean)
  interval = stats.bootstrap(
    (array,),
    np.mean,
    n_resamples=_DRAWS,
    batch=_BATCH,
    method="percentile",
    rng=np.random.default_rng(seed),
  ).confidence_interval
  return Change(mean, float(interval.low), float(interval.high))
