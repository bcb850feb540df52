"""Cross-encoder: query and passage in one row, read together, one score.

More exact than a dual encoder and far more costly: nothing can be embedded in
advance. It teaches and reranks.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prod_jax.batch import Tokens
from prod_jax.models import bert
from prod_jax.models.bert import BertConfig, Out

PyTree = Any


@dataclasses.dataclass(frozen=True)
class CrossEncoder:
  """An encoder with a linear head on its pooled last layer.

  Attributes:
    bert: shape of the encoder.
    pooling: "cls" or "mean", see `bert.pool`.

  Raises:
    ValueError: for an unknown pooling.
  """

  bert: BertConfig
  pooling: str

  def __post_init__(self):
    bert.check_known("pooling", self.pooling, bert.POOLINGS)

  def init(self, key: PRNGKeyArray) -> PyTree:
    """Random parameters {"encoder", "head"}; the head's bias is 0."""
    encoder_key, head_key = jax.random.split(key)
    kernel = 0.02 * jax.random.normal(head_key, (self.bert.width, 1))
    return {
      "encoder": bert.init(self.bert, encoder_key),
      "head": {"kernel": kernel, "bias": jnp.zeros(1)},
    }

  def score(
    self,
    params: PyTree,
    pair: Tokens,
    *,
    dropout_key: PRNGKeyArray | None = None,
  ) -> tuple[Float[Array, "..."], Out]:
    """Raw logits of pairs [..., L] that share a segment.

    Args:
      params: as of `init`.
      pair: query and passage, or query and two passages for a pairwise model.
      dropout_key: without it there is no dropout.

    Returns:
      float32 logits, and the hidden states [..., L, D] of every layer in
      `out["layers"]`.
    """
    hidden, out = bert.encode(self.bert, params["encoder"], pair, dropout_key)
    return self.logit(params, hidden, jnp.asarray(pair.segment)), out

  def logit(
    self,
    params: PyTree,
    hidden: Float[Array, "... L D"],
    segment: Int[Array, "... L"],
  ) -> Float[Array, "..."]:
    """The head on hidden states: of the last layer, or of any."""
    pooled = bert.pool(hidden, segment, self.pooling)
    head = params["head"]
    return jnp.squeeze(pooled @ head["kernel"], -1) + head["bias"][0]
