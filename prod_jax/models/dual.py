"""Dual encoder: queries and passages become vectors, a score is their dot.

Scaling and normalisation are inside the vectors, so that a stored embedding
needs no knowledge of the model that made it. Scoring many of them is the
business of losses/ (in a step) and retrieval/ (in an index).
"""

import dataclasses
import functools
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prod_jax.batch import Texts
from prod_jax.models import transformer
from prod_jax.models.texts import POOLINGS, in_chunks, pooled
from prod_jax.models.transformer import Out, TransformerConfig

PyTree = Any

SIMILARITIES = ("dot", "cosine")
DENSE_ACTIVATIONS = ("", "tanh")


@dataclasses.dataclass(frozen=True)
class Dense:
  """A dense layer behind the pooling, such as sentence-transformers adds.

  Attributes:
    width: of what comes out.
    bias: whether it has one.
    activation: "" or "tanh".

  Raises:
    ValueError: for another activation.
  """

  width: int
  bias: bool = True
  activation: str = ""

  def __post_init__(self) -> None:
    transformer.check_known("activation", self.activation, DENSE_ACTIVATIONS)

  def init(self, width: int, key: PRNGKeyArray) -> PyTree:
    """Random parameters for vectors of a width; a bias is 0."""
    params = {"kernel": 0.02 * jax.random.normal(key, (width, self.width))}
    return params | ({"bias": jnp.zeros(self.width)} if self.bias else {})

  def apply(
    self, params: PyTree, x: Float[Array, "... D"]
  ) -> Float[Array, "... E"]:
    """Vectors of the layer's width."""
    y: Any = nn.Dense(self.width, self.bias).apply({"params": params}, x)
    return jnp.tanh(y) if self.activation else y


@dataclasses.dataclass(frozen=True)
class DualEncoder:
  """Two towers that share a shape, and share weights where `tied`.

  Attributes:
    transformer: shape of each tower.
    tied: one set of weights for queries and passages.
    pooling: one of `texts.POOLINGS`, see `texts.pool`.
    similarity: "dot" leaves vectors as they are, "cosine" makes them unit
      vectors.
    scale: a cosine is multiplied by it (the inverse of a temperature); 1 with
      "dot".
    dense: layers between pooling and similarity, the same for both towers.

  Raises:
    ValueError: for an unknown pooling or similarity, or a scaled dot.
  """

  transformer: TransformerConfig
  tied: bool
  pooling: str
  similarity: str
  scale: float = 1.0
  dense: tuple[Dense, ...] = ()

  def __post_init__(self) -> None:
    transformer.check_known("pooling", self.pooling, POOLINGS)
    transformer.check_known("similarity", self.similarity, SIMILARITIES)
    if self.similarity == "dot" and self.scale != 1:
      raise ValueError(
        f"scale is {self.scale} with similarity 'dot'; set scale=1, or "
        "similarity='cosine'"
      )

  @property
  def width(self) -> int:
    """Of an embedding."""
    return self.dense[-1].width if self.dense else self.transformer.width

  def init(self, key: PRNGKeyArray) -> PyTree:
    """Random parameters: {"encoder"} when tied, else {"query", "passage"}.

    Dense layers stand beside these, as {"dense": {"0", "1", …}}.
    """
    params = self._init_dense(jax.random.fold_in(key, 1))
    if self.tied:
      return params | {"encoder": transformer.init(self.transformer, key)}
    query_key, passage_key = jax.random.split(key)
    return params | {
      "query": transformer.init(self.transformer, query_key),
      "passage": transformer.init(self.transformer, passage_key),
    }

  def _init_dense(self, key: PRNGKeyArray) -> PyTree:
    if not self.dense:
      return {}
    widths = [self.transformer.width, *(layer.width for layer in self.dense)]
    keys = jax.random.split(key, len(self.dense))
    return {
      "dense": {
        str(i): layer.init(widths[i], keys[i])
        for i, layer in enumerate(self.dense)
      }
    }

  def embed(
    self,
    params: PyTree,
    texts: Texts,
    tower: Literal["query", "passage"],
    *,
    dropout_key: PRNGKeyArray | None = None,
  ) -> tuple[Float[Array, "... D"], Out]:
    """Embeddings whose plain dot product is the score.

    Args:
      params: as of `init`.
      texts: Tokens [..., L], one text a row, or Packed.
      tower: whose weights to take. With "cosine" the query's vector carries
        `scale`, the passage's has length 1.
      dropout_key: without it there is no dropout.

    Returns:
      float32 embeddings, and those that every layer would make in
      `out["layers"]`.
    """
    weights = params["encoder" if self.tied else tower]
    dense = params.get("dense", {})

    def embed(texts: Texts, key: PRNGKeyArray | None) -> tuple[Array, ...]:
      layers = pooled(self.transformer, weights, texts, key, self.pooling)
      return tuple(self._vector(dense, x, tower) for x in layers)

    with jax.named_scope(tower):
      layers = in_chunks(embed, texts, dropout_key, self.transformer.chunks)
    return layers[-1], {"layers": layers}

  # Layers are alike: one of them is traced for all.
  @functools.partial(jax.jit, static_argnames=("self", "tower"))
  def _vector(
    self, dense: PyTree, vector: Float[Array, "... D"], tower: str
  ) -> Float[Array, "... E"]:
    """The embedding that the pooled states of a layer make."""
    for i, layer in enumerate(self.dense):
      vector = layer.apply(dense[str(i)], vector)
    return self.as_scored(vector, tower)

  def as_scored(
    self, vector: Float[Array, "... E"], tower: str
  ) -> Float[Array, "... E"]:
    """A vector of any width as the dot product takes it: with "cosine" of
    length 1, and a query's times `scale`.
    """
    if self.similarity == "dot":
      return vector
    # On one side only: a score is the product of both.
    return unit(vector) * (self.scale if tower == "query" else 1.0)


def unit(x: Float[Array, "... D"]) -> Float[Array, "... D"]:
  """Vectors of length 1; 0, with a finite gradient, where x is 0."""
  # The floor is under the root: rsqrt has no finite gradient at 0.
  square = jnp.sum(x * x, axis=-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, 1e-12))
