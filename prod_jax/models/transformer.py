"""BERT in Linen: tokens to hidden states.

The network of Devlin et al. (arXiv 1810.04805): learned positions, blocks
with LayerNorm behind each residual, exact GELU. How hidden states become
a vector of each text stands in texts.py, what that is used for in dual.py and
cross.py, the names of weights on disk in hf.py. There
is no pooler (a dense layer with tanh on [CLS]): dense retrievers leave it
out, and the official PROD code only multiplies it by zero.

Beside the letters of batch.py: R rows of L tokens, T = R * L all tokens of all
rows in one axis, M the tokens attended to, E = D / H the width of a head. The
residual stream is [T, D], because a matrix multiplies faster than a stack of
matrices on a CPU and as fast on a TPU.
"""

import dataclasses
import functools
import itertools
from collections.abc import Collection
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from prod_jax.batch import Tokens
from prod_jax.models import attention

PyTree = Any
Out = dict[str, tuple[Any, ...]]

DTYPES = ("float32", "bfloat16")
REMATS = ("", "layers", "matmuls")


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
  """Shape and rates of an encoder.

  Attributes:
    vocab_size: rows of the word table.
    width: of the residual stream.
    depth: number of layers.
    heads: of each attention; they divide the width.
    mlp_width: of the hidden layer between two residuals.
    max_positions: rows of the position table. A position beyond it gives NaN.
    type_vocab: rows of the token type table.
    dropout: rate behind embeddings and before each residual.
    attention_dropout: rate on attention weights.
    layer_norm_eps: added to the variance.
    remat: what the backward pass computes again instead of storing it: "" is
      nothing, "layers" all within each layer, "matmuls" all but the outputs
      of dense layers.
    chunks: texts are encoded in so many parts, see `texts.in_chunks`.
    dtype: of the computation, "float32" or "bfloat16". Parameters are always
      float32.
  """

  vocab_size: int
  width: int
  depth: int
  heads: int
  mlp_width: int
  max_positions: int
  type_vocab: int = 2
  dropout: float = 0.1
  attention_dropout: float = 0.1
  layer_norm_eps: float = 1e-12
  remat: str = ""
  chunks: int = 1
  dtype: str = "float32"

  def __post_init__(self) -> None:
    check_known("dtype", self.dtype, DTYPES)
    check_known("remat", self.remat, REMATS)
    if self.heads < 1 or self.width % self.heads:
      raise ValueError(
        f"width {self.width} does not divide by {self.heads} heads"
      )


