"""Nearest neighbours by inner product: the kinds of index, and ScaNN.

An index answers with rows of the matrix that it was made of. What stands in
those rows, and how it was embedded, is encode.py.
"""

import ctypes
import functools
import mmap
import pathlib
import re

import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Float32, Float64, Int, Int32

from prod_jax.retrieval import tiles
from prod_jax.retrieval.exact import ExactIndex
from prod_jax.retrieval.index import (
  Index,
  Neighbours,
  Queries,
  Vectors,
  finite,
)

# Below, reading the codes of all rows costs ScaNN little more than choosing
# leaves, and misses less.
TREE_ROWS = 100_000
LEAVES = 2  # of the partition, times the root of the number of rows
# Leaves that are searched, times the root of their number: a share of them
# that falls as the corpus grows.
SEARCHED_LEAVES = 5
# Candidates that are scored exactly, times k, and at least.
REORDERED, LEAST_REORDERED = 3, 100
CODE_ROWS = 16  # that ScaNN's codes need to be trained
CODE_BITS = 4  # of a code of ScaNN
SAMPLE_ROWS = 50_000  # that axes are found by
_ROWS_AT_ONCE = 10_000  # that are read and turned
# research_scann::flags_internal::should_use_avx2, a bool in ScaNN's library.
AVX2_SWITCH = "_ZN14research_scann14flags_internal15should_use_avx2E"
# absl::SetMinLogLevel, a function there, whose name has absl's version in it.
LOG_SWITCH = rb"_ZN4absl\w*14SetMinLogLevelE\w+"
_ERRORS = 2  # absl::LogSeverityAtLeast::kError; it warns of its own centroids


def open_index(kind: str, vectors: Vectors) -> Index:
  """Makes an index of the rows of a matrix.

  Where ScaNN cannot be imported (its wheels are for Linux and Python up to
  3.13), exact search stands in and says so.

  Args:
    kind: "exact" or "scann".
    vectors: [rows, D], float of any precision.

  Raises:
    ValueError: for another kind.
  """
  if kind == "exact":
    return ExactIndex(vectors)
  if kind != "scann":
    raise ValueError(f"unknown kind of index {kind!r}; known: exact, scann")
  try:
    return ScannIndex(vectors)
  except ImportError as error:
    logging.warning("search is exact: scann cannot be imported (%s)", error)
    return ExactIndex(vectors)


def search_others(
  index: Index, query_QD: Queries, k: int, own_Q: np.ndarray | None
) -> Neighbours:
  """The `k` best rows of each query, its own document left out.

  Args:
    index: to search in.
    query_QD: queries.
    k: rows of each.
    own_Q: row of the query's own document, -1 where it has none; None where
      none is left out.
  """
  if own_Q is None:
    return index.search(query_QD, k)
  ids_QK, scores_QK = without_own(*index.search(query_QD, k + 1), own_Q)
  return ids_QK[:, :k], scores_QK[:, :k]


def without_own(
  ids_QK: Int32[np.ndarray, "Q K"],
  scores_QK: Float32[np.ndarray, "Q K"],
  own_Q: np.ndarray,
) -> Neighbours:
  """Lists without a row of their query; -1 and -inf stand at their end."""
  is_own = ids_QK == np.where(own_Q < 0, -2, own_Q)[:, None]
  order = np.argsort(is_own, axis=1, kind="stable")
  ids = np.take_along_axis(np.where(is_own, -1, ids_QK), order, axis=1)
  scores = np.where(is_own, -np.inf, scores_QK).astype(scores_QK.dtype)
  return ids, np.take_along_axis(scores, order, axis=1)


