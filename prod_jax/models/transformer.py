"""Encoders in Linen: tokens to hidden states, one body for all families.

The defaults are the network of Devlin et al. (arXiv 1810.04805): learned
positions, blocks with LayerNorm behind each residual, exact GELU. What other
families do otherwise are choices in `TransformerConfig`; which family makes
which choice, and what it calls its weights, stands in families/. How hidden
states become a vector of each text stands in texts.py, what that is used for in
dual.py and cross.py. There is no pooler (a dense layer with tanh on [CLS]):
dense retrievers leave it out, and the official PROD code only multiplies it by
zero; a published cross-encoder's is a part of its head.

Beside the letters of batch.py: R rows of L tokens, T = R * L all tokens of all
rows in one axis, M the tokens attended to, E = D / H the width of a head. The
residual stream is [T, D], because a matrix multiplies faster than a stack of
matrices on a CPU and as fast on a TPU. The last layer may be asked for S tokens
of each row alone: these attend to all and go through its MLP, others do not. X
tokens come out of a layer, T or R * S.
"""

import functools
import itertools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from prod_jax.batch import Tokens
from prod_jax.models import attention, cudnn, positions, products
from prod_jax.models.positions import Turns
from prod_jax.models.transformer_config import (
  ACTIVATIONS,
  TransformerConfig,
  check_known,
)

PyTree = Any
Out = dict[str, tuple[Any, ...]]


class Attention(nn.Module):
  """Multi-head self-attention, with its output projection."""

  config: TransformerConfig

  @nn.compact
  def __call__(
    self,
    x_TD: Float[Array, "T D"],
    mask_R1LM: Bool[Array, "R 1 L M"],
    deterministic: bool,
    bias_RHLM: Float[Array, "#R H L M"] | None = None,
    turns: Turns | None = None,
    at_RS: Int[Array, "R S"] | None = None,
  ) -> Float[Array, "X D"]:
    """What each token takes from all others; with `at_RS` each of these."""
    c = self.config
    R, _, L, _ = mask_R1LM.shape
    dense = functools.partial(
      products.dense, c, c.width, use_bias=c.attention_bias
    )

    E = c.width // c.heads

    def heads(name: str, x_XD: Array) -> Float[Array, "R H L E"]:
      return dense(name)(x_XD).reshape(R, -1, c.heads, E).swapaxes(1, 2)

    q_RHLE = heads("query", x_TD if at_RS is None else _only(x_TD, at_RS))
    k_RHME, v_RHME = heads("key", x_TD), heads("value", x_TD)
    if turns is not None:
      own = turns if at_RS is None else _columns(turns, at_RS)
      q_RHLE = positions.turned(q_RHLE, own)
      k_RHME = positions.turned(k_RHME, turns)
    q_RHLE = q_RHLE * E**-0.5
    if at_RS is not None:
      mask_R1LM, bias_RHLM = _columns((mask_R1LM, bias_RHLM), at_RS)
    elif _takes_kernel(R, L, c.heads, bias_RHLM is not None):
      key = None if deterministic else self.make_rng("dropout")
      qkv = q_RHLE, k_RHME, v_RHME
      out_RLD = attention.attend(*qkv, mask_R1LM, c.attention_dropout, key)
      return dense("output")(out_RLD.reshape(x_TD.shape))
    rate = 0.0 if deterministic else c.attention_dropout
    if at_RS is None and cudnn.on_gpu(c, R, L, rate, bias_RHLM is not None):
      out_RLD = cudnn.attend(q_RHLE, k_RHME, v_RHME, mask_R1LM)
      return dense("output")(out_RLD.reshape(x_TD.shape))
    # Softmax in float32: bfloat16 has 8 bits for a sum over L weights. A token
    # of padding attends to nothing; the lowest finite number then gives even
    # weights where -inf would give NaN.
    dot = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
    logits_RHLM = dot("RHLE,RHME->RHLM", q_RHLE, k_RHME)
    if bias_RHLM is not None:
      logits_RHLM = logits_RHLM + bias_RHLM
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
    out_TD = out_RHLE.swapaxes(1, 2).reshape(-1, c.width)
    return dense("output")(out_TD)


