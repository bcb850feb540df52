"""From rows of hidden states to texts: one vector of each, in any layout.

A text has a row of its own or shares one, and a batch is embedded at once or
chunk by chunk; nobody behind this file sees a difference. The letters are
those of batch.py.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from prod_jax.batch import Packed, Texts, Tokens
from prod_jax.models import transformer
from prod_jax.models.transformer_config import TransformerConfig

PyTree = Any
T = TypeVar("T", bound=Texts)

Pooling = Literal["cls", "mean", "max", "mean_sqrt_len", "last"]
POOLINGS = get_args(Pooling)
ONE_TOKEN = ("cls", "last")  # those that read one token of a text


def tokens_of(texts: Texts) -> Tokens:
  """The rows of texts, [..., L]."""
  if isinstance(texts, Tokens):
    return texts
  start_GRS1 = jnp.asarray(texts.start_GRS)[..., None]
  first_end_GRS1 = start_GRS1 + jnp.asarray(texts.first_length_GRS)[..., None]
  is_of_GRSL = _membership(texts)
  number_S, column_L = (
    jnp.arange(n, dtype=jnp.int32) for n in is_of_GRSL.shape[2:]
  )
  number_11S1 = 1 + number_S[None, None, :, None]
  column_111L = column_L[None, None, None]

  def of_text(x: Int[Array, "#G #R #S #L"]) -> Int[Array, "G R L"]:
    """At each token the value of its text, 0 on padding."""
    return jnp.sum(x * is_of_GRSL, axis=2, dtype=jnp.int32)

  return Tokens(
    ids=jnp.asarray(texts.ids),
    segment=of_text(number_11S1),
    position=of_text(column_111L - start_GRS1),
    type=of_text((column_111L >= first_end_GRS1).astype(jnp.int32)),
  )


def _membership(texts: Packed) -> Bool[Array, "G R S L"]:
  """Which tokens of a row are of which of its texts."""
  start_GRS1, length_GRS1 = (
    jnp.asarray(x)[..., None] for x in (texts.start_GRS, texts.length_GRS)
  )
  column_111L = jnp.arange(texts.ids.shape[-1])[None, None, None]
  after = column_111L >= start_GRS1
  return after & (column_111L < start_GRS1 + length_GRS1)


def pooled(
  config: TransformerConfig,
  params: PyTree,
  texts: Texts,
  dropout_key: PRNGKeyArray | None,
  pooling: str,
) -> tuple[Float[Array, "... D"], ...]:
  """One float32 vector of each text, by each layer of an encoder.

  Of the last layer no more is computed than the pooling reads, which is the
  same as if it were: no token of a last layer is seen by another one.

  Args:
    config, params: of the encoder.
    texts: see `pool`.
    dropout_key: without it there is no dropout.
    pooling: see `pool`.
  """
  at = columns_read(texts, pooling)
  tokens = tokens_of(texts)
  _, out = transformer.encode(config, params, tokens, dropout_key, at)
  if at is None:
    return tuple(pool(x, texts, pooling) for x in out["layers"])
  *inner, last = out["layers"]
  return *(pool(x, texts, pooling) for x in inner), _of_texts(last, texts)


def columns_read(texts: Texts, pooling: str) -> Int[Array, "... S"] | None:
  """Where the one token of each text is that a pooling reads.

  None for a pooling that reads all of them.
  """
  if pooling not in ONE_TOKEN:
    return None
  if isinstance(texts, Packed):
    start_GRS, length_GRS = map(
      jnp.asarray, (texts.start_GRS, texts.length_GRS)
    )
    # A place without a text, of length 0, reads any token.
    last_GRS = jnp.maximum(start_GRS + length_GRS - 1, 0)
    return start_GRS if pooling == "cls" else last_GRS
  if pooling == "cls":
    return jnp.zeros((*texts.ids.shape[:-1], 1), jnp.int32)
  count = (jnp.asarray(texts.segment) == 1).sum(axis=-1, keepdims=True)
  return jnp.maximum(count - 1, 0)


# Layers are alike: one of them is traced for all.
@functools.partial(jax.jit, static_argnames="pooling")
@jax.named_scope("pool")
def pool(
  hidden: Float[Array, "... L D"], texts: Texts, pooling: str
) -> Float[Array, "... D"]:
  """One float32 vector of each text.

  Args:
    hidden: of any layer, for `tokens_of(texts)`.
    texts: Tokens [..., L], of whose rows the text in segment 1 is taken, or
      Packed.
    pooling: "cls" takes the text's first token, "last" its last one; "mean"
      averages all its tokens, [CLS] and [SEP] among them as in
      sentence-transformers, and is 0 for a row of padding; "mean_sqrt_len" is
      their sum over the root of their number; "max" is the largest number of
      each coordinate.
  """
  at = columns_read(texts, pooling)
  if at is not None:
    states = jnp.take_along_axis(hidden, at[..., None], axis=-2)
    return _of_texts(states, texts)
  if isinstance(texts, Packed):
    pooled_GRSD = _pool_packed(hidden, texts, pooling)
    return _in_place(pooled_GRSD, jnp.asarray(texts.place))
  where = (jnp.asarray(texts.segment) == 1)[..., None]
  if pooling == "max":
    return _largest(hidden, where)
  # Summed in float32: bfloat16 loses the later tokens of a long text.
  total = hidden.sum(axis=-2, where=where, dtype=jnp.float32)
  return total / _divisor(where.sum(axis=-2), pooling)


def _of_texts(
  states: Float[Array, "... S D"], texts: Texts
) -> Float[Array, "... D"]:
  """In float32, of states of the one token of each text."""
  states = states.astype(jnp.float32)
  if isinstance(texts, Packed):
    return _in_place(states, jnp.asarray(texts.place))
  return states[..., 0, :]


def _largest(
  hidden: Float[Array, "... L D"], where: Bool[Array, "... L 1"]
) -> Float[Array, "... D"]:
  """Of each coordinate the largest number of a text, 0 where it is padding."""
  lowest = jnp.finfo(jnp.float32).min
  masked = jnp.where(where, hidden.astype(jnp.float32), lowest)
  return jnp.where(where.any(axis=-2), masked.max(axis=-2), 0.0)


def _divisor(count: Int[Array, "... 1"], pooling: str) -> Array:
  """What the sum over so many tokens is divided by."""
  count = jnp.maximum(count, 1)
  return jnp.sqrt(count) if pooling == "mean_sqrt_len" else count


def _pool_packed(
  hidden_GRLD: Float[Array, "G R L D"], texts: Packed, pooling: str
) -> Float[Array, "G R S D"]:
  """One float32 vector for each place of each row."""
  is_of_GRSL = _membership(texts)
  if pooling == "max":
    # One place of all rows after the other: memory is that of the states.
    by_place = jax.lax.map(
      lambda is_of_GRL: _largest(hidden_GRLD, is_of_GRL[..., None]),
      jnp.moveaxis(is_of_GRSL, 2, 0),
    )
    return jnp.moveaxis(by_place, 0, 2)
  # A sum over chosen tokens is a product with zeros and ones: a matmul, where
  # a TPU would take the numbers of a segment sum one after the other.
  total_GRSD = jnp.einsum(
    "GRSL,GRLD->GRSD",
    is_of_GRSL.astype(hidden_GRLD.dtype),
    hidden_GRLD,
    preferred_element_type=jnp.float32,
    precision="highest",
  )
  length_GRS1 = jnp.asarray(texts.length_GRS)[..., None]
  return total_GRSD / _divisor(length_GRS1, pooling)


def _in_place(
  x_GRSD: Float[Array, "G R S D"], place: Int[Array, "B ..."]
) -> Float[Array, "B ... D"]:
  """Of each text the vector of its place, looked up in its own group."""
  G, D = x_GRSD.shape[0], x_GRSD.shape[-1]
  place_GX1 = place.reshape(G, -1, 1)
  found = jnp.take_along_axis(x_GRSD.reshape(G, -1, D), place_GX1, axis=1)
  return found.reshape(*place.shape, D)


def in_chunks(
  embed: Callable[[T, PRNGKeyArray | None], PyTree],
  texts: T,
  dropout_key: PRNGKeyArray | None,
  chunks: int,
) -> PyTree:
  """embed(texts, dropout_key), a chunk of the batch after the other.

  Gradient caching (Gao et al., arXiv 2101.06983), for any loss: nothing of a
  chunk is kept but what `embed` returns, and the backward pass computes each
  chunk again, with the same dropout, when the gradient of its results is
  known. Memory is that of one chunk and of all embeddings; the gradient is
  that of the whole batch.

  Args:
    embed: its results have the leading axis of the batch, [B, ...].
    texts: arrays with leading axes that are multiples of `chunks`. Chunk c
      takes each `chunks`-th row from c on, so that every device keeps its own.
    dropout_key: split between chunks; None is no dropout.
    chunks: 1 is a plain call.
  """
  if chunks == 1:
    return embed(texts, dropout_key)
  keys = None if dropout_key is None else jax.random.split(dropout_key, chunks)
  # [B] as [B / chunks, chunks]: a device's rows lie together in the batch, and
  # each chunk has its share of them. Undone in the same order below.
  parts = jax.tree.map(
    lambda x: x.reshape(-1, chunks, *x.shape[1:]).swapaxes(0, 1), texts
  )

  def body(_: None, chunk: tuple[T, Any]) -> tuple[None, PyTree]:
    return None, embed(*chunk)

  # Loop bodies are not merged with their repetition: nothing to prevent.
  again = jax.checkpoint(body, prevent_cse=False)
  _, embedded = jax.lax.scan(again, None, (parts, keys))
  return jax.tree.map(
    lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), embedded
  )
