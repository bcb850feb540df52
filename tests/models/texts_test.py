"""One vector a text, in rows of its own or shared, at once or in chunks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax.batch import Tokens
from prod_jax.data import packing
from prod_jax.models import texts
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.dual import DualEncoder

B, N = 4, 3


@pytest.fixture(scope="module")
def padded(rows):
  """B queries with N texts each, of 2 to 7 tokens."""
  flat = rows(2, 7, 3, 4, 5, 2, 6, 6, 3, 2, 4, 5)
  return Tokens(*(x.reshape(B, N, -1) for x in flat))


def packed_of(padded, devices=1, splits=1, row_length=12):
  lengths = padded.segment.sum(axis=-1)
  cut = packing.Cut(devices, splits)
  shape = packing.Shape(1, row_length)
  return packing.pack(padded, np.arange(B), lengths, cut, shape)


def models(config):
  return [
    DualEncoder(config, True, "cls", "dot"),
    DualEncoder(config, True, "mean", "cosine", 20.0),
    CrossEncoder(config, "mean"),
  ]


def results(model, params, batch, key=None):
  if isinstance(model, CrossEncoder):
    return model.score(params, batch, dropout_key=key)
  return model.embed(params, batch, "query", dropout_key=key)


def loss_and_gradient(model, batch, key=None):
  """Of a loss that mixes all texts of the batch, so that chunks matter."""

  def loss(params):
    found, out = results(model, params, batch, key)
    found = found.reshape(B * N, -1)
    return jnp.sum(jnp.tanh(found @ found.T / 30)), (found, out["layers"])

  params = model.init(jax.random.key(1))
  return jax.jit(jax.value_and_grad(loss, has_aux=True))(params)


def assert_close(a, b):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), a, b
  )


def test_pool_by_hand():
  hidden = jnp.arange(12, dtype=jnp.bfloat16).reshape(2, 3, 2)
  segment = jnp.array([[1, 1, 0], [1, 2, 2]])
  tokens = Tokens(segment, segment, segment, segment)
  cls, mean = (texts.pool(hidden, tokens, how) for how in texts.POOLINGS)
  np.testing.assert_array_equal(cls, [[0, 1], [6, 7]])
  np.testing.assert_array_equal(mean, [[1, 2], [6, 7]])
  assert cls.dtype == mean.dtype == jnp.float32
  nothing = Tokens(*(0 * x for x in tokens))
  nothing = texts.pool(hidden, nothing, "mean")
  np.testing.assert_array_equal(nothing, np.zeros((2, 2)))


@pytest.mark.parametrize("which", range(3))
def test_packed_is_padded(config, padded, which):
  model = models(config)[which]
  packed = packed_of(padded, devices=2)
  assert packed.tokens.ids.size < padded.ids.size
  assert packed.place.shape == (B, N)
  wanted = loss_and_gradient(model, padded)
  assert_close(loss_and_gradient(model, packed), wanted)


@pytest.mark.parametrize("layout", ["padded", "packed"])
@pytest.mark.parametrize("which", [0, 2])
def test_chunks_give_the_gradient_of_the_whole(config, padded, layout, which):
  model = models(config)[which]
  chunked = models(dataclasses.replace(config, chunks=2))[which]
  batch = padded if layout == "padded" else packed_of(padded, splits=2)
  wanted = loss_and_gradient(model, padded)
  assert_close(loss_and_gradient(chunked, batch), wanted)


def test_chunks_replay_their_dropout(config, padded):
  """The gradient is that of the very loss that was computed: finite
  differences along it agree, which another mask would not.
  """
  model = DualEncoder(
    dataclasses.replace(config, chunks=2, dropout=0.3), True, "cls", "dot"
  )
  key = jax.random.key(5)
  params = model.init(jax.random.key(1))

  @jax.jit
  def loss(params):
    found, _ = model.embed(params, padded, "query", dropout_key=key)
    found = found.reshape(B * N, -1)
    return jnp.sum(jnp.tanh(found @ found.T / 30))

  gradient = jax.jit(jax.grad(loss))(params)
  square = sum(float(jnp.sum(g * g)) for g in jax.tree.leaves(gradient))
  step = 1e-2 / square**0.5

  def moved(by):
    return float(loss(jax.tree.map(lambda p, g: p + by * g, params, gradient)))

  slope = (moved(step) - moved(-step)) / (2 * step)
  assert slope == pytest.approx(square, rel=1e-2)
  plain = dataclasses.replace(model, bert=config)
  assert not np.allclose(
    loss(params), plain.embed(params, padded, "query")[0].sum()
  )


def test_nothing_of_a_chunk_is_kept(config, padded):
  """The backward pass gets no hidden state: there is a layer's only inside
  of the loops.
  """
  model = DualEncoder(dataclasses.replace(config, chunks=2), True, "cls", "dot")
  params = model.init(jax.random.key(1))
  saved = jax.eval_shape(
    lambda p: jax.vjp(lambda p: model.embed(p, padded, "query")[0], p)[1],
    params,
  )
  largest = max(x.size for x in jax.tree.leaves(saved))
  assert largest <= max(x.size for x in jax.tree.leaves(params))
  hidden = B * N * padded.ids.shape[-1] * config.mlp_width
  assert hidden not in {x.size for x in jax.tree.leaves(saved)}
