"""Nearest neighbours by inner product: exact on the device, or with ScaNN.

An index answers with rows of the matrix that it was made of. What stands in
those rows, and how it was embedded, is encode.py.
"""

import concurrent.futures
import functools
import math
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax import lax
from jaxtyping import Array, Float, Float32, Int, Int32

Queries = Float[np.ndarray, "Q D"]
Found = tuple[Int32[np.ndarray, "Q K"], Float32[np.ndarray, "Q K"]]
Best = tuple[Float32[Array, "Q K"], Int32[Array, "Q K"]]

# Scores are made in tiles of 8 MiB, which the allocator of a CPU keeps; tiles
# of 32 MiB are mapped anew each time, and take twice as long.
QUERY_BLOCK = 128
ROW_BLOCK = 16384
GROUP = 32  # rows that stand or fall together in the first selection

# Below, reading the codes of all rows costs ScaNN little more than choosing
# leaves, and misses less.
TREE_ROWS = 100_000
CODE_ROWS = 16  # that ScaNN's codes need to be trained


@runtime_checkable
class Vectors(Protocol):
  """A matrix [rows, D] that is read in slices of rows."""

  shape: tuple[int, ...]

  def __getitem__(self, rows: slice) -> np.ndarray: ...


@runtime_checkable
class Index(Protocol):
  """Whatever finds the rows with the largest inner products.

  Attributes:
    kind: the name by which `open_index` knows it.
  """

  kind: str

  def search(self, query_QD: Queries, k: int) -> Found:
    """The `k` best rows of each query.

    Returns:
      Rows and their inner products, best first, equal ones by row. Where there
      are fewer than `k` rows, row -1 with score -inf fills the rest.

    Raises:
      ValueError: a query or a row holds NaN or infinity.
    """
    ...


def open_index(kind: str, vectors: Vectors, **settings: Any) -> Index:
  """Makes an index of the rows of a matrix.

  Where ScaNN cannot be imported (its wheels are for Linux and Python up to
  3.13), exact search stands in and says so.

  Args:
    kind: "exact" or "scann".
    vectors: [rows, D], float of any precision.
    settings: what else that index takes.

  Raises:
    ValueError: for another kind.
  """
  if kind == "exact":
    return ExactIndex(vectors, **settings)
  if kind != "scann":
    raise ValueError(f"unknown kind of index {kind!r}; known: exact, scann")
  try:
    return ScannIndex(vectors, **settings)
  except ImportError as error:
    logging.warning("search is exact: scann cannot be imported (%s)", error)
    return ExactIndex(vectors)


class ExactIndex:
  """All inner products, in float32, on the default device.

  The rows stay where they are, in memory or on disk. Two blocks of them at
  most are on the device at a time, with all queries and what was found so far.

  Args:
    vectors: [rows, D], float of any precision.
  """

  kind = "exact"

  def __init__(self, vectors: Vectors):
    self._vectors = vectors
    self._rows = vectors.shape[0]
    # Blocks of about one size, since the last one costs as much as the others.
    blocks = math.ceil(self._rows / ROW_BLOCK)
    self._row_block = math.ceil(self._rows / (blocks * GROUP)) * GROUP

  def search(self, query_QD: Queries, k: int) -> Found:
    """As `Index.search`; compiles once for each `k`."""
    query_QD = _checked(query_QD, "query")
    queries = [
      jax.device_put(_pad(query_QD[i : i + QUERY_BLOCK], QUERY_BLOCK))
      for i in range(0, len(query_QD), QUERY_BLOCK)
    ]
    shape = (QUERY_BLOCK, k)
    nothing = (
      jnp.full(shape, -jnp.inf, jnp.float32),
      jnp.full(shape, -1, jnp.int32),
    )
    best = [nothing] * len(queries)
    # Two at once: on a CPU one selects, on one core, while another multiplies.
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
      for start in range(0, self._rows, self._row_block):
        block = self._vectors[start : start + self._row_block]
        rows = jax.device_put(_pad(block, self._row_block))
        place = np.array([start, len(block)], np.int32)
        merge = functools.partial(_merge_block, rows_RD=rows, place=place)
        merged = pool.map(
          lambda *args, merge=merge: jax.block_until_ready(merge(*args)),
          best,
          queries,
        )
        best = list(merged)
    scores, ids = (
      np.concatenate([np.asarray(b[i]) for b in best])[: len(query_QD)]
      for i in range(2)
    )
    if np.isposinf(scores).any():
      raise _not_finite("row", int(ids[np.isposinf(scores)][0]))
    return ids, scores


