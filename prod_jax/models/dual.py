"""Dual encoder: queries and passages become vectors, a score is their dot.

Scaling and normalisation are inside the vectors, so that a stored embedding
needs no knowledge of the model that made it. Scoring many of them is the
business of losses/ (in a step) and retrieval/ (in an index).
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prod_jax.batch import Tokens
from prod_jax.models import bert
from prod_jax.models.bert import BertConfig, Out

PyTree = Any

SIMILARITIES = ("dot", "cosine")


@dataclasses.dataclass(frozen=True)
class DualEncoder:
  """Two towers that share a shape, and share weights where `tied`.

  Attributes:
    bert: shape of each tower.
    tied: one set of weights for queries and passages.
    pooling: "cls" or "mean", see `bert.pool`.
    similarity: "dot" leaves vectors as they are, "cosine" makes them unit
      vectors.
    scale: a cosine is multiplied by it (the inverse of a temperature); 1 with
      "dot".

  Raises:
    ValueError: for an unknown pooling or similarity, or a scaled dot.
  """

  bert: BertConfig
  tied: bool
  pooling: str
  similarity: str
  scale: float = 1.0

  def __post_init__(self):
    bert.check_known("pooling", self.pooling, bert.POOLINGS)
    bert.check_known("similarity", self.similarity, SIMILARITIES)
    if self.similarity == "dot" and self.scale != 1:
      raise ValueError(
        f"scale is {self.scale} with similarity 'dot'; set scale=1, or "
        "similarity='cosine'"
      )

  def init(self, key: PRNGKeyArray) -> PyTree:
    """Random parameters: {"encoder"} when tied, else {"query", "passage"}."""
    if self.tied:
      return {"encoder": bert.init(self.bert, key)}
    query_key, passage_key = jax.random.split(key)
    return {
      "query": bert.init(self.bert, query_key),
      "passage": bert.init(self.bert, passage_key),
    }

  def embed(
    self,
    params: PyTree,
    tokens: Tokens,
    tower: Literal["query", "passage"],
    *,
    dropout_key: PRNGKeyArray | None = None,
  ) -> tuple[Float[Array, "... D"], Out]:
    """Embeddings whose plain dot product is the score.

    Args:
      params: as of `init`.
      tokens: [..., L], one text a row.
      tower: whose weights to take. With "cosine" the query's vector carries
        `scale`, the passage's has length 1.
      dropout_key: without it there is no dropout.

    Returns:
      float32 embeddings, and the hidden states [..., L, D] of every layer in
      `out["layers"]`.
    """
    weights = params["encoder" if self.tied else tower]
    hidden, out = bert.encode(self.bert, weights, tokens, dropout_key)
    return self.vector(hidden, jnp.asarray(tokens.segment), tower), out

  def vector(
    self,
    hidden: Float[Array, "... L D"],
    segment: Int[Array, "... L"],
    tower: Literal["query", "passage"],
  ) -> Float[Array, "... D"]:
    """The embedding that hidden states make: of the last layer, or of any."""
    vector = bert.pool(hidden, segment, self.pooling)
    if self.similarity == "dot":
      return vector
    return unit(vector) * (self.scale if tower == "query" else 1.0)


def unit(x: Float[Array, "... D"]) -> Float[Array, "... D"]:
  """Vectors of length 1; 0, with a finite gradient, where x is 0."""
  square = jnp.sum(x * x, axis=-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, 1e-12))