class Attention(nn.Module):
  """Multi-head self-attention, with its output projection."""

  config: TransformerConfig

  @nn.compact
  def __call__(
    self,
    x_TD: Float[Array, "T D"],
    mask_R1LM: Bool[Array, "R 1 L M"],
    deterministic: bool,
  ) -> Float[Array, "T D"]:
    c = self.config
    R, _, L, _ = mask_R1LM.shape

    def heads(name: str) -> Float[Array, "R H L E"]:
      return (
        _dense(c, c.width, name)(x_TD).reshape(R, L, c.heads, -1).swapaxes(1, 2)
      )

    q_RHLE, k_RHME, v_RHME = heads("query"), heads("key"), heads("value")
    q_RHLE = q_RHLE * (c.width // c.heads) ** -0.5
    if attention.on_tpu(R, L, c.heads):
      key = None if deterministic else self.make_rng("dropout")
      qkv = q_RHLE, k_RHME, v_RHME
      out_RLD = attention.attend(*qkv, mask_R1LM, c.attention_dropout, key)
      return _dense(c, c.width, "output")(out_RLD.reshape(x_TD.shape))
    # Softmax in float32: bfloat16 has 8 bits for a sum over L weights. A token
    # of padding attends to nothing; the lowest finite number then gives even
    # weights where -inf would give NaN.
    dot = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
    logits_RHLM = dot("RHLE,RHME->RHLM", q_RHLE, k_RHME)
    lowest = jnp.finfo(jnp.float32).min
    logits_RHLM = jnp.where(mask_R1LM, logits_RHLM, lowest)
    highest_RHL1 = logits_RHLM.max(axis=-1, keepdims=True)
    w_RHLM = jnp.exp(logits_RHLM - jax.lax.stop_gradient(highest_RHL1))
    # Dividing by the sum commutes with the product with v, and there are
    # fewer numbers to divide behind it.
    sum_RHL1 = w_RHLM.sum(axis=-1, keepdims=True)
    # Behind the sum: dropout is of normalised weights.
    w_RHLM = nn.Dropout(c.attention_dropout)(w_RHLM, deterministic)
    out_RHLE = dot("RHLM,RHME->RHLE", w_RHLM.astype(c.dtype), v_RHME)
    out_RHLE = (out_RHLE / sum_RHL1).astype(c.dtype)
    out_TD = out_RHLE.swapaxes(1, 2).reshape(x_TD.shape)
    return _dense(c, c.width, "output")(out_TD)


class Mlp(nn.Module):
  """Two dense layers with an exact GELU in between."""

  config: TransformerConfig

  @nn.compact
  def __call__(self, x_TD: Float[Array, "T D"]) -> Float[Array, "T D"]:
    c = self.config
    hidden = _dense(c, c.mlp_width, "up")(x_TD)
    return _dense(c, c.width, "down")(gelu(hidden))


class Layer(nn.Module):
  """Attention and MLP, each with dropout, residual and LayerNorm behind it."""

  config: TransformerConfig

  @nn.compact
  def __call__(
    self,
    x_TD: Float[Array, "T D"],
    mask_R1LM: Bool[Array, "R 1 L M"],
    deterministic: bool,
  ) -> Float[Array, "T D"]:
    c = self.config
    drop = nn.Dropout(c.dropout, deterministic=deterministic)
    y_TD = Attention(c, name="attention")(x_TD, mask_R1LM, deterministic)
    x_TD = _norm(c, "attention_norm")(x_TD + drop(y_TD))
    y_TD = Mlp(c, name="mlp")(x_TD)
    return _norm(c, "mlp_norm")(x_TD + drop(y_TD))


class Transformer(nn.Module):
  """The whole encoder; layers are unrolled as layer_0, layer_1, …"""

  config: TransformerConfig

  @nn.compact
  def __call__(
    self, tokens: Tokens, *, deterministic: bool
  ) -> tuple[Float[Array, "R L D"], Out]:
    """Hidden states of the last layer, and of all layers in `out["layers"]`.

    Args:
      tokens: [R, L]. Several texts may share a row as different segments.
      deterministic: no dropout; else the rng stream "dropout" is drawn from.
    """
    c = self.config
    R, L = tokens.ids.shape
    x_TD = sum(
      _embed(c, rows, name)(ids.reshape(-1))
      for name, rows, ids in (
        ("word", c.vocab_size, tokens.ids),
        ("position", c.max_positions, tokens.position),
        ("type", c.type_vocab, tokens.type),
      )
    )
    x_TD = _norm(c, "embedding_norm")(x_TD)
    x_TD = nn.Dropout(c.dropout)(x_TD, deterministic)
    # Within the own text, and never to padding.
    s_RL = jnp.asarray(tokens.segment)
    mask_RLM = (s_RL[:, :, None] == s_RL[:, None, :]) & (s_RL != 0)[:, None, :]
    # Layers are alike: one of them is traced for all.
    layer = nn.jit(_rematerialised(c), static_argnums=(3,))
    layers = []
    for i in range(c.depth):
      x_TD = layer(c, name=f"layer_{i}")(x_TD, mask_RLM[:, None], deterministic)
      layers.append(x_TD.reshape(R, L, c.width))
    return layers[-1], {"layers": tuple(layers)}


@functools.partial(jax.jit, static_argnums=0)
def init(config: TransformerConfig, key: PRNGKeyArray) -> PyTree:
  """Random float32 parameters as a nested dict: matrices from N(0, 0.02).

  One draw for all of them: compiling a draw for each takes a CPU far longer.
  """
  # Leaves come sorted by name: which numbers a matrix gets depends on the names
  # of all before it.
  leaves, tree = jax.tree.flatten_with_path(shapes(config))
  matrices = [x for _, x in leaves if len(x.shape) > 1]
  ends = list(itertools.accumulate(x.size for x in matrices))
  drawn = iter(jnp.split(0.02 * jax.random.normal(key, (ends[-1],)), ends[:-1]))

  def leaf(path: tuple[Any, ...], x: jax.ShapeDtypeStruct) -> Array:
    if len(x.shape) > 1:
      return next(drawn).reshape(x.shape)
    return jnp.full(x.shape, float(path[-1].key == "scale"))

  return jax.tree.unflatten(tree, [leaf(path, x) for path, x in leaves])


@functools.cache
def shapes(config: TransformerConfig) -> PyTree:
  """The parameters as jax.ShapeDtypeStruct, nothing computed."""
  ids = jax.ShapeDtypeStruct((1, 1), jnp.int32)
  tokens = Tokens(ids, ids, ids, ids)
  make = functools.partial(Transformer(config).init, deterministic=True)
  return jax.eval_shape(lambda x: make(jax.random.key(0), x), tokens)["params"]


def encode(
  config: TransformerConfig,
  params: PyTree,
  tokens: Tokens,
  dropout_key: PRNGKeyArray | None,
) -> tuple[Float[Array, "... L D"], Out]:
  """Hidden states of tokens [..., L]; without a key there is no dropout."""
  # All leading axes as one, and apart again in every result below.
  rows = Tokens(*(jnp.reshape(x, (-1, x.shape[-1])) for x in tokens))
  result = Transformer(config).apply(
    {"params": params},
    rows,
    deterministic=dropout_key is None,
    rngs={} if dropout_key is None else {"dropout": dropout_key},
  )
  return jax.tree.map(
    lambda x: x.reshape(*tokens.ids.shape, config.width), result
  )


def gelu(x: Float[Array, "*S"]) -> Float[Array, "*S"]:
  """x P(N(0, 1) <= x), with erf: jax.nn.gelu takes erfc, slower on a CPU."""
  return 0.5 * x * (1 + jax.lax.erf(x * 0.5**0.5))


def first_layers(n: int) -> tuple[int, ...]:
  """The first n layers, which is how PROD cuts its students."""
  return tuple(range(n))


def spread_layers(n: int, depth: int) -> tuple[int, ...]:
  """n of `depth` layers, evenly spread from the first to the last.

  >>> spread_layers(3, 12)
  (0, 5, 11)
  """
  if not 1 <= n <= depth:
    raise ValueError(f"cannot spread {n} layers over {depth}")
  return tuple(i * (depth - 1) // max(n - 1, 1) for i in range(n))


def check_known(name: str, value: str, known: Collection[str]) -> None:
  """Raises ValueError for a value outside of `known`."""
  if value not in known:
    raise ValueError(f"{name} is {value!r}; known: {', '.join(known)}")


def _rematerialised(config: TransformerConfig) -> type[Layer]:
  """The layer, as much of it stored for the backward pass as is asked for."""
  if not config.remat:
    return Layer
  keep = jax.checkpoint_policies.nothing_saveable
  if config.remat == "matmuls":
    # Attention's products have a batch axis, and are as large as L x L.
    keep = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
  return nn.remat(Layer, static_argnums=(3,), policy=keep)


def _dense(config: TransformerConfig, width: int, name: str) -> nn.Dense:
  return nn.Dense(width, dtype=config.dtype, name=name)


def _embed(config: TransformerConfig, rows: int, name: str) -> nn.Embed:
  # Looked up in float32: casting a table costs more than casting its rows.
  return nn.Embed(rows, config.width, name=name)


def _norm(config: TransformerConfig, name: str) -> nn.LayerNorm:
  # Flax takes mean and variance in float32 whatever the dtype.
  return nn.LayerNorm(
    epsilon=config.layer_norm_eps, dtype=config.dtype, name=name
  )
