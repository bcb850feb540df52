"""Cross-encoder: query and passage in one row, read together, one score.

More exact than a dual encoder and far more costly: nothing can be embedded in
advance. It teaches and reranks.
"""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prod_jax.batch import Texts
from prod_jax.models import transformer
from prod_jax.models.texts import POOLINGS, in_chunks, pooled
from prod_jax.models.transformer import Out, TransformerConfig

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Head:
  """From a pooled state to a score: linear, or as of a sequence classifier.

  Attributes:
    pooling: one of `texts.POOLINGS`, see `texts.pool`.
    hidden: activation behind a dense layer in front of the last one; "" is no
      such layer, a linear head.
    hidden_bias: of that layer.
    norm: LayerNorm behind it.
    labels: 1, or 2, of which the score is the second less the first.

  Raises:
    ValueError: for an unknown pooling or activation, or other labels.
  """

  pooling: str
  hidden: str = ""
  hidden_bias: bool = True
  norm: bool = False
  labels: int = 1

  def __post_init__(self) -> None:
    transformer.check_known("pooling", self.pooling, POOLINGS)
    if self.hidden:
      transformer.check_known("hidden", self.hidden, transformer.ACTIVATIONS)
    elif self.norm:
      raise ValueError("a norm stands behind a hidden layer, and there is none")
    if self.labels not in (1, 2):
      raise ValueError(f"a head of {self.labels} labels; it takes 1 or 2")

  @property
  def is_linear(self) -> bool:
    """Whether it is the last layer alone, for one label."""
    return not self.hidden and self.labels == 1

  def init(self, shape: TransformerConfig, key: PRNGKeyArray) -> PyTree:
    """Random parameters for states of such an encoder; biases are 0."""
    D = shape.width
    kernel = 0.02 * jax.random.normal(key, (D, self.labels))
    params: PyTree = {"kernel": kernel, "bias": jnp.zeros(self.labels)}
    if self.hidden:
      hidden_key = jax.random.fold_in(key, 1)
      dense = {"kernel": 0.02 * jax.random.normal(hidden_key, (D, D))}
      params["dense"] = dense | self._zeros("bias", D, self.hidden_bias)
    if self.norm:
      bias = self._zeros("bias", D, shape.norm_bias)
      params["norm"] = {"scale": jnp.ones(D)} | bias
    return params

  def _zeros(self, name: str, size: int, there: bool) -> dict[str, Array]:
    return {name: jnp.zeros(size)} if there else {}

  @jax.named_scope("head")
  def score(
    self, shape: TransformerConfig, params: PyTree, x: Float[Array, "... D"]
  ) -> Float[Array, "..."]:
    """Scores of pooled states, in float32."""
    if self.hidden:
      dense = nn.Dense(shape.width, use_bias=self.hidden_bias)
      x = jnp.asarray(dense.apply({"params": params["dense"]}, x))
      x = transformer.activate(self.hidden, x)
    if self.norm:
      norm = nn.LayerNorm(
        epsilon=shape.layer_norm_eps, use_bias=shape.norm_bias
      )
      x = jnp.asarray(norm.apply({"params": params["norm"]}, x))
    logits, bias = x @ params["kernel"], params["bias"]
    if self.labels == 1:
      return jnp.squeeze(logits, -1) + bias[0]
    return logits[..., 1] - logits[..., 0] + (bias[1] - bias[0])


def of_one_label(head: Head, params: PyTree) -> tuple[Head, PyTree]:
  """The same head with one label: of two, their difference."""
  if head.labels == 1:
    return head, params
  kernel, bias = params["kernel"], params["bias"]
  less = {"kernel": kernel[:, 1:] - kernel[:, :1], "bias": bias[1:] - bias[:1]}
  return dataclasses.replace(head, labels=1), {**params, **less}


@dataclasses.dataclass(frozen=True)
class CrossEncoder:
  """An encoder with a head on its pooled last layer.

  Attributes:
    transformer: shape of the encoder.
    pooling: one of `texts.POOLINGS`, see `texts.pool`.
    head: with the same pooling; a linear one where none is given.

  Raises:
    ValueError: for an unknown pooling, or another one than the head's.
  """

  transformer: TransformerConfig
  pooling: str
  head: Head = None  # type: ignore[assignment]  # made below

  def __post_init__(self) -> None:
    if self.head is None:
      object.__setattr__(self, "head", Head(self.pooling))
    if self.head.pooling != self.pooling:
      raise ValueError(
        f"pooling is {self.pooling!r}, and that of the head {self.head}"
      )

  @property
  def width(self) -> int:
    """Of what its head reads."""
    return self.transformer.width

  def init(self, key: PRNGKeyArray) -> PyTree:
    """Random parameters {"encoder", "head"}; the head's bias is 0."""
    encoder_key, head_key = jax.random.split(key)
    return {
      "encoder": transformer.init(self.transformer, encoder_key),
      "head": self.head.init(self.transformer, head_key),
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
    shape, head = self.transformer, params["head"]

    def score(pair: Texts, key: PRNGKeyArray | None) -> tuple[Array, ...]:
      layers = pooled(shape, params["encoder"], pair, key, self.pooling)
      return tuple(self._logit(head, x) for x in layers)

    with jax.named_scope("cross"):
      layers = in_chunks(score, pair, dropout_key, shape.chunks)
    return layers[-1], {"layers": layers}

  # Layers are alike: one of them is traced for all.
  @functools.partial(jax.jit, static_argnames="self")
  def _logit(
    self, head: PyTree, x: Float[Array, "... D"]
  ) -> Float[Array, "..."]:
    """The logit that the pooled states of a layer make."""
    return self.head.score(self.transformer, head, x)
