"""All inner products on the device: the nearest neighbours, exactly.

Also what every index is given and gives back. Another kind of index, and the
choice between them, is search.py.
"""

import collections
import concurrent.futures
import functools
import math
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32

from prod_jax.retrieval import tiles
from prod_jax.retrieval.nearest import (
  Found,
  Nearest,
  Pairs,
  power_of_two,
)

Queries = Float[np.ndarray, "Q D"]
T = TypeVar("T")

# Scores are made in tiles of 8 MiB, which the allocator of a CPU keeps and its
# cache holds; larger ones are mapped anew each time.
QUERY_BLOCK = 1024
ROW_BLOCK = 2048
_THREADS = 2
_PAIRS = 1024  # of vectors, that are multiplied at once
# Of the best rows so many are in a sample in the mean, if it is no more than
# this share of all.
_NEIGHBOURS, _LARGEST_SAMPLE = 4, 0.05


@runtime_checkable
class Vectors(Protocol):
  """A matrix [rows, D] that is read in slices of rows, or at some of them."""

  shape: tuple[int, ...]

  def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray: ...


class ExactIndex:
  """All inner products, on the default device, as float32 has them.

  The rows stay where they are, in memory or on disk. A few blocks of them are
  on the device at a time, with all queries. Where products are made of rounded
  vectors, the blocks of those that may be among the best are read once more.

  Args:
    vectors: [rows, D], float of any precision.
  """

  kind = "exact"

  def __init__(self, vectors: Vectors):
    self._vectors = vectors
    self._rows = vectors.shape[0]
    # Blocks of about one size, since the last one costs as much as the others.
    blocks = math.ceil(self._rows / ROW_BLOCK)
    groups = math.ceil(self._rows / (blocks * tiles.GROUP))
    self._row_block = groups * tiles.GROUP
    self._dtype = tiles.fastest()
    self._centre_D = self._centre()

  def search(self, query_QD: Queries, k: int) -> Found:
    """As `Index.search`; compiles once for each `k` and size of queries.

    Sizes below `QUERY_BLOCK` are powers of two. Choosing the best of what was
    found compiles for the powers of two that it may be.
    """
    query_QD = checked(query_QD, "query")
    (ids, scores), is_short = self._found(query_QD, k, self._expected(k))
    # Where a sample's bound was too high, no bound that may be is taken.
    if is_short.any():
      again, _ = self._found(query_QD[is_short], k, k)
      ids[is_short], scores[is_short] = again
    if np.isposinf(scores).any():
      raise _not_finite("row", int(ids[np.isposinf(scores)][0]))
    return ids, scores

  def _expected(self, k: int) -> int:
    """More of the best rows than a sample holds, but for a few in a million."""
    mean = k * self._sampled(k) / self._rows
    return min(math.ceil(mean + 5 * mean**0.5) + 2, k)

  def _found(
    self, query_QD: np.ndarray, k: int, sampled: int
  ) -> tuple[Found, np.ndarray]:
    """What `search` returns, looking only above a sample's best scores.

    Args:
      query_QD: of finite numbers.
      k: neighbours.
      sampled: the bound is so many-th best score of a sample. With `k` no
        neighbour is missed.

    Returns:
      What was found; and of which queries some were missed, because of their
      bound.
    """
    size = min(QUERY_BLOCK, power_of_two(len(query_QD)))
    nearest = [
      Nearest(
        query_QD[i : i + size],
        size,
        k,
        self._dtype,
        self._centre_D,
        self._multiply,
      )
      for i in range(0, len(query_QD), size)
    ]
    # On a CPU one thread selects, on one core, while another multiplies.
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
      at_best = (
        functools.partial(these.at_best, block, sampled)
        for block in self._sample(k)
        for these in nearest
      )
      for these, best in zip(
        cycle(nearest), _results(pool, at_best), strict=False
      ):
        these.bound(best, sampled)
      looks = (
        functools.partial(these.look, first, block)
        for first, block in self._blocks()
        for these in nearest
      )
      for these, found in zip(
        cycle(nearest), _results(pool, looks), strict=False
      ):
        these.keep(found)
      wanted = list(pool.map(Nearest.narrow, nearest))
      scores = self._multiply_all(nearest, wanted)
      found = list(pool.map(Nearest.best, nearest, scores))
    ids, scores, is_short = (
      np.concatenate(x)[: len(query_QD)]
      for x in zip(*((*best, short) for best, short in found), strict=True)
    )
    return (ids, scores), is_short

  def _multiply_all(
    self, nearest: list[Nearest], wanted: list[Pairs]
  ) -> list[np.ndarray]:
    """Scores in float32 of what each of them wants, each row read once."""
    first = np.cumsum([0] + [len(these.query_QD) for these in nearest])
    pairs = Pairs(
      np.concatenate(
        [x.query + i for x, i in zip(wanted, first[:-1], strict=True)]
      ),
      np.concatenate([x.row for x in wanted]),
    )
    query_QD = np.concatenate([these.query_QD for these in nearest])
    ends = np.cumsum([len(x.row) for x in wanted])
    return np.split(self._multiply(query_QD, pairs), ends[:-1])

  def _multiply(self, query_QD: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Inner products [n] of pairs, of equal vectors always the same."""
    score = np.empty(len(pairs.row), np.float32)
    if not len(score):
      return score
    order = np.argsort(pairs.row, kind="stable")
    query, row = pairs.query[order], pairs.row[order]
    blocks, starts = np.unique(row // self._row_block, return_index=True)
    stops = [*starts[1:].tolist(), len(row)]

    def multiply(block: int, start: int, stop: int) -> None:
      first = block * self._row_block
      rows_RD = self._vectors[first : first + self._row_block]
      rows_RD = np.asarray(rows_RD, np.float32)
      for i in range(start, stop, _PAIRS):
        at = slice(i, min(i + _PAIRS, stop))
        score[order[at]] = np.einsum(
          "nD,nD->n", rows_RD[row[at] - first], query_QD[query[at]]
        )

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
      list(pool.map(multiply, blocks.tolist(), starts.tolist(), stops))
    return score

  def _blocks(self) -> Iterator[tuple[int, tiles.Block]]:
    """All blocks of rows, each with the number of its first one."""
    for first in range(0, self._rows, self._row_block):
      yield first, self._put(self._vectors[first : first + self._row_block])

  def _sampled(self, k: int) -> int:
    """Rows of a sample: some of the best `k`, or a twentieth, are in it."""
    wanted = min(_NEIGHBOURS / k, _LARGEST_SAMPLE) * self._rows
    blocks = max(math.floor(wanted / self._row_block), 1)
    return min(blocks * self._row_block, self._rows)

  def _sample(self, k: int) -> Iterator[tiles.Block]:
    """Blocks of rows from all over the matrix."""
    rows = np.linspace(0, self._rows - 1, self._sampled(k)).astype(np.int64)
    for i in range(0, len(rows), self._row_block):
      yield self._put(self._vectors[rows[i : i + self._row_block]])

  def _put(self, rows: np.ndarray) -> tiles.Block:
    count, missing = len(rows), self._row_block - len(rows)
    if missing:  # zeros may be far from the centre
      rows = np.pad(rows, ((0, missing), (0, 0)), mode="edge")
    near = tiles.rounded(rows, self._centre_D, dtype=self._dtype)
    return tiles.Block(near, count)

  def _centre(self) -> Float32[np.ndarray, "D"]:
    """About the mean of all rows; nothing where they are not rounded."""
    centre_D = np.zeros(self._vectors.shape[1], np.float32)
    if self._dtype == "float32":
      return centre_D
    rows = np.linspace(0, self._rows - 1, min(self._rows, ROW_BLOCK))
    mean_D = self._vectors[rows.astype(np.int64)].mean(axis=0, dtype=np.float64)
    # Any centre will do: a row that is no number is named in the end.
    sound = np.abs(mean_D) < np.finfo(np.float32).max
    return np.where(sound, mean_D, centre_D).astype(np.float32)


def _results(
  pool: concurrent.futures.Executor, calls: Iterable[Callable[[], T]]
) -> Iterator[T]:
  """Of calls, in their order; a few of them are at work at once."""
  pending: collections.deque[concurrent.futures.Future] = collections.deque()
  for call in calls:
    pending.append(pool.submit(call))
    if len(pending) > _THREADS + 1:
      yield pending.popleft().result()
  while pending:
    yield pending.popleft().result()


def checked(
  matrix: Any, name: str, first: int = 0
) -> Float32[np.ndarray, "R D"]:
  """Vectors, from number `first` on, as a float32 array of finite numbers."""
  matrix = np.ascontiguousarray(matrix, np.float32)
  # The sum of a vector is finite if all of it is.
  broken = np.flatnonzero(~np.isfinite(matrix.sum(axis=1)))
  if len(broken):
    raise _not_finite(name, first + int(broken[0]))
  return matrix


def _not_finite(name: str, line: int) -> ValueError:
  return ValueError(
    f"{name} {line} holds NaN, infinity or huge numbers; encode it again with "
    "parameters that are sound"
  )
