"""What the places of tokens do to attention: masks, rotary, relative buckets.

The letters are those of transformer.py.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from prod_jax.batch import Tokens
from prod_jax.models.transformer_config import TransformerConfig

# A pair of cosines and sines, by which queries and keys are turned.
Turns = tuple[Float[Array, "R 1 L E"], Float[Array, "R 1 L E"]]


def masks(
  config: TransformerConfig, tokens: Tokens
) -> tuple[Bool[Array, "R 1 L M"], Bool[Array, "R 1 L M"]]:
  """What a token attends to in a global layer, and in a local one."""
  # Within the own text, and never to padding or to what only reads.
  s_RL = jnp.asarray(tokens.segment)
  own_RL = jnp.abs(s_RL)
  mask_RLM = (own_RL[:, :, None] == s_RL[:, None, :]) & (s_RL > 0)[:, None, :]
  mask_R1LM = mask_RLM[:, None]
  if not config.local_layers:
    return mask_R1LM, mask_R1LM
  column_L = jnp.arange(s_RL.shape[1])
  apart_LM = jnp.abs(column_L[:, None] - column_L[None])
  near_LM = apart_LM <= config.local_window // 2
  return mask_R1LM, mask_R1LM & near_LM[None, None]


def turns(
  config: TransformerConfig, theta: float, tokens: Tokens
) -> Turns | None:
  """Cosines and sines of rotary positions (arXiv 2104.09864), in float32."""
  if not theta:
    return None
  E = config.width // config.heads
  rates = theta ** -(jnp.arange(0, E, 2, dtype=jnp.float32) / E)
  position_RL1 = jnp.asarray(tokens.position, jnp.float32)[..., None]
  angle_RLE = jnp.tile(position_RL1 * rates[None, None], 2)
  angle_R1LE = angle_RLE[:, None]
  return jnp.cos(angle_R1LE), jnp.sin(angle_R1LE)


def turned(
  x_RHLE: Float[Array, "R H L E"], turns: Turns
) -> Float[Array, "R H L E"]:
  cos_R1LE, sin_R1LE = turns
  low, high = jnp.split(x_RHLE.astype(jnp.float32), 2, axis=-1)
  across_RHLE = jnp.concatenate([-high, low], axis=-1)
  turned = x_RHLE * cos_R1LE + across_RHLE * sin_R1LE
  return turned.astype(x_RHLE.dtype)


def bucket(distance: Int[np.ndarray, "L M"], buckets: int) -> np.ndarray:
  """Buckets of T5 (arXiv 1910.10683), half of them for each direction.

  The first half of each is exact, the second logarithmic up to a distance of
  128, and all beyond it are alike.
  """
  each, exact = buckets // 2, buckets // 4
  n = np.abs(distance)
  # float32, as the published models were trained with.
  ratio = np.log(np.maximum(n, 1).astype(np.float32) / np.float32(exact))
  ratio = ratio / np.float32(math.log(128 / exact)) * np.float32(each - exact)
  far = np.minimum(exact + ratio.astype(np.int32), each - 1)
  return np.where(n < exact, n, far) + each * (distance > 0)