class ScannIndex:
  """ScaNN's codes of all rows, over a partition of them where they are many.

  A copy of the rows in float32 is held in memory. What the codes find is
  scored again exactly. The same rows give the same index. Of rows that tie for
  the last place any may be found.

  Args:
    vectors: [rows, D], float of any precision.
    leaves: parts of the partition. None: the root of the number of rows, or no
      partition below `TREE_ROWS`.
    leaves_to_search: None: three times the root of `leaves`, a share that
      falls as the corpus grows.
    reorder: candidates that are scored exactly. None: 4 `k`, at least 100.

  Raises:
    ImportError: where ScaNN is not installed.
    ValueError: a row holds NaN or infinity.
  """

  kind = "scann"

  def __init__(
    self,
    vectors: Vectors,
    *,
    leaves: int | None = None,
    leaves_to_search: int | None = None,
    reorder: int | None = None,
  ):
    import scann

    matrix = _checked(vectors, "row")
    self._rows = len(matrix)
    if leaves is None and self._rows >= TREE_ROWS:
      leaves = round(self._rows**0.5)
    self._leaves, self._reorder = leaves, reorder
    self._leaves_to_search = leaves_to_search
    builder = scann.scann_ops_pybind.builder(matrix, 10, "dot_product")
    if leaves:
      share = min(leaves, round(3 * leaves**0.5))
      self._leaves_to_search = leaves_to_search or share
      # ScaNN takes no seed: only its other initialisation gives the same
      # partition twice.
      builder = builder.tree(leaves, self._leaves_to_search, random_init=False)
    if self._rows < CODE_ROWS:
      builder = builder.score_brute_force()
    else:
      # Two dimensions a code and a threshold of 0.2: ScaNN's documentation.
      builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2)
      builder = builder.reorder(reorder or 100)
    self._searcher = builder.build()

  def search(self, query_QD: Queries, k: int) -> Found:
    """As `Index.search`; `k` rows are found wherever there are so many."""
    query_QD = _checked(query_QD, "query")
    ids, scores = self._neighbours(query_QD, k, self._leaves_to_search)
    # The leaves that were searched may hold fewer rows than were asked for.
    short = np.isnan(scores[:, : self._rows]).any(axis=1)
    if short.any():
      ids[short], scores[short] = self._neighbours(
        query_QD[short], k, self._leaves
      )
    missing = np.isnan(scores)
    ids = np.where(missing, -1, ids.astype(np.int32))
    scores = np.where(missing, -np.inf, scores)
    order = np.lexsort((ids, -scores), axis=1)
    return (
      np.take_along_axis(ids, order, axis=1),
      np.take_along_axis(scores, order, axis=1),
    )

  def _neighbours(
    self, query_QD: np.ndarray, k: int, leaves: int | None
  ) -> tuple[np.ndarray, np.ndarray]:
    """ScaNN's own answer: uint32 rows, and scores with NaN where none is."""
    return self._searcher.search_batched_parallel(
      query_QD,
      final_num_neighbors=k,
      pre_reorder_num_neighbors=max(k, self._reorder or max(4 * k, 100)),
      leaves_to_search=leaves,
    )


def recall_against(
  exact_ids_QK: Int[np.ndarray, "Q K"], ids_QK: Int[np.ndarray, "Q K"]
) -> float:
  """The share of the exact neighbours that were found, averaged over queries.

  Ids of -1 stand for no neighbour; without any neighbour nothing is missed.
  """
  shares = [
    np.isin(exact[exact >= 0], ids).mean()
    for exact, ids in zip(exact_ids_QK, ids_QK, strict=True)
    if (exact >= 0).any()
  ]
  return float(np.mean(shares)) if shares else 1.0


