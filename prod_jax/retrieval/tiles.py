"""Tiles of inner products on the device, in the precision that is fastest.

Rounded to bfloat16, vectors are multiplied in one pass of a TPU's matrix units
where float32 takes six, and on some processors in half the time. How far that
may be off is known, so that no neighbour is lost.
"""

import functools
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Float32, Int32

GROUP = 128  # rows that are taken out of a tile together
CPU_INFO = pathlib.Path("/proc/cpuinfo")


class Rounded(NamedTuple):
  """Vectors, less their centre, on the device as they are multiplied.

  Attributes:
    near_RD: what they are rounded to.
    off_R: norm of the difference.
    length_R: norm of what was rounded.
    centre: norm of the centre.
  """

  near_RD: jax.Array
  off_R: jax.Array
  length_R: jax.Array
  centre: jax.Array


class Block(NamedTuple):
  """Rows [R, D] on the device, of which the first `count` are real."""

  rows: Rounded
  count: int


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


@functools.partial(jax.jit, static_argnames="dtype")
def rounded(
  rows_RD: Float[Array, "R D"], centre_D: Float32[Array, "D"], *, dtype: str
) -> Rounded:
  """Vectors as they are multiplied: in float32, or nearest in bfloat16.

  What is lost goes with their distance from the centre, which is that much
  less where all have much in common.
  """
  rows_RD = near_RD = rows_RD.astype(jnp.float32) - centre_D[None]
  if dtype == "bfloat16":
    # Two conversions may be taken for none.
    near_RD = lax.reduce_precision(rows_RD, exponent_bits=8, mantissa_bits=7)
  return Rounded(
    near_RD.astype(dtype),
    _norm(rows_RD - near_RD),
    _norm(rows_RD),
    _norm(centre_D[None])[0],
  )


def _norm(rows_RD: Float32[Array, "R D"]) -> Float32[Array, "R"]:
  """Norms, also of vectors whose squares are no numbers of float32."""
  largest_R = jnp.abs(rows_RD).max(axis=1)
  scale_R = jnp.where(largest_R > 0, largest_R, 1)
  return scale_R * jnp.linalg.norm(rows_RD / scale_R[:, None], axis=1)


@functools.partial(jax.jit, static_argnames="capacity")
def above(
  query: Rounded,
  rows: Rounded,
  count: Int32[Array, ""],
  bound_Q: Float32[Array, "Q"],
  *,
  capacity: int,
) -> tuple[
  Int32[Array, ""],
  Int32[Array, "C"],
  Float32[Array, "C N"],
  Float32[Array, "Q"],
]:
  """Groups of rows of which one at least may score above a query's bound.

  Args:
    query: some queries.
    rows: R is a multiple of GROUP.
    count: the rows that are real.
    bound_Q: by query.
    capacity: C, the groups that are returned.

  Returns:
    How many groups there are, which may be more than C; their places among
    all groups of all queries, in order; the scores of their rows; and what
    these may be off by, by query.
  """
  Q = len(query.off_R)
  # Nothing is lost in float32, or where all scores are 0.
  is_off_Q = (query.length_R > 0) & (query.near_RD.dtype != jnp.float32)
  margin_Q = jnp.where(is_off_Q, _margin(query, rows), 0)
  limit_Q = bound_Q - margin_Q
  score_QGN = _scores(query, rows).reshape(Q, -1, GROUP)
  is_row_GN = (jnp.arange(len(rows.off_R)) < count).reshape(-1, GROUP)
  # NaN is below no bound. A maximum would not do: XLA's may drop it.
  beats_QGN = ~(score_QGN <= limit_Q[:, None, None]) & is_row_GN[None]
  beats = beats_QGN.any(axis=2).reshape(-1)
  number = jnp.cumsum(beats)  # of each group among those that beat
  at_C = jnp.searchsorted(number, jnp.arange(1, capacity + 1))
  return number[-1], at_C, score_QGN.reshape(-1, GROUP)[at_C], margin_Q


@functools.partial(jax.jit, static_argnames="k")
def lowest_of_best(
  query: Rounded, rows: Rounded, count: Int32[Array, ""], *, k: int
) -> tuple[Float32[Array, "Q K"], Int32[Array, "Q K"]]:
  """About the best of some rows, of which the first `count` are real.

  Of rows that stand together only the best counts: nearly all of the best are
  left, and XLA's top_k, which is slow on a CPU, has less to look at.

  Returns:
    What their scores are at least, best first, -inf for no row; and the numbers
    of those that stand together.
  """
  R = len(rows.off_R)
  together = min(2 ** (max(R // (8 * k), 1).bit_length() - 1), GROUP)
  score_QR = _scores(query, rows)
  score_QR = jnp.where(jnp.arange(R) < count, score_QR, -jnp.inf)
  score_QG = score_QR.reshape(-1, R // together, together).max(axis=2)
  # Without its second result, XLA makes a whole sort of top_k on a CPU.
  score_QK, group_QK = lax.top_k(score_QG, k)
  return score_QK - _margin(query, rows)[:, None], group_QK


def _scores(query: Rounded, rows: Rounded) -> Float32[Array, "Q R"]:
  return jnp.einsum(
    "QD,RD->QR",
    query.near_RD,
    rows.near_RD,
    precision="highest",
    preferred_element_type=jnp.float32,
  )


def _margin(query: Rounded, rows: Rounded) -> Float32[Array, "Q"]:
  """What scores may differ by from those in float32, for any of the rows.

  By Cauchy and Schwarz |q.r - q'.r'| <= |q||r - r'| + |q - q'||r'|. Adding up D
  products in float32 loses D halves of a unit in the last place of |q||r| at
  most; twice that is twice what both sums lose. A few units more are those of
  the centre, which is taken away here and added in nearest.py.
  """
  off, length = rows.off_R.max(), rows.length_R.max()
  lost_Q = query.off_R * (length + off) + query.length_R * off
  units = (query.near_RD.shape[1] + 8) * 2.0**-22
  sums_Q = units * query.length_R * (length + 2 * rows.centre)
  # The last one is for scores that are no normal numbers.
  return 1.01 * lost_Q + sums_Q + 1e-30
