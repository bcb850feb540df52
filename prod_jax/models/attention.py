"""Attention on a TPU: forward and backward as kernels that stay in VMEM.

The compiler writes the L x L weights of every head to HBM in float32, and reads
them and their dropout bits several times in both directions. A row of this
project has at most 512 tokens, so that the square of a head fits the core's
memory: nothing of it leaves, the backward pass computes it a second time, and
there is no need of the running softmax that kernels for long rows have. Heads
lie side by side in the last axis, as the dense layers make them.

What the plain path in transformer.py computes, this does, but for its random
numbers: a head's dropout is drawn from the core's own generator, seeded by row
and head, so that the backward pass draws the same, however rows and heads are
cut over devices.

Pallas is imported where a kernel is made: elsewhere than on a TPU none is.

Beside the letters of transformer.py: W the width of the heads of a program.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from prod_jax import per_device

_LANES = 128
# Squares of longer rows do not fit VMEM; at this length all chips take float32
# and a program of twelve heads. BERT has no more positions.
_LONGEST = 512
# Rows of a program are at most about so many tokens, where several fit: short
# rows are not worth a program each.
_TOKENS = 256
_GOLDEN = 0x9E3779B9 - 2**32  # spreads numbers of heads over seeds


def on_tpu(rows: int, length: int, heads: int) -> bool:
  """Whether `attend` is what a function being traced should call."""
  fits = length <= _LONGEST and per_device.divides(rows, heads)
  return fits and per_device.on_platform("tpu")


def attend(
  q_RHLE: Float[Array, "R H L E"],
  k_RHME: Float[Array, "R H M E"],
  v_RHME: Float[Array, "R H M E"],
  mask_R1LM: Bool[Array, "R 1 L M"],
  dropout: float,
  key: PRNGKeyArray | None,
) -> Float[Array, "R L D"]:
  """Softmax attention of each head, for TPUs only.

  Args:
    q_RHLE: queries, scaled.
    k_RHME, v_RHME: keys and values, M being L.
    mask_R1LM: what is attended to; a token of padding weighs all alike.
    dropout: rate on the weights.
    key: of the dropout; None is no dropout.
  """
  rate, seed_2 = 0.0, jnp.zeros(2, jnp.int32)
  if key is not None and dropout:
    rate = dropout
    bits_2 = jax.random.bits(key, (2,))
    seed_2 = jax.lax.bitcast_convert_type(bits_2, jnp.int32)
  R, H, L, _ = q_RHLE.shape
  # Undoes what made the heads an axis: they lie in D as the kernels want them.
  wide = (x.swapaxes(1, 2).reshape(R, L, -1) for x in (q_RHLE, k_RHME, v_RHME))
  mask_RLM = mask_R1LM[:, 0].astype(jnp.int8)
  return _attend(H, rate, seed_2, mask_RLM, *wide)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _attend(
  heads: int, rate: float, seed_2: Array, mask_RLM: Array, *qkv: Array
) -> Array:
  return _call(_forward, 1, heads, rate, seed_2, mask_RLM, qkv)[0]


def _attend_fwd(
  heads: int, rate: float, *args: Array
) -> tuple[Array, tuple[Array, ...]]:
  return _attend(heads, rate, *args), args


def _attend_bwd(
  heads: int, rate: float, args: tuple[Array, ...], g_RLD: Array
) -> tuple[Array | None, ...]:
  seed_2, mask_RLM, *qkv = args
  wide = (*qkv, g_RLD)
  # The seed and the mask, as `_attend` takes them, have no gradient.
  return None, None, *_call(_backward, 3, heads, rate, seed_2, mask_RLM, wide)


_attend.defvjp(_attend_fwd, _attend_bwd)


def _call(
  kernel: Callable[..., None],
  results: int,
  heads: int,
  rate: float,
  seed_2: Int[Array, "2"],
  mask_RLM: Int[Array, "R L M"],
  wide: tuple[Float[Array, "R L D"], ...],
) -> tuple[Float[Array, "R L D"], ...]:
  """A kernel on each device's rows and heads."""
  width = wide[0].shape[-1] // heads

  def local(
    first_row: Array | int,
    first_head: Array | int,
    seed_2: Array,
    mask_RLM: Array,
    wide: tuple[Array, ...],
  ) -> tuple[Array, ...]:
    place_3 = jnp.stack([jnp.int32(x) for x in (first_row, first_head, heads)])
    scalars_5 = jnp.concatenate([seed_2, place_3])
    return _on_device(kernel, results, width, rate, scalars_5, mask_RLM, wide)

  return per_device.by_rows_and_heads(local, heads, seed_2, mask_RLM, wide)


