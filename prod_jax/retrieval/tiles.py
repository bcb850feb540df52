"""Tiles: products of a block of queries with a block of rows, on the device.

In the precision that is fastest there. Rounded to bfloat16, vectors are
multiplied in one pass of a TPU's matrix units where float32 takes six, and on
some processors in half the time. How far a score may be off for that, its
margin, is known, so that no neighbour is lost.
"""

import functools
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, Int32

GROUP = 128  # neighbouring rows that are taken out of a tile together
CPU_INFO = pathlib.Path("/proc/cpuinfo")


class Rounded(NamedTuple):
  """Vectors, less their centre, on the device as they are multiplied.

  Attributes:
    values_RD: what they are rounded to.
    error_R: norm of what rounding took from each.
    norm_R: of each before it was rounded.
    centre_norm: norm of the centre.
  """

  values_RD: jax.Array
  error_R: jax.Array
  norm_R: jax.Array
  centre_norm: jax.Array


class QueryBlock(NamedTuple):
  """Queries, with zeros behind them up to the size of a block.

  Attributes:
    vectors_QD: on the host, not rounded.
    rounded: the same on the device, around no centre.
    offset_Q: products with the centre of the rows, which all scores of a tile
      lack.
    real: how many are queries, and no zeros.
  """

  vectors_QD: np.ndarray
  rounded: Rounded
  offset_Q: np.ndarray
  real: int


class RowBlock(NamedTuple):
  """Rows of the matrix on the device.

  Attributes:
    rounded: R of them, a multiple of GROUP.
    real: how many are rows of the matrix; copies of one stand behind them.
    first: number of the first row; of a sample, whose rows are not
      neighbours, it says nothing.
  """

  rounded: Rounded
  real: int
  first: int


class Groups(NamedTuple):
  """Groups of rows in a tile, of which one row at least may beat a bound.

  Attributes:
    total: how many there are, which may be more than there was room for, C.
    place_C: of each among all groups of all queries, in order.
    score_CN: of the N = GROUP rows of each.
    margin_Q: what scores may be off by, by query.
  """

  total: jax.Array
  place_C: jax.Array
  score_CN: jax.Array
  margin_Q: jax.Array


def fastest() -> str:
  """The precision to multiply in: bfloat16, which TPUs and GPUs are made for.

  Of processors, those without such products would convert to float32.
  """
  on_cpu = jax.default_backend() == "cpu"
  return "bfloat16" if not on_cpu or cpu_has("avx512_bf16") else "float32"


def cpu_has(*flags: str) -> bool:
  """Whether this machine's processor says that it has all of these."""
  known = CPU_INFO.read_text().split() if CPU_INFO.exists() else []
  return set(flags) <= set(known)


def power_of_two(least: int) -> int:
  """The smallest one that is not below: few sizes are few compilations."""
  return 1 << (least - 1).bit_length()


@functools.partial(jax.jit, static_argnames="dtype")
def rounded(
  rows_RD: Float[Array, "R D"], centre_D: Float32[Array, " D"], *, dtype: str
) -> Rounded:
  """Vectors as they are multiplied: in float32, or nearest in bfloat16.

  What is lost goes with their distance from the centre, which is that much
  less where all have much in common.
  """
  values_RD = rows_RD = rows_RD.astype(jnp.float32) - centre_D[None]
  norm_R = _norm(rows_RD)
  error_R = jnp.zeros_like(norm_R)
  if dtype == "bfloat16":
    # Not by two conversions, which XLA may take for none.
    values_RD = lax.reduce_precision(rows_RD, exponent_bits=8, mantissa_bits=7)
    error_R = _norm(rows_RD - values_RD)
  centre_norm = _norm(centre_D[None])[0]
  return Rounded(values_RD.astype(dtype), error_R, norm_R, centre_norm)


def _norm(rows_RD: Float32[Array, "R D"]) -> Float32[Array, " R"]:
  """Norms, also of vectors whose squares are no numbers of float32."""
  largest_R = jnp.abs(rows_RD).max(axis=1)
  scale_R = jnp.where(largest_R > 0, largest_R, 1)
  return scale_R * jnp.linalg.norm(rows_RD / scale_R[:, None], axis=1)


