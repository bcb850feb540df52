"""All inner products on the device: the nearest neighbours, exactly.

Also what every index is given and gives back. Another kind of index, and the
choice between them, is search.py.
"""

import concurrent.futures
import functools
import math
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, Int32

Queries = Float[np.ndarray, "Q D"]
Found = tuple[Int32[np.ndarray, "Q K"], Float32[np.ndarray, "Q K"]]
Best = tuple[Float32[Array, "Q K"], Int32[Array, "Q K"]]

# Scores are made in tiles of 8 MiB, which the allocator of a CPU keeps; tiles
# of 32 MiB are mapped anew each time, and take twice as long.
QUERY_BLOCK = 128
ROW_BLOCK = 16384
GROUP = 32  # rows that stand or fall together in the first selection


@runtime_checkable
class Vectors(Protocol):
  """A matrix [rows, D] that is read in slices of rows."""

  shape: tuple[int, ...]

  def __getitem__(self, rows: slice) -> np.ndarray: ...


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
    query_QD = checked(query_QD, "query")
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


def checked(matrix: Any, name: str) -> Float32[np.ndarray, "R D"]:
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