class ScannIndex:
  """ScaNN's codes of all rows, over a partition of them where they are many.

  A copy of the rows in float32, along other axes, is held in memory. What the
  codes find is scored again by it, exactly but for rounding. The same rows give
  the same index. Of rows that tie for the last place any may be found.

  Args:
    vectors: [rows, D], float of any precision.

  Raises:
    ImportError: where ScaNN is not installed.
    ValueError: a row holds NaN or infinity.
  """

  kind = "scann"

  def __init__(self, vectors: Vectors):
    import scann

    _allow_avx2()  # before the index is made
    _only_errors()
    self._rows = vectors.shape[0]
    self._axes_DE, size = _balanced(_covariance(vectors))
    # In slices: of all rows one copy is held, along the axes.
    matrix = np.empty((self._rows, self._axes_DE.shape[1]), np.float32)
    for i in range(0, self._rows, _ROWS_AT_ONCE):
      rows = finite(vectors[i : i + _ROWS_AT_ONCE], "row", i)
      np.matmul(rows, self._axes_DE, out=matrix[i : i + _ROWS_AT_ONCE])
    builder = scann.scann_ops_pybind.builder(matrix, 10, "dot_product")
    self._leaves = self._searched_leaves = None
    if self._rows >= TREE_ROWS:
      logging.info(
        "ScaNN makes its index of %d rows, which takes minutes and more; it "
        "does not say how far it is",
        self._rows,
      )
      leaves = self._leaves = round(LEAVES * self._rows**0.5)
      self._searched_leaves = min(leaves, round(SEARCHED_LEAVES * leaves**0.5))
      # ScaNN takes no seed: only its other initialisation gives the same
      # partition twice.
      builder = builder.tree(
        leaves, self._searched_leaves, random_init=False, spherical=True
      )
    if self._rows < CODE_ROWS:
      builder = builder.score_brute_force()
    else:
      builder = builder.score_ah(size, anisotropic_quantization_threshold=0.1)
      builder = builder.reorder(LEAST_REORDERED)
    self._searcher = builder.build()

  def search(self, query_QD: Queries, k: int) -> Neighbours:
    """As `Index.search`; `k` rows are found wherever there are so many."""
    # Not by numpy: OpenBLAS's threads would spin while ScaNN's are to work.
    query_QE = np.asarray(
      jnp.matmul(finite(query_QD, "query"), self._axes_DE, precision="highest")
    )
    ids, scores = self._neighbours(query_QE, k, self._searched_leaves)
    # The leaves that were searched may hold fewer rows than were asked for:
    # then all of them are.
    short = np.isnan(scores[:, : self._rows]).any(axis=1)
    if short.any():
      ids[short], scores[short] = self._neighbours(
        query_QE[short], k, self._leaves
      )
    missing = np.isnan(scores)
    ids = np.where(missing, -1, ids.astype(np.int32))
    scores = np.where(missing, -np.inf, scores)
    # Sorting all of them would cost a tenth of the search.
    loose = ~(scores[:, 1:] < scores[:, :-1]).all(axis=1)
    order = np.lexsort((ids[loose], -scores[loose]), axis=1)
    ids[loose] = np.take_along_axis(ids[loose], order, axis=1)
    scores[loose] = np.take_along_axis(scores[loose], order, axis=1)
    return ids, scores

  def _neighbours(
    self, query_QE: np.ndarray, k: int, leaves: int | None
  ) -> tuple[np.ndarray, np.ndarray]:
    """ScaNN's own answer: uint32 rows, and scores with NaN where none is."""
    return self._searcher.search_batched_parallel(
      query_QE,
      final_num_neighbors=k,
      pre_reorder_num_neighbors=max(REORDERED * k, LEAST_REORDERED),
      leaves_to_search=leaves,
      batch_size=512,  # of a thread; twice ScaNN's own
    )


def _allow_avx2() -> None:
  """Tells ScaNN of AVX2 where the processor has it.

  Wheels of ScaNN 1.4 were compiled with a test of the processor that always
  says no, and then read codes with SSE4 at half the speed. Where a wheel has no
  such switch, or has it on, nothing is done.
  """
  import scann_pybind

  if not tiles.cpu_has("avx2", "fma"):
    return
  library = ctypes.CDLL(scann_pybind.__file__)
  try:
    switch = ctypes.c_bool.in_dll(library, AVX2_SWITCH)
  except ValueError:
    return
  switch.value = True


@functools.cache
def _only_errors() -> None:
  """Tells ScaNN not to narrate on standard error, if it can be told."""
  import scann_pybind

  path = pathlib.Path(scann_pybind.__file__)
  with path.open("rb") as file:
    names = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    found = re.search(LOG_SWITCH, names)
  if found:
    ctypes.CDLL(str(path))[found[0].decode()](_ERRORS)


def _covariance(vectors: Vectors) -> Float64[np.ndarray, "D D"]:
  """The covariance of SAMPLE_ROWS at even distances, read some at a time."""
  number, width = vectors.shape
  sample = np.arange(0, number, -(-number // SAMPLE_ROWS))
  sum_D, product_DD = np.zeros(width), np.zeros((width, width))
  for i in range(0, len(sample), _ROWS_AT_ONCE):
    # A row that is not finite is named when all are read.
    rows_RD = np.nan_to_num(
      vectors[sample[i : i + _ROWS_AT_ONCE]].astype(np.float64),
      posinf=0,
      neginf=0,
    )
    sum_D += rows_RD.sum(axis=0)
    product_DD += rows_RD.T @ rows_RD
  mean_D = sum_D / len(sample)
  return product_DD / len(sample) - np.outer(mean_D, mean_D)


def _balanced(
  covariance_DD: Float64[np.ndarray, "D D"],
) -> tuple[Float32[np.ndarray, "D E"], int]:
  """Axes of which those that share a code vary together as much as any others.

  A code spends as much on dimensions that hardly vary as on those that do.
  Where the widest of the principal axes share theirs with the narrowest, less
  is lost.

  Returns:
    A rotation, which leaves inner products as they are, with axes of zeros
    where D is no multiple; and how many dimensions share a code: two, or three
    where that loses less than two do that vary alike.
  """
  width_D, axes_DD = np.linalg.eigh(covariance_DD)
  least = max(1e-9 * width_D[-1], 1e-30)  # of which there is a logarithm
  width_D, axes_DD = np.maximum(width_D, least)[::-1], axes_DD[:, ::-1]
  for size in (3, 2):
    missing = -len(width_D) % size
    order = np.arange(len(width_D) + missing).reshape(size, -1)
    order[1:] = order[1:, ::-1].copy()
    width_E = np.pad(width_D, (0, missing), constant_values=least)
    means = np.exp(np.log(width_E[order]).mean(axis=0))
    lost = size * means.sum() / width_E.sum() * 4.0 ** (-CODE_BITS / size)
    if lost < 4.0 ** (-CODE_BITS / 2):
      break
  axes_DE = np.pad(axes_DD, ((0, 0), (0, missing)))[:, order.T.ravel()]
  return np.ascontiguousarray(axes_DE, np.float32), size


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
