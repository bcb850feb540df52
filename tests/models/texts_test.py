"""One vector a text, in rows of its own or shared, at once or in chunks."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax.batch import Tokens
from prod_jax.batches import packing, rows
from prod_jax.batches.special import Special
from prod_jax.batches.store import store_of
from prod_jax.models import texts, transformer
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.dual import DualEncoder
from tests.models import tiny

B, N = 4, 3


SPECIAL = Special((1,), (2,), (2,), pad=0, mask=3)


@pytest.fixture(scope="module")
def joined():
  """B queries with N pairs each, of 3 to 9 tokens."""
  sizes = np.random.default_rng(0).integers(0, 4, (2, B, N))
  rng = np.random.default_rng(1)
  query, passage = (
    store_of([rng.integers(4, 13, n) for n in side.reshape(-1)]).slices(
      np.arange(B * N).reshape(B, N)
    )
    for side in sizes
  )
  return rows.pair(query, passage, 5, 9, SPECIAL)


@pytest.fixture(scope="module")
def padded(joined):
  return rows.padded(joined, 9)


@pytest.fixture(scope="module")
def whole(config, padded):
  """Loss and gradient of a model that takes padded texts at once."""
  return functools.cache(
    lambda which: loss_and_gradient(models(config)[which], padded)
  )


def packed_of(joined, devices=1, splits=1, row_length=12):
  cut, shape = packing.Grouping(devices, splits), packing.Shape(1, row_length)
  return packing.pack(joined, np.arange(B), cut, shape)


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
  root = 2**0.5
  by_hand = {
    "cls": [[0, 1], [6, 7]],
    "mean": [[1, 2], [6, 7]],
    "max": [[2, 3], [6, 7]],
    "mean_sqrt_len": [[2 / root, 4 / root], [6, 7]],
    "last": [[2, 3], [6, 7]],
  }
  assert by_hand.keys() == set(texts.POOLINGS)
  nothing = Tokens(*(0 * x for x in tokens))
  for how, expected in by_hand.items():
    pooled = texts.pool(hidden, tokens, how)
    np.testing.assert_allclose(pooled, expected, rtol=1e-6)
    assert pooled.dtype == jnp.float32
    if how not in ("cls", "last"):
      np.testing.assert_array_equal(texts.pool(hidden, nothing, how), 0)


@pytest.mark.parametrize("pooling", texts.POOLINGS)
def test_packed_texts_are_pooled_as_padded_ones(
  config, joined, padded, pooling
):
  model = DualEncoder(config, tied=True, pooling=pooling, similarity="dot")
  wanted = loss_and_gradient(model, padded)
  assert_close(loss_and_gradient(model, packed_of(joined, devices=2)), wanted)


# A plain body, one with a bias by distance, and one that turns its queries,
# whose last layer is local.
BODIES = [
  dataclasses.replace(tiny.FAMILIES["bert"], depth=2),
  dataclasses.replace(tiny.FAMILIES["mpnet"], depth=2),
  dataclasses.replace(tiny.FAMILIES["modernbert"], depth=2),
]


@pytest.mark.parametrize("layout", ["padded", "packed"])
@pytest.mark.parametrize("pooling", texts.ONE_TOKEN)
@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.family)
def test_a_last_layer_of_what_is_read_is_that_of_all_tokens(
  joined, padded, body, pooling, layout
):
  batch = padded if layout == "padded" else packed_of(joined, devices=2)
  params = tiny.formula(transformer.shapes(body))

  def of_all(params):
    tokens = texts.tokens_of(batch)
    _, out = transformer.encode(body, params, tokens, None)
    return tuple(texts.pool(x, batch, pooling) for x in out["layers"])

  def of_what_is_read(params):
    return texts.pooled(body, params, batch, None, pooling)

  def loss(layers_of, params):
    vectors = layers_of(params)
    return sum(jnp.sum(jnp.tanh(x)) for x in vectors), vectors

  wanted, found = (
    jax.jit(jax.value_and_grad(functools.partial(loss, of), has_aux=True))(
      params
    )
    for of in (of_all, of_what_is_read)
  )
  assert len(found[0][1]) == body.depth
  assert_close(found, wanted)


@pytest.mark.parametrize("which", range(3))
def test_packed_is_padded(config, joined, padded, whole, which):
  model = models(config)[which]
  packed = packed_of(joined, devices=2)
  assert packed.ids.size < padded.ids.size
  assert packed.place.shape == (B, N)
  assert_close(loss_and_gradient(model, packed), whole(which))


@pytest.mark.parametrize("layout", ["padded", "packed"])
@pytest.mark.parametrize("which", [0, 2])
def test_chunks_give_the_gradient_of_the_whole(
  config, joined, padded, whole, layout, which
):
  chunked = models(dataclasses.replace(config, chunks=2))[which]
  batch = padded if layout == "padded" else packed_of(joined, splits=2)
  assert_close(loss_and_gradient(chunked, batch), whole(which))


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
  step = 3e-3 / square**0.5

  def moved(by):
    return float(loss(jax.tree.map(lambda p, g: p + by * g, params, gradient)))

  slope = (moved(step) - moved(-step)) / (2 * step)
  assert slope == pytest.approx(square, rel=2e-2)
  plain = dataclasses.replace(model, transformer=config)
  assert not np.allclose(
    loss(params), plain.embed(params, padded, "query")[0].sum()
  )


def test_chunks_have_dropout_of_their_own(config, padded):
  model = DualEncoder(
    dataclasses.replace(config, chunks=2, dropout=0.3), True, "cls", "dot"
  )
  same = Tokens(*(np.broadcast_to(x[:1], x.shape) for x in padded))
  embed = jax.jit(
    lambda params, key: model.embed(params, same, "query", dropout_key=key)[0]
  )
  found = embed(model.init(jax.random.key(1)), jax.random.key(2))
  assert len({tuple(x) for x in np.asarray(found)[:, 0].tolist()}) == B


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


def test_tokens_of_a_row_follow_from_where_its_texts_stand(joined):
  packed = packed_of(joined)
  found = jax.jit(texts.tokens_of)(packed)
  wanted = rows.padded(joined, 9)
  S = packed.start_GRS.shape[-1]
  for text, place in np.ndenumerate(packed.place):
    at = (0, *divmod(place, S))
    start, length = packed.start_GRS[at], packed.length_GRS[at]
    here = (0, place // S, slice(start, start + length))
    for field in ("ids", "position", "type"):
      np.testing.assert_array_equal(
        getattr(found, field)[here], getattr(wanted, field)[text][:length]
      )
    assert (found.segment[here] == place % S + 1).all()
  padding = found.segment == 0
  assert padding.sum() == packed.ids.size - joined.lengths.sum()
  assert not found.position[padding].any()