def _on_device(
  kernel: Callable[..., None],
  results: int,
  width: int,
  rate: float,
  scalars_5: Int[Array, "5"],
  mask_RLM: Int[Array, "R L M"],
  wide: tuple[Float[Array, "R L D"], ...],
) -> tuple[Float[Array, "R L D"], ...]:
  from jax.experimental import pallas as pl
  from jax.experimental.pallas import tpu as pltpu

  R, L, D = wide[0].shape
  most = max(_TOKENS // L, 1)
  rows = max(n for n in range(1, most + 1) if R % n == 0)
  W = _width(width, D)
  block = pl.BlockSpec((rows, L, W), lambda row, column, _: (row, 0, column))
  square = pl.BlockSpec((rows, L, L), lambda row, column, _: (row, 0, 0))
  products = 2 if results == 1 else 5
  return pl.pallas_call(
    functools.partial(kernel, width=width, rate=rate),
    grid_spec=pltpu.PrefetchScalarGridSpec(
      num_scalar_prefetch=1,
      grid=(R // rows, D // W),
      in_specs=[square, *[block] * len(wide)],
      out_specs=[block] * results,
    ),
    out_shape=[jax.ShapeDtypeStruct(wide[0].shape, wide[0].dtype)] * results,
    cost_estimate=pl.CostEstimate(
      flops=products * 2 * R * L * L * D,
      transcendentals=R * L * L * D // width,
      bytes_accessed=mask_RLM.nbytes + (len(wide) + results) * wide[0].nbytes,
    ),
    name=f"attention{kernel.__name__}",
  )(scalars_5, mask_RLM, *wide)


def _width(head: int, D: int) -> int:
  """Of the fewest heads that fill whole lanes; of all where none do."""
  W = math.lcm(head, _LANES)
  return D if D % W else W


def _forward(
  scalars_ref: Any, mask_ref: Any, *refs: Any, width: int, rate: float
) -> None:
  q_ref, k_ref, v_ref, out_ref = refs  # inputs, then results, as of the specs
  for row, lanes, number in _heads(scalars_ref, q_ref.shape, width):
    q_LE, k_ME, v_ME = (x[row, :, lanes] for x in (q_ref, k_ref, v_ref))
    mask_LM = mask_ref[row].astype(jnp.int32) != 0
    w_LM, sum_L1 = _weights(q_LE, k_ME, mask_LM)
    # Dropout is of normalised weights: the sum is that of all of them.
    if rate:
      w_LM = jnp.where(_kept(scalars_ref, number, w_LM.shape, rate), w_LM, 0.0)
    out_LE = _dot("LM,ME->LE", w_LM.astype(v_ME.dtype), v_ME)
    out_LE = out_LE * (1 / (sum_L1 * (1 - rate)))
    out_ref[row, :, lanes] = out_LE.astype(out_ref.dtype)


def _backward(
  scalars_ref: Any, mask_ref: Any, *refs: Any, width: int, rate: float
) -> None:
  q_ref, k_ref, v_ref, g_ref, *d_refs = refs
  for row, lanes, number in _heads(scalars_ref, q_ref.shape, width):
    q_LE, k_ME, v_ME, g_LE = (
      x[row, :, lanes] for x in (q_ref, k_ref, v_ref, g_ref)
    )
    mask_LM = mask_ref[row].astype(jnp.int32) != 0
    w_LM, sum_L1 = _weights(q_LE, k_ME, mask_LM)
    # As large as those that dropout keeps, which it divides by 1 - rate.
    w_LM = w_LM * (1 / (sum_L1 * (1 - rate)))
    dw_LM, kept_w_LM = _dot("LE,ME->LM", g_LE, v_ME), w_LM
    if rate:
      kept_LM = _kept(scalars_ref, number, w_LM.shape, rate)
      dw_LM, kept_w_LM = (
        jnp.where(kept_LM, x_LM, 0.0) for x_LM in (dw_LM, w_LM)
      )
    dv_ME = _dot("LM,LE->ME", kept_w_LM.astype(g_LE.dtype), g_LE)
    mean_L1 = (w_LM * dw_LM).sum(axis=-1, keepdims=True) * (1 - rate)
    # A row of padding has even weights, and its logits no gradient.
    ds_LM = jnp.where(mask_LM, w_LM * (dw_LM - mean_L1), 0.0)
    ds_LM = ds_LM.astype(q_LE.dtype)
    dq_LE = _dot("LM,ME->LE", ds_LM, k_ME)
    dk_ME = _dot("LM,LE->ME", ds_LM, q_LE)
    for ref, d in zip(d_refs, (dq_LE, dk_ME, dv_ME), strict=True):
      ref[row, :, lanes] = d.astype(ref.dtype)


def _heads(
  scalars_ref: Any, shape: tuple[int, int, int], width: int
) -> Iterator[tuple[int, slice, Array]]:
  """(row of the block, its lanes, a number of its own) of each head."""
  from jax.experimental import pallas as pl

  # Numbers are those of the whole batch, so that no cut changes what is drawn.
  rows, _, W = shape
  first_row = scalars_ref[2] + pl.program_id(0) * rows
  first_head = scalars_ref[3] + pl.program_id(1) * (W // width)
  for row in range(rows):
    for i in range(W // width):
      lanes = slice(i * width, (i + 1) * width)
      yield row, lanes, (first_row + row) * scalars_ref[4] + first_head + i


def _weights(
  q_LE: Float[Array, "L E"],
  k_ME: Float[Array, "M E"],
  mask_LM: Bool[Array, "L M"],
) -> tuple[Float[Array, "L M"], Float[Array, "L 1"]]:
  """Weights and their sums, in float32; see transformer.py about both."""
  logits_LM = _dot("LE,ME->LM", q_LE, k_ME)
  lowest = jnp.finfo(jnp.float32).min
  logits_LM = jnp.where(mask_LM, logits_LM, lowest)
  w_LM = jnp.exp(logits_LM - logits_LM.max(axis=-1, keepdims=True))
  return w_LM, w_LM.sum(axis=-1, keepdims=True)


def _kept(
  scalars_ref: Any, number: Array, shape: tuple[int, ...], rate: float
) -> Bool[Array, "L M"]:
  """Which weights of a head dropout leaves, the same at every call."""
  from jax.experimental.pallas import tpu as pltpu

  # Seeded anew for each head: what it draws depends on no head before it.
  pltpu.prng_seed(scalars_ref[0], scalars_ref[1] + number * _GOLDEN)
  # Signed and uniform over all of 32 bits.
  return pltpu.prng_random_bits(shape) >= round(rate * 2**32) - 2**31


def _dot(axes: str, left: Array, right: Array) -> Array:
  return jnp.einsum(axes, left, right, preferred_element_type=jnp.float32)