@jax.jit
def _merge_block(
  best: Best,
  query_QD: Float32[Array, "Q D"],
  rows_RD: Float[Array, "R D"],
  place: Int32[Array, "2"],
) -> Best:
  """The best of what was found before and of one block of rows.

  The best k rows lie within the k groups of the largest maxima: a row of any
  other group is beaten by one row at least of each of those. Groups follow the
  order of rows, so this holds for ties too, as long as the lower row wins
  them, which is what `top_k` does with the lower index. Of later blocks few
  groups have a row that beats the k-th best so far, and only as many are
  looked into.

  Args:
    best: scores and rows, from lower rows than those of the block.
    query_QD: some queries.
    rows_RD: R is a multiple of GROUP.
    place: number of the block's first row, and how many rows it has.
  """
  k = best[0].shape[1]
  scores_QR = jnp.einsum("QD,RD->QR", query_QD, rows_RD, precision="highest")
  # The sign of a NaN decides where top_k puts it; infinity is always first.
  scores_QR = jnp.where(jnp.isnan(scores_QR), jnp.inf, scores_QR)
  is_row = jnp.arange(len(rows_RD)) < place[1]
  scores_QR = jnp.where(is_row[None, :], scores_QR, -jnp.inf)
  groups_QGN = scores_QR.reshape(len(query_QD), -1, GROUP)
  maxima_QG = groups_QGN.max(axis=2)
  most = min(k, maxima_QG.shape[1])
  sizes = sorted({most * n // 8 for n in (0, 1, 2, 3, 4, 8)})
  beats_Q = (maxima_QG > best[0][:, -1:]).sum(axis=1)
  # Equal ones of this block are higher rows, and lose.
  needed = jnp.searchsorted(jnp.array(sizes), jnp.minimum(beats_Q.max(), most))
  branches = [functools.partial(_merge_groups, size=n) for n in sizes]
  return lax.switch(needed, branches, best, groups_QGN, maxima_QG, place[0])


def _merge_groups(
  best: Best,
  groups_QGN: Float32[Array, "Q G N"],
  maxima_QG: Float32[Array, "Q G"],
  first: Int32[Array, ""],
  *,
  size: int,
) -> Best:
  """The best of what was found and of the `size` groups with most to offer."""
  if not size:
    return best
  Q, _, N = groups_QGN.shape
  _, chosen_QC = lax.top_k(maxima_QG, size)
  chosen_QC1 = jnp.sort(chosen_QC, axis=1)[:, :, None]
  found_QCN = jnp.take_along_axis(groups_QGN, chosen_QC1, axis=1)
  ids_QCN = first + chosen_QC1 * N + jnp.arange(N)[None, None, :]
  scores = jnp.concatenate([best[0], found_QCN.reshape(Q, -1)], axis=1)
  ids = jnp.concatenate([best[1], ids_QCN.reshape(Q, -1)], axis=1)
  scores, order = lax.top_k(scores, best[0].shape[1])
  return scores, jnp.take_along_axis(ids, order, axis=1)


def _checked(matrix: Any, name: str) -> Float32[np.ndarray, "R D"]:
  """Queries or rows as one float32 array of finite numbers."""
  matrix = np.ascontiguousarray(matrix, np.float32)
  # The sum of a vector is finite if all of it is.
  broken = np.flatnonzero(~np.isfinite(matrix.sum(axis=1)))
  if len(broken):
    raise _not_finite(name, int(broken[0]))
  return matrix


def _not_finite(name: str, line: int) -> ValueError:
  return ValueError(
    f"{name} {line} holds NaN, infinity or huge numbers; encode it again with "
    "parameters that are sound"
  )


def _pad(rows: np.ndarray, size: int) -> np.ndarray:
  """Adds rows of zeros up to `size`."""
  missing = size - len(rows)
  return np.pad(rows, ((0, missing), (0, 0))) if missing else np.asarray(rows)
