"""The nearest of the rows that are looked at, block by block.

Products are made and looked through on the device, in the precision that is
fastest there; what may win is kept on the host. Where that precision is not
float32, its products are made again. Which rows there are, and in what blocks,
is exact.py.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax import lax
from jaxtyping import Float32, Int32

from prod_jax.retrieval import tiles

Found = tuple[Int32[np.ndarray, "Q K"], Float32[np.ndarray, "Q K"]]


class Pairs(NamedTuple):
  """Numbers of n queries and n rows."""

  query: np.ndarray
  row: np.ndarray


# Inner products [n] of pairs, of which the queries are given.
Multiply = Callable[[np.ndarray, Pairs], np.ndarray]

_FIRST_CAPACITY = 4  # groups a query that are taken out of a tile
# Times k: rows that are kept for a query, in the mean and for any one, before
# all but the best are dropped.
_KEPT, _MOST_KEPT = 4, 16


class Nearest:
  """The nearest rows of some queries among the blocks that were looked at.

  Two threads may look at once, while a third keeps what was found.

  The k-th best score of any rows is a bound for the k-th best of all. Only
  what may beat it, rounded as it is, is taken from the device, and kept until
  there is much of it; then the best k are, and the bound rises.

  Args:
    query_QD: some queries, `size` at most.
    size: all sets of queries are padded to it.
    k: neighbours of each.
    dtype: that vectors are rounded to.
    centre_D: that is taken away from rows before they are rounded.
    multiply: gives scores of what was found in float32.

  Attributes:
    query_QD: as given, padded.
  """

  def __init__(
    self,
    query_QD: np.ndarray,
    size: int,
    k: int,
    dtype: str,
    centre_D: np.ndarray,
    multiply: Multiply,
  ):
    self.query_QD, self._multiply = _padded(query_QD, size), multiply
    self._query = tiles.rounded(
      self.query_QD, np.zeros_like(centre_D), dtype=dtype
    )
    # What all scores of a query have in common.
    self._common_Q = np.einsum(
      "QD,D->Q", self.query_QD, centre_D, dtype=np.float64
    ).astype(np.float32)
    self._k, self._capacity = k, _FIRST_CAPACITY * size
    # Of the queries that pad the block nothing is wanted.
    self._bound_Q = np.full(size, np.inf, np.float32)
    self._bound_Q[: len(query_QD)] = -np.inf
    self._sampled_QK = np.empty((size, 0), np.float32)
    self._found: list[_Rows] = []
    self._count_Q = np.zeros(size, np.int64)  # of what was found

  def at_best(self, block: tiles.Block, place: int) -> np.ndarray:
    """What the best rows of a sample score at least [Q, place], best first."""
    k = min(place, len(block.rows.off_R))
    return np.asarray(tiles.lowest_of_best(self._query, *block, k=k)[0])

  def bound(self, best_QK: np.ndarray, place: int) -> None:
    """Bounds by the score at a place, from 1, among those of all samples."""
    best_QK = best_QK + self._common_Q[:, None]
    best_QK = np.where(np.isnan(best_QK), -np.inf, best_QK)
    both_QK = np.concatenate([self._sampled_QK, best_QK], axis=1)
    both_QK = -np.sort(-both_QK, axis=1)
    self._sampled_QK = both_QK[:, :place]
    if place <= both_QK.shape[1]:
      self._bound_Q = np.maximum(self._bound_Q, both_QK[:, place - 1])

  def look(self, first: int, block: tiles.Block) -> "_Rows":
    """What may beat the bound among the rows of a block, from `first` on."""
    bound_Q, hits, capacity = self._bound_Q - self._common_Q, math.inf, 0
    while hits > capacity:
      capacity = self._capacity
      hits, at_C, score_CN, margin_Q = tiles.above(
        self._query, *block, bound_Q, capacity=capacity
      )
      hits = int(hits)
      self._capacity = max(self._capacity, power_of_two(hits))
    margin_Q = np.asarray(margin_Q)
    at_C, score_CN = np.asarray(at_C)[:hits], np.asarray(score_CN)[:hits]
    query_C, group_C = np.divmod(at_C, len(block.rows.off_R) // tiles.GROUP)
    limit_Q = bound_Q - margin_Q
    beats = np.flatnonzero(~(score_CN <= limit_Q[query_C, None]))
    place, column = np.divmod(beats, tiles.GROUP)
    row = group_C[place] * tiles.GROUP + column
    query = query_C[place]
    found = _Rows(
      query.astype(np.uint16),
      (first + row).astype(np.int32),
      score_CN.ravel()[beats] + self._common_Q[query],
      margin_Q[query],
    )
    if block.count < len(block.rows.off_R):
      found = found.at(np.flatnonzero(row < block.count))
    return found

  def keep(self, found: "_Rows") -> None:
    """Adds what `look` found, block by block."""
    self._found.append(found)
    self._count_Q += np.bincount(found.query, minlength=len(self._count_Q))
    mean, most = self._count_Q.mean(), self._count_Q.max()
    if mean > _KEPT * self._k or most > _MOST_KEPT * self._k:
      self.best(self._multiply(self.query_QD, self.narrow()))

  def narrow(self) -> Pairs:
    """Drops what cannot be among the best k of what was kept.

    Returns:
      What of the rest is to be scored in float32, for `best`.
    """
    found = _Rows(*map(np.concatenate, zip(*self._found, strict=True)))
    if found.margin.any():
      lowest = np.nan_to_num(found.score - found.margin, nan=-np.inf)
      lowest_QW = self._lines(found.query, lowest, -np.inf)
      # As many are no worse, whatever was lost in rounding.
      least_Q = np.asarray(_top_k(lowest_QW, self._k)[0])[:, -1]
      below = found.score + found.margin < least_Q[found.query]
      found = found.at(np.flatnonzero(~below))
    self._found = [found]
    again = found.at(np.flatnonzero(found.margin))
    return Pairs(again.query, again.row)

  def best(self, score: np.ndarray) -> tuple[Found, np.ndarray]:
    """The best k of what was kept for each query; the rest is dropped.

    Row -1 with score -inf stands for each that lacks.

    Args:
      score: of what `narrow`, called just before, has returned.

    Returns:
      Rows and scores; and of which queries the bound was too high, so that
      some are missing.
    """
    (found,) = self._found
    found.score[np.flatnonzero(found.margin)] = score
    # The sign of a NaN decides where top_k puts it; infinity is always first.
    score = np.where(np.isnan(found.score), np.inf, found.score)
    score_QW = self._lines(found.query, score, -np.inf)
    row_QW = self._lines(found.query, found.row, -1)
    score_QK, at_QK = map(np.asarray, _top_k(score_QW, self._k))
    row_QK = np.take_along_axis(row_QW, at_QK, axis=1)
    query, column = np.nonzero(row_QK >= 0)
    row, score = row_QK[query, column], score_QK[query, column]
    query = query.astype(np.uint16)
    self._found = [_Rows(query, row, score, np.zeros_like(score))]
    self._count_Q = (row_QK >= 0).sum(axis=1)
    is_short_Q = score_QK[:, -1] < self._bound_Q
    # Equal ones that come later are higher rows, and lose.
    self._bound_Q = np.maximum(self._bound_Q, score_QK[:, -1])
    return (row_QK, score_QK), is_short_Q

  def _lines(
    self, query: np.ndarray, value: np.ndarray, missing: int | float
  ) -> np.ndarray:
    """Values [Q, W] of rows, those of one query in a line, in their order.

    W is a power of two, and `k` at least.
    """
    order = np.argsort(query, kind="stable")
    count_Q = np.bincount(query, minlength=len(self.query_QD))
    before = np.repeat(np.cumsum(count_Q) - count_Q, count_Q)
    width = power_of_two(max(self._k, int(count_Q.max())))
    lines_QW = np.full((len(count_Q), width), missing, value.dtype)
    lines_QW[query[order], np.arange(len(order)) - before] = value[order]
    return lines_QW


class _Rows(NamedTuple):
  """Rows that were found, one by one.

  Attributes:
    query: for which.
    row: its number.
    score: the inner product, of rounded vectors at first.
    margin: what it may differ by from that in float32; 0 where it is that.
  """

  query: np.ndarray
  row: np.ndarray
  score: np.ndarray
  margin: np.ndarray

  def at(self, places: np.ndarray) -> "_Rows":
    """Some of them."""
    return _Rows(*(x[places] for x in self))


_top_k = jax.jit(lax.top_k, static_argnums=1)


def power_of_two(least: int) -> int:
  """The smallest one that is not below."""
  return 1 << (least - 1).bit_length()


def _padded(rows: np.ndarray, size: int) -> np.ndarray:
  """Rows with zeros behind them, up to `size`."""
  missing = size - len(rows)
  return np.pad(rows, ((0, missing), (0, 0))) if missing else np.asarray(rows)
