"""The encoder against torch, against itself, and at its corners."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax.batch import Tokens
from prod_jax.models import transformer, transformer_config
from prod_jax.models.transformer import TransformerConfig

GOLDEN = pathlib.Path(__file__).with_name("golden_bert.json")


def unpadded(hidden, tokens):
  return np.asarray(hidden)[tokens.segment > 0]


def formula_params(config):
  """The weights of the golden: sin of a running number, 1 + for scales."""
  leaves, tree = jax.tree.flatten_with_path(transformer.shapes(config))
  made = []
  for number, (path, leaf) in enumerate(leaves):
    index = np.arange(np.prod(leaf.shape), dtype=np.float64)
    wave = 0.4 * np.sin(1.7 * index + number).reshape(leaf.shape)
    made.append(np.float32(wave + (path[-1].key == "scale")))
  return tree.unflatten(made)


def test_golden(encode):
  golden = json.loads(GOLDEN.read_text())
  config = TransformerConfig(**golden["config"])
  tokens = Tokens(*(np.array(golden[f], np.int32) for f in Tokens._fields))
  _, out = encode(config, formula_params(config), tokens, None)
  for layer, expected in zip(out["layers"], golden["layers"], strict=True):
    np.testing.assert_allclose(unpadded(layer, tokens), expected, atol=1e-5)


def test_hidden_is_the_last_layer(config, params, rows, encode):
  hidden, out = encode(config, params, rows(4, 6), None)
  assert len(out["layers"]) == config.depth
  np.testing.assert_array_equal(hidden, out["layers"][-1])


def test_texts_packed_into_a_row_do_not_see_each_other(
  config, params, rows, encode
):
  apart = rows(4, 2, width=7)
  packed = jax.tree.map(np.zeros_like, apart)
  for whole, x in zip(packed, apart, strict=True):
    whole[1, :6] = np.concatenate([x[0, :4], x[1, :2]])
  packed.segment[1] = [1, 1, 1, 1, 2, 2, 0]
  expected, _ = encode(config, params, apart, None)
  found, _ = encode(config, params, packed, None)
  np.testing.assert_allclose(
    unpadded(found, packed), unpadded(expected, apart), atol=1e-5
  )


def test_padding_changes_nothing(config, params, rows, encode):
  short, long = rows(4, 6, width=7), rows(4, 6, width=11)
  long.ids[long.segment == 0] = 9
  expected, _ = encode(config, params, short, None)
  found, _ = encode(config, params, long, None)
  np.testing.assert_allclose(
    unpadded(found, long), unpadded(expected, short), atol=1e-5
  )


def test_a_row_of_padding_has_finite_gradients(variant, params, rows):
  config = variant(depth=1)

  def loss(params):
    hidden, _ = transformer.encode(config, params, rows(4, 0), None)
    return jnp.square(hidden).sum()

  value, grads = jax.jit(jax.value_and_grad(loss))(params)
  assert np.isfinite(value)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(grads))


def test_a_position_beyond_the_table_is_not_silent(
  config, params, rows, encode
):
  tokens = rows(7)
  tokens.position[0, 6] = config.max_positions
  hidden, _ = encode(config, params, tokens, None)
  assert np.isnan(hidden).any()


BASE = TransformerConfig(
  vocab_size=30_522,
  width=768,
  depth=12,
  heads=12,
  mlp_width=3072,
  max_positions=512,
)
LARGE = dataclasses.replace(
  BASE, width=1024, depth=24, heads=16, mlp_width=4096
)


@pytest.mark.parametrize(
  ("config", "published"), [(BASE, 109_482_240), (LARGE, 335_141_888)]
)
def test_counts_are_the_published_ones_less_the_pooler(config, published):
  shapes = transformer.shapes(config)
  pooler = config.width * config.width + config.width
  assert sum(x.size for x in jax.tree.leaves(shapes)) == published - pooler
  ids = jax.ShapeDtypeStruct((2, 5), jnp.int32)
  hidden, out = jax.eval_shape(
    lambda p, t: transformer.encode(config, p, t, None),
    shapes,
    Tokens(ids, ids, ids, ids),
  )
  assert hidden.shape == (2, 5, config.width)
  assert len(out["layers"]) == config.depth


def test_init_is_small_and_float32(variant):
  config = variant(width=64, depth=1)
  params = transformer.init(config, jax.random.key(0))
  described = [
    jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    for tree in (params, transformer.shapes(config))
  ]
  assert described[0] == described[1]
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
  params = jax.device_get(params)
  layer = params["layer_0"]
  assert layer["mlp"]["up"]["kernel"].std() == pytest.approx(0.02, rel=0.1)
  assert params["word"]["embedding"].std() == pytest.approx(0.02, rel=0.1)
  assert not layer["attention"]["query"]["bias"].any()
  assert (layer["mlp_norm"]["scale"] == 1).all()


def test_remat_recomputes_and_changes_no_number(variant, params, rows):
  def loss(params, config):
    hidden, _ = transformer.encode(config, params, rows(4, 6), None)
    return jnp.square(hidden).sum()

  found = []
  for remat in transformer_config.REMATS:
    traced = jax.jit(jax.value_and_grad(loss), static_argnums=1).trace(
      params, variant(depth=1, remat=remat)
    )
    assert ("remat" in str(traced.jaxpr)) == bool(remat)
    found.append(traced.lower().compile()(params))
  for other in found[1:]:
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
      found[0],
      other,
    )


def test_remat_stores_less(variant, params, rows):
  def kept(remat):
    config = variant(remat=remat)
    _, back = jax.vjp(
      lambda p: transformer.encode(config, p, rows(4, 6), None)[0], params
    )
    return back

  sizes = [
    sum(x.size for x in jax.tree.leaves(jax.eval_shape(lambda r=r: kept(r))))
    for r in ("layers", "matmuls", "")
  ]
  assert sizes[0] < sizes[1] < sizes[2]


def test_bfloat16_is_close(variant, params, rows, encode):
  config, tokens = variant(dtype="bfloat16"), rows(4, 6)
  exact, _ = encode(variant(), params, tokens, None)
  found, _ = encode(config, params, tokens, None)
  assert found.dtype == jnp.bfloat16
  error = unpadded(found.astype(np.float32), tokens) - unpadded(exact, tokens)
  assert np.abs(error).mean() < 0.02

  # Float32 parameters must not lift a matrix product to float32.
  weights = {"params": params["layer_0"]["mlp"]}
  out_TD = transformer.Mlp(config).apply(
    weights, jnp.ones((14, 8), jnp.bfloat16)
  )
  assert out_TD.dtype == jnp.bfloat16


def test_dropout_follows_its_key(variant, params, rows, encode):
  tokens = rows(4, 6)

  def hidden(key):
    return np.asarray(encode(variant(depth=1), params, tokens, key)[0])

  first, second = jax.random.split(jax.random.key(0))
  np.testing.assert_array_equal(hidden(first), hidden(first))
  assert not np.array_equal(hidden(first), hidden(second))
  assert not np.array_equal(hidden(first), hidden(None))


def test_layers_are_traced_once_and_drop_each_on_its_own(
  variant, params, rows, encode, monkeypatch
):
  """What is added to 0 before a norm is 1; its sign says what was dropped."""
  traced, gelu = [], transformer.gelu
  monkeypatch.setattr(
    transformer, "gelu", lambda x: traced.append(x) or gelu(x)
  )
  layer = jax.tree.map(jnp.zeros_like, params["layer_0"])
  layer["mlp"]["down"]["bias"] = layer["mlp_norm"]["scale"] = jnp.ones(8)
  alike = params | {"layer_0": layer, "layer_1": layer}
  _, out = encode(variant(dropout=0.5), alike, rows(4, 6), jax.random.key(0))
  first, second = (np.asarray(x) > 0 for x in out["layers"])
  assert 0.2 < (first != second).mean() < 0.8
  assert len(traced) == 1


def test_attention_weights_are_dropped_behind_the_softmax(variant):
  """Even weights on values of 1: what stays of 7 weights counts double."""
  c = variant(dropout=0.0, attention_dropout=0.5)
  even = {"kernel": jnp.zeros((8, 8)), "bias": jnp.zeros(8)}
  weights = {
    "query": even,
    "key": even,
    "value": even | {"bias": jnp.ones(8)},
    "output": even | {"kernel": jnp.eye(8)},
  }
  out_TD = transformer.Attention(c).apply(
    {"params": weights},
    jnp.ones((14, 8)),
    jnp.ones((2, 1, 7, 7), bool),
    False,
    rngs={"dropout": jax.random.key(0)},
  )
  kept = np.asarray(out_TD) * 7 / 2
  np.testing.assert_allclose(kept, kept.round(), atol=1e-5)
  assert len(np.unique(kept.round())) > 3


def test_gelu_is_the_exact_one():
  x = jnp.linspace(-6, 6, 101)
  exact = jax.nn.gelu(x, approximate=False)
  np.testing.assert_allclose(transformer.gelu(x), exact, atol=1e-6)
  assert np.abs(transformer.gelu(x) - jax.nn.gelu(x)).max() > 1e-4


def test_which_layers():
  assert transformer.first_layers(3) == (0, 1, 2)
  assert transformer.spread_layers(2, 6) == (0, 5)
  assert transformer.spread_layers(4, 12) == (0, 3, 7, 11)
  assert transformer.spread_layers(6, 6) == transformer.first_layers(6)
  with pytest.raises(ValueError, match="7 layers over 6"):
    transformer.spread_layers(7, 6)


def test_a_config_that_cannot_be(variant):
  with pytest.raises(ValueError, match=r"'float16'; known: float32, bfloat16"):
    variant(dtype="float16")
  with pytest.raises(ValueError, match=r"width 8 .* 3 heads"):
    variant(heads=3)
