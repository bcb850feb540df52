"""Attention on an NVIDIA GPU: cuDNN's, which keeps L x L weights on the chip.

cuDNN reads a mask as a bias that is added to the logits, one for all heads. It
is so low that what it is added to is lost: a token of padding, whose logits all
have it, weighs all alike, as in transformer.py. Dropout is drawn by a seed that
is part of the program, the same numbers in each step: with dropout, attention
is the plain formula, of which XLA makes what it can.

The letters are those of transformer.py.
"""

import functools
import re
from typing import Literal

import jax
from absl import logging
from jaxtyping import Array, Bool, Float

from prod_jax import per_device
from prod_jax.models.transformer_config import TransformerConfig

# Of a head's width: what Ampere takes, and more than encoders have.
_WIDEST, _MULTIPLE = 128, 8
_OLDEST = (8, 0)  # Ampere
# "xla" is the same formula anywhere, for tests.
_IMPLEMENTATION: Literal["cudnn", "xla"] = "cudnn"


def on_gpu(
  config: TransformerConfig, rows: int, length: int, rate: float, biased: bool
) -> bool:
  """Whether `attend` is what a function being traced should call.

  On a GPU that has to do without, the log says why, each reason once.

  Args:
    config: of the encoder.
    rows, length: of the batch.
    rate: of dropout on the weights.
    biased: something is added to the logits.
  """
  if not per_device.on_platform("gpu"):
    return False
  reason = _missing(config, rows, length, rate, biased)
  if reason:
    _say(reason)
  return not reason


def attend(
  q_RHLE: Float[Array, "R H L E"],
  k_RHME: Float[Array, "R H M E"],
  v_RHME: Float[Array, "R H M E"],
  mask_R1LM: Bool[Array, "R 1 L M"],
) -> Float[Array, "R L D"]:
  """Softmax attention of each head, without dropout.

  Args:
    q_RHLE: queries, scaled.
    k_RHME, v_RHME: keys and values, M being L.
    mask_R1LM: what is attended to.
  """
  R, H, L, E = q_RHLE.shape
  # Undoes what made the heads an axis in front: cuDNN takes them behind.
  wide = tuple(
    x.swapaxes(1, 2).reshape(R, L, -1) for x in (q_RHLE, k_RHME, v_RHME)
  )

  def local(
    first_row: Array | int,
    first_head: Array | int,
    copied: tuple[()],
    mask_R1LM: Array,
    wide: tuple[Array, ...],
  ) -> Array:
    del first_row, first_head, copied
    q, k, v = (x.reshape(*x.shape[:2], -1, E) for x in wide)
    out_RLHE = jax.nn.dot_product_attention(
      q, k, v, mask=mask_R1LM, scale=1.0, implementation=_IMPLEMENTATION
    )
    return out_RLHE.reshape(wide[0].shape)

  return per_device.by_rows_and_heads(local, H, (), mask_R1LM, wide)


def _missing(
  config: TransformerConfig, rows: int, length: int, rate: float, biased: bool
) -> str:
  """What cuDNN does not take, "" where there is nothing."""
  width = config.width // config.heads
  found = {
    "cuDNN takes GPUs from Ampere on": not _new_enough(),
    f"the model computes in {config.dtype}, not bfloat16": (
      config.dtype != "bfloat16"
    ),
    "there is dropout on its weights": bool(rate),
    "it has a relative bias": biased,
    f"heads are {width} wide": width > _WIDEST or bool(width % _MULTIPLE),
    f"rows of {length} tokens are odd": bool(length % 2),
    f"{rows} rows or {config.heads} heads do not divide among the devices": (
      not per_device.divides(rows, config.heads)
    ),
  }
  return next((reason for reason, holds in found.items() if holds), "")


def _new_enough() -> bool:
  """Whether this machine's GPUs are of a kind that cuDNN takes.

  Where there are none, a program is made for another machine.
  """
  devices = jax.local_devices()
  said = getattr(devices[0], "compute_capability", None)
  if said is None:
    return True
  # An AMD GPU says another kind of name.
  number = re.fullmatch(r"(\d+)\.(\d+)", said)
  if number is None:
    return False
  return (int(number[1]), int(number[2])) >= _OLDEST


@functools.cache
def _say(reason: str) -> None:
  logging.info("attention takes the plain path, not cuDNN's: %s", reason)
