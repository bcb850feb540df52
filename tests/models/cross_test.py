"""Cross-encoder: head, leading axes, corners."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax.batch import Tokens
from prod_jax.models import bert
from prod_jax.models.cross import CrossEncoder


@pytest.fixture(scope="module")
def trees(params):
  head = {
    "kernel": np.linspace(-1, 1, 8, dtype=np.float32)[:, None],
    "bias": np.float32([0.25]),
  }
  return {"encoder": params, "head": head}


@pytest.mark.parametrize("pooling", bert.POOLINGS)
def test_score_is_linear_in_the_pooled_state(
  config, params, trees, rows, pooling
):
  pair = rows(4, 6)
  found = CrossEncoder(config, pooling).score(trees, pair)
  hidden, _ = bert.encode(config, params, pair, None)
  pooled = bert.pool(hidden, jnp.asarray(pair.segment), pooling)
  expected = pooled @ np.linspace(-1, 1, 8) + 0.25
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_leading_axes(config, trees, rows):
  model, flat = CrossEncoder(config, "cls"), rows(4, 6, 2, 7, 1, 3)
  pair = Tokens(*(x.reshape(2, 3, 7) for x in flat))
  found, expected = model.score(trees, pair), model.score(trees, flat)
  assert found.shape == (2, 3)
  np.testing.assert_allclose(found.ravel(), expected, atol=1e-6)
  one = model.score(trees, Tokens(*(x[0] for x in flat)))
  assert one.shape == ()


def test_the_type_tells_query_from_passage(config, trees, rows):
  pair = rows(6)
  model = CrossEncoder(config, "cls")
  plain = pair._replace(type=np.zeros_like(pair.type))
  assert model.score(trees, pair) != model.score(trees, plain)


def test_init_of_the_head(variant):
  model = CrossEncoder(variant(width=512, vocab_size=2), "cls")
  params = model.init(jax.random.key(0))
  assert set(params) == {"encoder", "head"}
  assert params["head"]["kernel"].shape == (512, 1)
  assert float(params["head"]["kernel"].std()) == pytest.approx(0.02, 0.15)
  assert params["head"]["bias"].tolist() == [0.0]


def test_padding_rows_dropout_and_dtype(variant, trees, rows):
  model = CrossEncoder(variant(dtype="bfloat16", depth=1), "mean")

  def loss(trees, key):
    scores = model.score(trees, rows(4, 0), dropout_key=key)
    assert scores.dtype == jnp.float32
    return scores.sum()

  key = jax.random.key(0)
  assert loss(trees, None) == loss(trees, None) != loss(trees, key)
  grads = jax.jit(jax.grad(loss))(trees, None)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(grads))


def test_unknown_pooling(config):
  with pytest.raises(ValueError, match="pooling is 'max'; known: cls, mean"):
    CrossEncoder(config, "max")
  assert hash(CrossEncoder(config, "cls")) == hash(CrossEncoder(config, "cls"))