class Mlp(nn.Module):
  """Two dense layers with an activation in between, and perhaps a gate."""

  config: TransformerConfig

  @nn.compact
  def __call__(self, x_TD: Float[Array, "T D"]) -> Float[Array, "T D"]:
    c = self.config
    dense = functools.partial(products.dense, c, use_bias=c.mlp_bias)
    hidden = activate(c.activation, dense(c.mlp_width, "up")(x_TD))
    if c.gated:
      hidden = hidden * dense(c.mlp_width, "gate")(x_TD)
    return dense(c.width, "down")(hidden)


class Layer(nn.Module):
  """Attention and MLP, each with dropout, a residual and a LayerNorm.

  Attributes:
    config: of the encoder.
    first: it is layer 0 of a pre-norm encoder, which has no norm of its own in
      front of attention.
  """

  config: TransformerConfig
  first: bool = False

  @nn.compact
  def __call__(
    self,
    x_TD: Float[Array, "T D"],
    mask_R1LM: Bool[Array, "R 1 L M"],
    deterministic: bool,
    bias_RHLM: Float[Array, "#R H L M"] | None = None,
    turns: Turns | None = None,
    at_RS: Int[Array, "R S"] | None = None,
  ) -> Float[Array, "X D"]:
    """Hidden states behind the layer, of all tokens or of those at `at_RS`."""
    c = self.config
    drop = nn.Dropout(c.dropout, deterministic=deterministic)
    seen = mask_R1LM, deterministic, bias_RHLM, turns, at_RS
    y_TD = x_TD
    if c.pre_norm and not self.first:
      y_TD = _norm(c, "attention_norm")(x_TD)
    y_TD = Attention(c, name="attention")(y_TD, *seen)
    if at_RS is not None:
      x_TD = _only(x_TD, at_RS)
    if c.pre_norm:
      x_TD = x_TD + drop(y_TD)
      y_TD = _norm(c, "mlp_norm")(x_TD)
      return x_TD + drop(Mlp(c, name="mlp")(y_TD))
    x_TD = _norm(c, "attention_norm")(x_TD + drop(y_TD))
    y_TD = Mlp(c, name="mlp")(x_TD)
    return _norm(c, "mlp_norm")(x_TD + drop(y_TD))


class Transformer(nn.Module):
  """The whole encoder; layers are unrolled as layer_0, layer_1, …"""

  config: TransformerConfig

  @nn.compact
  def __call__(
    self,
    tokens: Tokens,
    *,
    deterministic: bool,
    at_RS: Int[Array, "R S"] | None = None,
  ) -> tuple[Float[Array, "R _ D"], Out]:
    """Hidden states of the last layer, and of all layers in `out["layers"]`.

    Args:
      tokens: [R, L]. Several texts may share a row as different segments.
      deterministic: no dropout; else the rng stream "dropout" is drawn from.
      at_RS: columns of the tokens that the last layer is wanted of, whose
        states are then [R, S, D]; None is all.
    """
    c = self.config
    R, L = tokens.ids.shape
    x_TD = self._embedded(tokens, deterministic)
    masks_2 = positions.masks(c, tokens)
    turns_2 = (
      positions.turns(c, c.rotary_theta, tokens),
      positions.turns(c, c.local_theta, tokens),
    )
    bias_1HLM = self._bias(L)
    # Layers are alike: one of them is traced for all.
    layer = nn.jit(_rematerialised(c), static_argnums=(3,))
    norm = _norm(c, "final_norm") if c.pre_norm else lambda x_TD: x_TD
    layers = []
    for i in range(c.depth):
      local = i in c.local_layers
      # Within the one trace all operations are named after the first layer.
      with jax.named_scope(f"layer_{i}"):
        x_TD = layer(c, first=c.pre_norm and i == 0, name=f"layer_{i}")(
          x_TD,
          masks_2[local],
          deterministic,
          bias_1HLM,
          turns_2[local],
          at_RS if i == c.depth - 1 else None,
        )
      # Behind each layer, as behind the last: a layer is what an encoder that
      # ends there would give.
      layers.append(norm(x_TD).reshape(R, -1, c.width))
    return layers[-1], {"layers": tuple(layers)}

  def _embedded(
    self, tokens: Tokens, deterministic: bool
  ) -> Float[Array, "T D"]:
    """The tables' rows of each token, as the residual stream begins."""
    c = self.config
    tables = [("word", c.vocab_size, tokens.ids)]
    if not c.rotary_theta:
      position = tokens.position + c.position_offset
      tables.append(("position", c.max_positions, position))
    if c.type_vocab:
      types = tokens.type if c.type_vocab > 1 else jnp.zeros_like(tokens.type)
      tables.append(("type", c.type_vocab, types))
    x_TD = sum(
      _embed(c, rows, name)(ids.reshape(-1)) for name, rows, ids in tables
    )
    x_TD = _norm(c, "embedding_norm")(x_TD)
    x_TD = nn.Dropout(c.dropout)(x_TD, deterministic)
    if c.embedding_width in (0, c.width):
      return x_TD
    return products.dense(c, c.width, "embedding_projection")(x_TD)

  def _bias(self, length: int) -> Float[Array, "1 H L M"] | None:
    """What is added to the logits of attention, by distance."""
    c = self.config
    if not c.relative_buckets:
      return None
    # Tokens of a text lie side by side: columns are as far apart as positions.
    column_L = np.arange(length)
    bucket_LM = positions.bucket(
      column_L[None] - column_L[:, None], c.relative_buckets
    )
    table = nn.Embed(c.relative_buckets, c.heads, name="relative_bias")
    return table(jnp.asarray(bucket_LM)).transpose(2, 0, 1)[None]


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
  at: Int[Array, "... S"] | None = None,
) -> tuple[Float[Array, "... L D"], Out]:
  """Hidden states of tokens [..., L]; without a key there is no dropout.

  With `at` the last layer's are those of these columns alone, [..., S, D].
  """
  # All leading axes as one, and apart again in every result below.
  rows, at_RS = jax.tree.map(
    lambda x: jnp.reshape(x, (-1, x.shape[-1])), (tokens, at)
  )
  result = Transformer(config).apply(
    {"params": params},
    rows,
    deterministic=dropout_key is None,
    at_RS=at_RS,
    rngs={} if dropout_key is None else {"dropout": dropout_key},
  )
  leading = tokens.ids.shape[:-1]
  return jax.tree.map(lambda x: x.reshape(*leading, *x.shape[-2:]), result)


