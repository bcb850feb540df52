"""The nearest of the rows that are looked at, block by block.

Products are made and looked through on the device; what may win is kept on the
host. Which rows there are, and in what blocks, is exact.py.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, Int32

Found = tuple[Int32[np.ndarray, "Q K"], Float32[np.ndarray, "Q K"]]

GROUP = 128  # rows that are taken out of a tile together
_FIRST_CAPACITY = 4  # groups a query that are taken out of a tile
# Times k: rows that are kept for a query, in the mean and for any one, before
# all but the best are dropped.
_KEPT, _MOST_KEPT = 3, 12


class Block(NamedTuple):
  """Rows [R, D] on the device, of which the first `count` are real."""

  rows_RD: jax.Array
  count: int


class Nearest:
  """The nearest rows of some queries among the blocks that were looked at.

  Two threads may look at once, while a third keeps what was found.

  The k-th best score of any rows is a bound for the k-th best of all. Only
  what beats it is taken from the device, and kept until there is much of it;
  then the best k are, and the bound rises.

  Args:
    query_QD: some queries, `size` at most.
    size: all sets of queries are padded to it.
    k: neighbours of each.
  """

  def __init__(self, query_QD: np.ndarray, size: int, k: int):
    self._query = jax.device_put(padded(query_QD, size))
    self._k, self._capacity = k, _FIRST_CAPACITY * size
    # Of the queries that pad the block nothing is wanted.
    self._bound_Q = np.full(size, np.inf, np.float32)
    self._bound_Q[: len(query_QD)] = -np.inf
    self._sampled_QK = np.empty((size, 0), np.float32)
    self._margin_Q = np.zeros(size, np.float32)
    self._found: list[_Rows] = []
    self._count_Q = np.zeros(size, np.int64)  # of what was found

  def sample(self, block: Block, place: int) -> None:
    """Bounds by the score at a place, from 1, among those of all samples."""
    best = _best_scores(self._query, *block, k=min(place, len(block.rows_RD)))
    best_QK, _, margin_Q = map(np.asarray, best)
    both_QK = np.concatenate([self._sampled_QK, best_QK], axis=1)
    both_QK = -np.sort(-both_QK, axis=1)
    self._sampled_QK = both_QK[:, :place]
    self._margin_Q = np.maximum(self._margin_Q, margin_Q)
    if place <= both_QK.shape[1]:
      bound_Q = both_QK[:, place - 1] - self._margin_Q
      self._bound_Q = np.maximum(self._bound_Q, bound_Q)

  def look(self, first: int, block: Block) -> "_Rows":
    """What beats the bound among the rows of a block, from row `first` on."""
    bound_Q, hits, capacity = self._bound_Q, math.inf, 0
    while hits > capacity:
      capacity = self._capacity
      hits, at_C, score_CN = _above(
        self._query, *block, bound_Q, capacity=capacity
      )
      hits = int(hits)
      self._capacity = max(self._capacity, power_of_two(hits))
    at_C, score_CN = np.asarray(at_C)[:hits], np.asarray(score_CN)[:hits]
    query_C, group_C = np.divmod(at_C, len(block.rows_RD) // GROUP)
    beats = np.flatnonzero(~(score_CN <= bound_Q[query_C, None]))
    place, column = np.divmod(beats, GROUP)
    row = group_C[place] * GROUP + column
    query, score = query_C[place].astype(np.uint16), score_CN.ravel()[beats]
    found = _Rows(query, (first + row).astype(np.int32), score)
    if block.count < len(block.rows_RD):
      found = _Rows(*(x[row < block.count] for x in found))
    return found

  def keep(self, found: "_Rows") -> None:
    """Adds what `look` found, block by block."""
    self._found.append(found)
    self._count_Q += np.bincount(found.query, minlength=len(self._count_Q))
    mean, most = self._count_Q.mean(), self._count_Q.max()
    if mean > _KEPT * self._k or most > _MOST_KEPT * self._k:
      self.best()

  def best(self) -> Found:
    """The best k of what was kept for each query; the rest is dropped.

    Row -1 with score -inf stands for each that lacks.
    """
    found = _Rows(*map(np.concatenate, zip(*self._found, strict=True)))
    # Stable: of each query, what was found first stays first, and wins ties.
    order = np.argsort(found.query, kind="stable")
    count_Q, query = self._count_Q, found.query[order]
    before = np.repeat(np.cumsum(count_Q) - count_Q, count_Q)
    place = np.arange(len(order)) - before
    width = power_of_two(max(self._k, int(count_Q.max())))
    score_QW = np.full((len(count_Q), width), -np.inf, np.float32)
    row_QW = np.full(score_QW.shape, -1, np.int32)
    # The sign of a NaN decides where top_k puts it; infinity is always first.
    score = np.where(np.isnan(found.score), np.inf, found.score)
    score_QW[query, place] = score[order]
    row_QW[query, place] = found.row[order]
    score_QK, at_QK = map(np.asarray, _top_k(score_QW, self._k))
    row_QK = np.take_along_axis(row_QW, at_QK, axis=1)
    query, column = np.nonzero(row_QK >= 0)
    self._found = [
      _Rows(
        query.astype(np.uint16), row_QK[query, column], score_QK[query, column]
      )
    ]
    self._count_Q = (row_QK >= 0).sum(axis=1)
    # Equal ones that come later are higher rows, and lose.
    self._bound_Q = np.maximum(self._bound_Q, score_QK[:, -1])
    return row_QK, score_QK


class _Rows(NamedTuple):
  """Rows that were found, one by one: for which query, and their scores."""

  query: np.ndarray
  row: np.ndarray
  score: np.ndarray


@functools.partial(jax.jit, static_argnames="capacity")
def _above(
  query_QD: Float32[Array, "Q D"],
  rows_RD: Float[Array, "R D"],
  count: Int32[Array, ""],
  bound_Q: Float32[Array, "Q"],
  *,
  capacity: int,
) -> tuple[Int32[Array, ""], Int32[Array, "C"], Float32[Array, "C N"]]:
  """Groups of rows of which one at least scores above a query's bound.

  Args:
    query_QD: some queries.
    rows_RD: R is a multiple of GROUP.
    count: the rows that are real.
    bound_Q: by query.
    capacity: C, the groups that are returned.

  Returns:
    How many groups there are, which may be more than C; their places among
    all groups of all queries, in order; and the scores of their rows.
  """
  scores_QGN = _products(query_QD, rows_RD).reshape(len(query_QD), -1, GROUP)
  is_row_GN = (jnp.arange(len(rows_RD)) < count).reshape(-1, GROUP)
  # NaN is below no bound. A maximum would not do: XLA's may drop it.
  beats_QGN = ~(scores_QGN <= bound_Q[:, None, None]) & is_row_GN[None]
  beats = beats_QGN.any(axis=2).reshape(-1)
  number = jnp.cumsum(beats)  # of each group among those that beat
  at_C = jnp.searchsorted(number, jnp.arange(1, capacity + 1))
  return number[-1], at_C, scores_QGN.reshape(-1, GROUP)[at_C]


@functools.partial(jax.jit, static_argnames="k")
def _best_scores(
  query_QD: Float32[Array, "Q D"],
  rows_RD: Float[Array, "R D"],
  count: Int32[Array, ""],
  *,
  k: int,
) -> tuple[Float32[Array, "Q K"], Int32[Array, "Q K"], Float32[Array, "Q"]]:
  """Of some rows, of which the first `count` are real; -inf for no row.

  Returns:
    Scores, best first, their rows, and what a score may differ by from that of
    the same vectors in another place.
  """
  scores_QR = _products(query_QD, rows_RD)
  is_row_R = jnp.arange(len(rows_RD)) < count
  # Without its second result, XLA makes a whole sort of top_k on a CPU.
  best = lax.top_k(jnp.where(is_row_R, scores_QR, -jnp.inf), k)
  norm_Q = jnp.linalg.norm(query_QD, axis=1)
  longest = jnp.linalg.norm(rows_RD.astype(jnp.float32), axis=1).max()
  return *best, jnp.maximum(1e-5 * norm_Q * longest, 1e-30)


def _products(query_QD: Array, rows_RD: Array) -> Float32[Array, "Q R"]:
  return jnp.einsum("QD,RD->QR", query_QD, rows_RD, precision="highest")


_top_k = jax.jit(lax.top_k, static_argnums=1)


def power_of_two(least: int) -> int:
  """The smallest one that is not below."""
  return 1 << (least - 1).bit_length()


def padded(rows: np.ndarray, size: int) -> np.ndarray:
  """Rows with zeros behind them, up to `size`."""
  missing = size - len(rows)
  return np.pad(rows, ((0, missing), (0, 0))) if missing else np.asarray(rows)
