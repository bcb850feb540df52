"""Exact search: the nearest of all rows by inner product, in float32.

Its rounds, and how the rows are read for them. What a round does to a block of
queries is shortlist.py, and to a tile of products tiles.py; other kinds of
index are search.py.
"""

import collections
import concurrent.futures
import functools
import math
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from jaxtyping import Float32

from prod_jax import progress
from prod_jax.retrieval import tiles
from prod_jax.retrieval.index import (
  Neighbours,
  Queries,
  Vectors,
  finite,
  not_finite,
)
from prod_jax.retrieval.shortlist import Pairs, Shortlist

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

  def search(self, query_QD: Queries, k: int) -> Neighbours:
    """As `Index.search`; compiles once for each `k` and size of queries.

    Sizes below `QUERY_BLOCK` are powers of two. Choosing the best of a
    shortlist compiles for the powers of two that it may be long.
    """
    # 1. Sample. A few rows from all over the matrix are scored. Each query gets
    #    a bound: the score at some rank among them, which the k-th best of all
    #    rows will beat, but for a few queries in a million.
    # 2. Scan. All rows are scored, block by block. Those that may beat the
    #    bound, by as much as rounding may have taken from them, are hits.
    #    Whenever there are many, the best k stay and the k-th is the new bound.
    # 3. Rescore. Hits that k others beat in spite of all rounding are dropped,
    #    the others are scored in float32, and the best k are the neighbours.
    # 4. Again, for queries whose k-th neighbour is below their bound: it may
    #    have kept better rows out. Their bound is now the k-th best score of
    #    the sample, and k rows do score as much, so that nothing is kept out.
    #    Where there is no such query, nearly always, round 3 was the last.
    query_QD = finite(query_QD, "query")
    row_QK = np.empty((len(query_QD), k), np.int32)
    score_QK = np.empty((len(query_QD), k), np.float32)
    open_Q = np.arange(len(query_QD))
    for rank in (self._bound_rank(k), k):
      shortlists = self._shortlists(query_QD[open_Q], k)
      # On a CPU one thread selects, on one core, while another multiplies.
      with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        self._sample(pool, shortlists, k, rank)
        self._scan(pool, shortlists)
        neighbours, is_short = self._rescore(pool, shortlists)
      # Blocks of queries are filled up, so that there are some behind them.
      row_QK[open_Q], score_QK[open_Q] = (x[: len(open_Q)] for x in neighbours)
      open_Q = open_Q[is_short[: len(open_Q)]]
      if not len(open_Q):
        break
    # A row that is no number beats any bound, and so is there to be named.
    if np.isposinf(score_QK).any():
      raise not_finite("row", int(row_QK[np.isposinf(score_QK)][0]))
    return row_QK, score_QK

  def _sample(
    self,
    pool: concurrent.futures.Executor,
    shortlists: list[Shortlist],
    k: int,
    rank: int,
  ) -> None:
    """Round 1: a bound for each query, by the score at a rank of the sample."""
    sample = functools.partial(Shortlist.sample, rank=rank)
    blocks = self._sample_blocks(k)
    for shortlist, floor_QN in _over_tiles(pool, sample, shortlists, blocks):
      shortlist.raise_bound(floor_QN, rank)

  def _scan(
    self, pool: concurrent.futures.Executor, shortlists: list[Shortlist]
  ) -> None:
    """Round 2: the hits among all rows, added in the order of the rows."""
    blocks = progress.shown(
      self._blocks(),
      "exact search",
      "blocks of rows",
      math.ceil(self._rows / self._row_block),
      only_long=True,
      leave=False,
    )
    for shortlist, hits in _over_tiles(
      pool, Shortlist.scan, shortlists, blocks
    ):
      shortlist.add(hits)

  def _rescore(
    self, pool: concurrent.futures.Executor, shortlists: list[Shortlist]
  ) -> tuple[Neighbours, np.ndarray]:
    """Round 3: the best k hits, and of which queries some are missing."""
    # All are pruned before any is scored, so that a row is read once for all.
    pairs = list(pool.map(Shortlist.prune, shortlists))
    scores = self._products_of_all(shortlists, pairs)
    selected = list(pool.map(Shortlist.select, shortlists, scores))
    neighbours, is_short = zip(*selected, strict=True)
    row_QK, score_QK = map(np.concatenate, zip(*neighbours, strict=True))
    return (row_QK, score_QK), np.concatenate(is_short)

  def _bound_rank(self, k: int) -> int:
    """More of the best k than a sample holds, but for a few in a million."""
    mean = k * self._sample_size(k) / self._rows
    return min(math.ceil(mean + 5 * mean**0.5) + 2, k)

  def _shortlists(self, query_QD: np.ndarray, k: int) -> list[Shortlist]:
    """Empty ones, one a block of queries, all blocks of one size."""
    size = min(QUERY_BLOCK, tiles.power_of_two(len(query_QD)))
    blocks = (
      self._query_block(query_QD[i : i + size], size)
      for i in range(0, len(query_QD), size)
    )
    return [Shortlist(block, k, self._products) for block in blocks]

  def _query_block(self, query_QD: np.ndarray, size: int) -> tiles.QueryBlock:
    count = len(query_QD)
    query_QD = np.pad(query_QD, ((0, size - count), (0, 0)))
    no_centre_D = np.zeros_like(self._centre_D)
    rounded = tiles.rounded(query_QD, no_centre_D, dtype=self._dtype)
    offset_Q = np.einsum(
      "QD,D->Q", query_QD, self._centre_D, dtype=np.float64
    ).astype(np.float32)
    return tiles.QueryBlock(query_QD, rounded, offset_Q, count)

  def _products_of_all(
    self, shortlists: list[Shortlist], pairs: list[Pairs]
  ) -> list[np.ndarray]:
    """Scores in float32 of the pairs of each, every block read once."""
    vectors = [shortlist.queries.vectors_QD for shortlist in shortlists]
    first = np.cumsum([0] + [len(query_QD) for query_QD in vectors])
    joined = Pairs(
      np.concatenate(
        [x.query + i for x, i in zip(pairs, first[:-1], strict=True)]
      ),
      np.concatenate([x.row for x in pairs]),
    )
    ends = np.cumsum([len(x.row) for x in pairs])
    scores = self._products(np.concatenate(vectors), joined)
    return np.split(scores, ends[:-1])

  def _products(self, query_QD: np.ndarray, pairs: Pairs) -> np.ndarray:
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
        # Pair by pair, and not as a matrix: a sum has the same order in
        # whatever company, and so copies of a row tie.
        score[order[at]] = np.einsum(
          "nD,nD->n", rows_RD[row[at] - first], query_QD[query[at]]
        )

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
      list(pool.map(multiply, blocks.tolist(), starts.tolist(), stops))
    return score

  def _blocks(self) -> Iterator[tiles.RowBlock]:
    """All rows."""
    for first in range(0, self._rows, self._row_block):
      rows = self._vectors[first : first + self._row_block]
      yield self._row_block_of(rows, first)

  def _sample_size(self, k: int) -> int:
    """Rows of a sample: some of the best `k`, or a twentieth, are in it."""
    wanted = min(_NEIGHBOURS / k, _LARGEST_SAMPLE) * self._rows
    blocks = max(math.floor(wanted / self._row_block), 1)
    return min(blocks * self._row_block, self._rows)

  def _sample_blocks(self, k: int) -> Iterator[tiles.RowBlock]:
    """Rows from all over the matrix."""
    rows = np.linspace(0, self._rows - 1, self._sample_size(k)).astype(np.int64)
    for i in range(0, len(rows), self._row_block):
      yield self._row_block_of(self._vectors[rows[i : i + self._row_block]], 0)

  def _row_block_of(self, rows: np.ndarray, first: int) -> tiles.RowBlock:
    """Rows on the device, filled up to the one size that is compiled for."""
    count, missing = len(rows), self._row_block - len(rows)
    if missing:  # by copies of a row: zeros may be far from the centre
      rows = np.pad(rows, ((0, missing), (0, 0)), mode="edge")
    rounded = tiles.rounded(rows, self._centre_D, dtype=self._dtype)
    return tiles.RowBlock(rounded, count, first)

  def _centre(self) -> Float32[np.ndarray, " D"]:
    """About the mean of all rows; nothing where they are not rounded."""
    centre_D = np.zeros(self._vectors.shape[1], np.float32)
    if self._dtype == "float32":
      return centre_D
    rows = np.linspace(0, self._rows - 1, min(self._rows, ROW_BLOCK))
    mean_D = self._vectors[rows.astype(np.int64)].mean(axis=0, dtype=np.float64)
    # Any centre will do: a row that is no number is named in the end.
    sound = np.abs(mean_D) < np.finfo(np.float32).max
    return np.where(sound, mean_D, centre_D).astype(np.float32)


def _over_tiles(
  pool: concurrent.futures.Executor,
  work: Callable[[Shortlist, tiles.RowBlock], T],
  shortlists: list[Shortlist],
  blocks: Iterable[tiles.RowBlock],
) -> Iterator[tuple[Shortlist, T]]:
  """What `work` makes of each tile, in order: by block, then by shortlist.

  A block is read when its turn comes. A few tiles are at work at once.
  """
  pending: collections.deque[tuple[Shortlist, concurrent.futures.Future]]
  pending = collections.deque()
  for block in blocks:
    for shortlist in shortlists:
      pending.append((shortlist, pool.submit(work, shortlist, block)))
      if len(pending) > _THREADS + 1:
        oldest, tile = pending.popleft()
        yield oldest, tile.result()
  for oldest, tile in pending:
    yield oldest, tile.result()
