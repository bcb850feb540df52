"""Cross-encoder: head, leading axes, corners."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax.batch import Tokens
from prod_jax.models import texts
from prod_jax.models.cross import CrossEncoder


@pytest.fixture
def config(variant):
  """One layer: that there are more is the business of transformer_test.py."""
  return variant(depth=1)


@pytest.fixture(scope="module")
def trees(params):
  head = {
    "kernel": np.linspace(-1, 1, 8, dtype=np.float32)[:, None],
    "bias": np.float32([0.25]),
  }
  return {"encoder": params, "head": head}


@pytest.mark.parametrize("pooling", texts.POOLINGS)
def test_score_is_linear_in_the_pooled_state(
  config, params, trees, rows, encode, score, pooling
):
  pair = rows(4, 6)
  found = score(CrossEncoder(config, pooling), trees, pair)
  hidden, _ = encode(config, params, pair, None)
  pooled = texts.pool(hidden, pair, pooling)
  expected = np.asarray(pooled) @ np.linspace(-1, 1, 8) + 0.25
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_leading_axes(config, trees, rows, score):
  model, flat = CrossEncoder(config, "cls"), rows(4, 6)
  expected = score(model, trees, flat)
  pair = Tokens(*(x.reshape(2, 1, 7) for x in flat))
  found = score(model, trees, pair)
  assert found.shape == (2, 1)
  np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)
  one = score(model, trees, Tokens(*(x[0] for x in flat)))
  np.testing.assert_allclose(one, expected[0], atol=1e-6)
  assert one.shape == ()


def test_the_type_tells_query_from_passage(config, trees, rows, score):
  pair = rows(4, 6)
  model = CrossEncoder(config, "cls")
  plain = pair._replace(type=np.zeros_like(pair.type))
  found, other = score(model, trees, pair), score(model, trees, plain)
  assert not np.allclose(found, other)


def test_init_of_the_head(variant):
  model = CrossEncoder(variant(width=512, vocab_size=2, depth=1), "cls")
  params = model.init(jax.random.key(0))
  assert set(params) == {"encoder", "head"}
  assert params["head"]["kernel"].shape == (512, 1)
  assert float(params["head"]["kernel"].std()) == pytest.approx(0.02, 0.15)
  assert params["head"]["bias"].tolist() == [0.0]


def test_dropout_asks_for_a_key_and_scores_are_float32(
  variant, trees, rows, score
):
  model, pair = (
    CrossEncoder(variant(dtype="bfloat16", depth=1), "mean"),
    rows(4, 6),
  )
  found = score(model, trees, pair)
  assert found.dtype == jnp.float32
  assert not np.allclose(found, score(model, trees, pair, jax.random.key(0)))


def test_a_row_of_padding_has_finite_gradients(variant, trees, rows):
  model = CrossEncoder(variant(depth=1), "mean")
  grads = jax.jit(
    jax.grad(lambda trees: model.score(trees, rows(4, 0))[0].sum())
  )(trees)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(grads))


def test_unknown_pooling(config):
  with pytest.raises(ValueError, match="pooling is 'sum'; known: cls, mean"):
    CrossEncoder(config, "sum")
  assert hash(CrossEncoder(config, "cls")) == hash(CrossEncoder(config, "cls"))
