"""The rows that may be among the best of a block of queries.

Tiles of products are made and looked through on the device; of them only what
may be among the best k, the hits, comes to the host and is kept here. In which
rounds, over which rows, is exact.py.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax import lax

from prod_jax.retrieval import tiles
from prod_jax.retrieval.index import Neighbours

_FIRST_CAPACITY = 4  # groups a query that are taken out of a tile
# Times k: hits that are kept for a query, in the mean and for any one, before
# all but the best are dropped.
_MEAN_HITS, _MOST_HITS = 4, 16


class Pairs(NamedTuple):
  """Numbers of n queries and n rows."""

  query: np.ndarray
  row: np.ndarray


# (vectors [Q, D], pairs) to inner products [n] in float32, of equal vectors
# always the same.
Products = Callable[[np.ndarray, Pairs], np.ndarray]


class Hits(NamedTuple):
  """Rows that may be among the best of a query, one by one.

  Attributes:
    query: number in the block.
    row: number in the matrix.
    score: the inner product, of rounded vectors at first.
    margin: what it may differ by from that in float32; 0 where it is that.
  """

  query: np.ndarray
  row: np.ndarray
  score: np.ndarray
  margin: np.ndarray

  def at(self, places: np.ndarray) -> "Hits":
    """Some of them."""
    return Hits(*(x[places] for x in self))


class Shortlist:
  """Hits of a block of queries, and a bound for each query.

  The k-th best score of any rows is a bound for the k-th best of all: what
  cannot beat it is no hit. It only rises. A bound of another rank may be too
  high, which `select` finds out.

  `sample` and `scan` change nothing that decides a result: several threads may
  be in them, while another one calls `raise_bound` or `add` with what they
  returned.

  Args:
    queries: the block.
    k: neighbours of each.
    products: scores hits in float32.

  Attributes:
    queries: as given.
  """

  def __init__(self, queries: tiles.QueryBlock, k: int, products: Products):
    self.queries, self._k, self._products = queries, k, products
    size = len(queries.vectors_QD)
    self._capacity = _FIRST_CAPACITY * size
    # Nothing beats the bound of the queries that fill up the block.
    self._bound_Q = np.full(size, np.inf, np.float32)
    self._bound_Q[: queries.real] = -np.inf
    self._floor_QN = np.empty((size, 0), np.float32)  # the best of all samples
    self._hits: list[Hits] = []
    self._count_Q = np.zeros(size, np.int64)  # hits of each query

  # Round 1.

  def sample(self, rows: tiles.RowBlock, rank: int) -> np.ndarray:
    """What the best rows of a sample score at least [Q, rank], best first."""
    k = min(rank, len(rows.rounded.error_R))
    floor_QN, _ = tiles.best_floors(
      self.queries.rounded, rows.rounded, rows.real, k=k
    )
    return np.asarray(floor_QN)

  def raise_bound(self, floor_QN: np.ndarray, rank: int) -> None:
    """Bounds by the score at a rank, from 1, among those of all samples."""
    floor_QN = floor_QN + self.queries.offset_Q[:, None]
    floor_QN = np.where(np.isnan(floor_QN), -np.inf, floor_QN)
    floor_QN = np.concatenate([self._floor_QN, floor_QN], axis=1)
    floor_QN = -np.sort(-floor_QN, axis=1)
    self._floor_QN = floor_QN[:, :rank]
    if rank <= floor_QN.shape[1]:
      self._bound_Q = np.maximum(self._bound_Q, floor_QN[:, rank - 1])

  # Round 2.

  def scan(self, rows: tiles.RowBlock) -> Hits:
    """The hits of a block of rows, in order of query and row."""
    # Read once, since `add` may raise it meanwhile. The older bound is the
    # lower one, and only lets more through.
    bound_Q = self._bound_Q - self.queries.offset_Q
    total, capacity = math.inf, 0
    while total > capacity:
      # A tile with more groups than there was room for is made again. The room
      # stays, so that the next ones are made once.
      capacity = self._capacity
      groups = tiles.groups_above(
        self.queries.rounded,
        rows.rounded,
        rows.real,
        bound_Q,
        capacity=capacity,
      )
      total = int(groups.total)
      self._capacity = max(self._capacity, tiles.power_of_two(total))
    margin_Q = np.asarray(groups.margin_Q)
    place_C = np.asarray(groups.place_C)[:total]
    score_CN = np.asarray(groups.score_CN)[:total]
    R = len(rows.rounded.error_R)
    query_C, group_C = np.divmod(place_C, R // tiles.GROUP)
    # What is below by more than the margin is so in float32 too. NaN passes.
    limit_Q = bound_Q - margin_Q
    beats = np.flatnonzero(~(score_CN <= limit_Q[query_C, None]))
    at, column = np.divmod(beats, tiles.GROUP)
    row, query = group_C[at] * tiles.GROUP + column, query_C[at]
    hits = Hits(
      query.astype(np.uint16),
      (rows.first + row).astype(np.int32),
      score_CN.ravel()[beats] + self.queries.offset_Q[query],
      margin_Q[query],
    )
    if rows.real < R:
      hits = hits.at(np.flatnonzero(row < rows.real))
    return hits

  def add(self, hits: Hits) -> None:
    """Keeps the hits of a block; blocks come in the order of their rows."""
    self._hits.append(hits)
    self._count_Q += np.bincount(hits.query, minlength=len(self._count_Q))
    mean, most = self._count_Q.mean(), self._count_Q.max()
    if mean > _MEAN_HITS * self._k or most > _MOST_HITS * self._k:
      self.select(self._products(self.queries.vectors_QD, self.prune()))

  # Round 3, and in round 2 whenever there are many hits.

  def prune(self) -> Pairs:
    """Drops the hits that cannot be among the best k.

    Returns:
      Those of the rest that have to be scored in float32, for `select`.
    """
    hits = Hits(*map(np.concatenate, zip(*self._hits, strict=True)))
    if hits.margin.any():
      floor = np.nan_to_num(hits.score - hits.margin, nan=-np.inf)
      floor_QW = self._by_query(hits.query, floor, -np.inf)
      # k hits score as much at least, whatever rounding did to them. Equal ones
      # stay: which of them wins is decided by their row.
      kth_Q = np.asarray(_top_k(floor_QW, self._k)[0])[:, -1]
      below = hits.score + hits.margin < kth_Q[hits.query]
      hits = hits.at(np.flatnonzero(~below))
    self._hits = [hits]
    rounded = hits.at(np.flatnonzero(hits.margin))
    return Pairs(rounded.query, rounded.row)

  def select(self, score: np.ndarray) -> tuple[Neighbours, np.ndarray]:
    """Keeps the best k hits of each query and drops the others.

    Row -1 with score -inf stands for each that lacks.

    Args:
      score: in float32, of what `prune`, called just before, has returned.

    Returns:
      Rows and scores; and of which queries the bound was too high, so that
      some are missing.
    """
    (hits,) = self._hits
    hits.score[np.flatnonzero(hits.margin)] = score
    # The sign of a NaN decides where top_k puts it; infinity is always first.
    score = np.where(np.isnan(hits.score), np.inf, hits.score)
    score_QW = self._by_query(hits.query, score, -np.inf)
    row_QW = self._by_query(hits.query, hits.row, -1)
    # Of equal scores top_k takes the first. That is the lowest row: blocks were
    # added in order, and of equal ones the best k of before are in order too.
    score_QK, column_QK = map(np.asarray, _top_k(score_QW, self._k))
    row_QK = np.take_along_axis(row_QW, column_QK, axis=1)
    query, column = np.nonzero(row_QK >= 0)
    row, score = row_QK[query, column], score_QK[query, column]
    query = query.astype(np.uint16)
    self._hits = [Hits(query, row, score, np.zeros_like(score))]
    self._count_Q = (row_QK >= 0).sum(axis=1)
    # Before the bound rises: what it kept out so far may be better than the
    # k-th hit only where that is below it.
    is_short_Q = score_QK[:, -1] < self._bound_Q
    # Equal ones that come later are higher rows, and lose.
    self._bound_Q = np.maximum(self._bound_Q, score_QK[:, -1])
    return (row_QK, score_QK), is_short_Q

  def _by_query(
    self, query: np.ndarray, value: np.ndarray, missing: int | float
  ) -> np.ndarray:
    """Values [Q, W] of hits, those of one query in a line, in their order.

    W is a power of two, and `k` at least.
    """
    order = np.argsort(query, kind="stable")
    count_Q = np.bincount(query, minlength=len(self._count_Q))
    before = np.repeat(np.cumsum(count_Q) - count_Q, count_Q)
    width = tiles.power_of_two(max(self._k, int(count_Q.max())))
    value_QW = np.full((len(count_Q), width), missing, value.dtype)
    value_QW[query[order], np.arange(len(order)) - before] = value[order]
    return value_QW


_top_k = jax.jit(lax.top_k, static_argnums=1)
