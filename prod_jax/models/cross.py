"""Cross-encoder: query and passage in one row, read together, one score.

More exact than a dual encoder and far more costly: nothing can be embedded in
advance. It teaches and reranks.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prod_jax.batch import Texts
from prod_jax.models import transformer
from prod_jax.models.texts import POOLINGS, in_chunks, pool, tokens_of
from prod_jax.models.transformer import Out, TransformerConfig

PyTree = Any


@dataclasses.dataclass(frozen=True)
class CrossEncoder:
  """An encoder with a linear head on its pooled last layer.

  Attributes:
    transformer: shape of the encoder.
    pooling: "cls" or "mean", see `texts.pool`.

  Raises:
    ValueError: for an unknown pooling.
  """

  transformer: TransformerConfig
  pooling: str

  def __post_init__(self) -> None:
    transformer.check_known("pooling", self.pooling, POOLINGS)

  def init(self, key: PRNGKeyArray) -> PyTree:
    """Random parameters {"encoder", "head"}; the head's bias is 0."""
    encoder_key, head_key = jax.random.split(key)
    kernel = 0.02 * jax.random.normal(head_key, (self.transformer.width, 1))
    return {
      "encoder": transformer.init(self.transformer, encoder_key),
      "head": {"kernel": kernel, "bias": jnp.zeros(1)},
    }

  def score(
    self,
    params: PyTree,
    pair: Texts,
    *,
    dropout_key: PRNGKeyArray | None = None,
  ) -> tuple[Float[Array, "..."], Out]:
    """Raw logits of pairs that share a segment.

    Args:
      params: as of `init`.
      pair: query and passage, or query and two passages for a pairwise model:
        Tokens [..., L], one pair a row, or Packed.
      dropout_key: without it there is no dropout.

    Returns:
      float32 logits, and those that the head makes of every layer in
      `out["layers"]`.
    """
    head = params["head"]

    def score(pair: Texts, key: PRNGKeyArray | None) -> tuple[Array, ...]:
      tokens = tokens_of(pair)
      _, out = transformer.encode(
        self.transformer, params["encoder"], tokens, key
      )
      pooled = [pool(x, pair, self.pooling) for x in out["layers"]]
      return tuple(
        jnp.squeeze(x @ head["kernel"], -1) + head["bias"][0] for x in pooled
      )

    layers = in_chunks(score, pair, dropout_key, self.transformer.chunks)
    return layers[-1], {"layers": layers}