def activate(name: str, x: Float[Array, "*S"]) -> Float[Array, "*S"]:
  """An activation by its name in transformers; see `ACTIVATIONS`."""
  check_known("activation", name, ACTIVATIONS)
  if name == "gelu":
    return gelu(x)
  if name == "relu":
    return jax.nn.relu(x)
  if name == "tanh":
    return jnp.tanh(x)
  return jax.nn.gelu(x, approximate=True)  # both others, under two names


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


def _rematerialised(config: TransformerConfig) -> type[Layer]:
  """The layer, as much of it stored for the backward pass as is asked for."""
  if not config.remat:
    return Layer
  keep = jax.checkpoint_policies.nothing_saveable
  if config.remat == "matmuls":
    # Attention's products have a batch axis, and are as large as L x L.
    keep = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
  return nn.remat(Layer, static_argnums=(3,), policy=keep)


def _only(x_TD: Float[Array, "T D"], at_RS: Int[Array, "R S"]) -> Array:
  """The tokens in these columns of each row, [R * S, D]."""
  R, D = at_RS.shape[0], x_TD.shape[-1]
  x_RLD = x_TD.reshape(R, -1, D)
  return jnp.take_along_axis(x_RLD, at_RS[..., None], axis=1).reshape(-1, D)


def _columns(x: PyTree, at_RS: Int[Array, "R S"]) -> PyTree:
  """Of arrays [R or 1, H or 1, L, ...] the columns of each row."""
  at_R1S1 = at_RS[:, None, :, None]
  return jax.tree.map(
    lambda x: jnp.take_along_axis(
      jnp.broadcast_to(x, (len(at_RS), *x.shape[1:])), at_R1S1, axis=2
    ),
    x,
  )


def _takes_kernel(rows: int, length: int, heads: int, biased: bool) -> bool:
  """Whether attention is the TPU's kernel; it knows masks, and no bias."""
  if not attention.on_tpu(rows, length, heads):
    return False
  if biased:
    logging.log_first_n(
      logging.INFO,
      "attention has a relative bias: it takes the plain path, not the kernel",
      1,
    )
  return not biased


def _embed(config: TransformerConfig, rows: int, name: str) -> nn.Embed:
  # Looked up in float32: casting a table costs more than casting its rows.
  return nn.Embed(rows, config.embedding_width or config.width, name=name)


def _norm(config: TransformerConfig, name: str) -> nn.LayerNorm:
  # Flax takes mean and variance in float32 whatever the dtype.
  return nn.LayerNorm(
    epsilon=config.layer_norm_eps,
    use_bias=config.norm_bias,
    dtype=config.dtype,
    name=name,
  )