@functools.partial(jax.jit, static_argnames="capacity")
def groups_above(
  query: Rounded,
  rows: Rounded,
  real: Int32[Array, ""],
  bound_Q: Float32[Array, " Q"],
  *,
  capacity: int,
) -> Groups:
  """Groups of rows of which one at least may score above a query's bound.

  Args:
    query: some queries.
    rows: R is a multiple of GROUP.
    real: how many rows are real, the first ones.
    bound_Q: by query.
    capacity: C, the groups that are returned.
  """
  Q = len(query.error_R)
  # Nothing is lost in float32, or where all scores are 0.
  is_off_Q = (query.norm_R > 0) & (query.values_RD.dtype != jnp.float32)
  margin_Q = jnp.where(is_off_Q, _margin(query, rows), 0)
  limit_Q = bound_Q - margin_Q
  score_QGN = _scores(query, rows).reshape(Q, -1, GROUP)
  is_row_GN = (jnp.arange(len(rows.error_R)) < real).reshape(-1, GROUP)
  # Written so that NaN beats any bound, and is named in the end. A maximum
  # over the group would not do: XLA's may drop NaN.
  beats_QGN = ~(score_QGN <= limit_Q[:, None, None]) & is_row_GN[None]
  beats = beats_QGN.any(axis=2).reshape(-1)
  number = jnp.cumsum(beats)  # of each group among those that beat
  place_C = jnp.searchsorted(number, jnp.arange(1, capacity + 1))
  score_CN = score_QGN.reshape(-1, GROUP)[place_C]
  return Groups(number[-1], place_C, score_CN, margin_Q)


@functools.partial(jax.jit, static_argnames="k")
def best_floors(
  query: Rounded, rows: Rounded, real: Int32[Array, ""], *, k: int
) -> tuple[Float32[Array, "Q K"], Int32[Array, "Q K"]]:
  """What about the best of some rows score at least, in float32.

  Of rows that stand together only the best counts: nearly all of the best are
  left, and XLA's top_k, which is slow on a CPU, has less to look at.

  Args:
    query: some queries.
    rows: R of them.
    real: how many rows are real, the first ones.
    k: how many of the best.

  Returns:
    Scores less their margin, best first, -inf for no row; and the numbers of
    those that stand together.
  """
  R = len(rows.error_R)
  together = min(2 ** (max(R // (8 * k), 1).bit_length() - 1), GROUP)
  score_QR = _scores(query, rows)
  score_QR = jnp.where(jnp.arange(R) < real, score_QR, -jnp.inf)
  best_QT = score_QR.reshape(-1, R // together, together).max(axis=2)
  # Without its second result, XLA makes a whole sort of top_k on a CPU.
  score_QK, number_QK = lax.top_k(best_QT, k)
  # In float32 too: its sums differ with their order.
  return score_QK - _margin(query, rows)[:, None], number_QK


def _scores(query: Rounded, rows: Rounded) -> Float32[Array, "Q R"]:
  return jnp.einsum(
    "QD,RD->QR",
    query.values_RD,
    rows.values_RD,
    precision="highest",
    preferred_element_type=jnp.float32,
  )


def _margin(query: Rounded, rows: Rounded) -> Float32[Array, " Q"]:
  """What scores may differ by from those in float32, for any of the rows.

  By Cauchy and Schwarz |q.r - q'.r'| <= |q||r - r'| + |q - q'||r'|. Adding up D
  products in float32 loses D halves of a unit in the last place of |q||r| at
  most; twice that is twice what both sums lose. A few units more are those of
  the centre, which is taken away here and added in shortlist.py.
  """
  error, norm = rows.error_R.max(), rows.norm_R.max()
  lost_Q = query.error_R * (norm + error) + query.norm_R * error
  units = (query.values_RD.shape[1] + 8) * 2.0**-22
  sums_Q = units * query.norm_R * (norm + 2 * rows.centre_norm)
  # The last one is for scores that are no normal numbers.
  return 1.01 * lost_Q + sums_Q + 1e-30
