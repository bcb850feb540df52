"""Late interaction: shapes, towers, projection, query augmentation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax.batch import Tokens
from prod_jax.losses import max_sim
from prod_jax.models.late import LateInteraction

MASK = 4


def model_of(config, **changes):
  return LateInteraction(**{"transformer": config, "tied": True, **changes})


@pytest.fixture
def config(variant):
  """One layer: that there are more is the business of transformer_test.py."""
  return variant(depth=1)


@pytest.fixture(scope="module")
def call():
  return jax.jit(
    lambda model, params, tokens, tower: model.embed(params, tokens, tower),
    static_argnums=(0, 3),
  )


def norms(vectors):
  return np.linalg.norm(vectors, axis=-1)


@pytest.mark.parametrize(("projection", "width"), [(0, 8), (5, 5)])
def test_every_token_has_a_unit_vector(variant, rows, call, projection, width):
  config = variant(depth=2)
  model = model_of(config, projection=projection)
  params = model.init(jax.random.key(0))
  tokens = rows(3, 7)
  (vectors, where), out = call(model, params, tokens, "passage")
  assert vectors.shape == (2, 7, width)
  assert vectors.dtype == np.float32
  np.testing.assert_allclose(norms(vectors), 1, rtol=1e-5)
  np.testing.assert_array_equal(where, tokens.segment != 0)
  np.testing.assert_array_equal(out["layers"][-1].vectors, vectors)
  assert len(out["layers"]) == config.depth


def test_a_projection_is_the_only_parameter_of_its_own(config):
  key = jax.random.key(0)
  assert set(model_of(config).init(key)) == {"encoder"}
  untied = model_of(config, tied=False, projection=5).init(key)
  assert set(untied) == {"query", "passage", "projection"}
  assert untied["projection"]["kernel"].shape == (8, 5)
  word = [
    np.array(untied[t]["word"]["embedding"]) for t in ("query", "passage")
  ]
  assert (word[0] != word[1]).any()


def test_untied_towers_read_their_own_weights(config, rows, call):
  model = model_of(config, tied=False)
  params = model.init(jax.random.key(0))
  (query, _), _ = call(model, params, rows(5), "query")
  swapped = {"query": params["passage"], "passage": params["query"]}
  (passage, _), _ = call(model, swapped, rows(5), "passage")
  np.testing.assert_allclose(query, passage, rtol=1e-5)
  (other, _), _ = call(model, params, rows(5), "passage")
  assert np.abs(query - other).max() > 1e-3


def test_padding_of_queries_becomes_masks_that_take_part(config, rows, call):
  model = model_of(config, mask_id=MASK)
  params = model.init(jax.random.key(0))
  tokens = rows(3)
  (vectors, where), _ = call(model, params, tokens, "query")
  assert where.all()
  ids = tokens.ids.copy()
  ids[0, 3:] = MASK
  full = tokens._replace(ids=ids, segment=np.ones_like(tokens.segment))
  plain = model_of(config)
  (wanted, _), _ = call(plain, params, full, "query")
  np.testing.assert_allclose(vectors, wanted, rtol=1e-5)
  (_, passage_where), _ = call(model, params, tokens, "passage")
  assert passage_where.sum() == 3


def test_hidden_masks_read_the_query_and_nothing_reads_them(config, rows, call):
  model = model_of(config, mask_id=MASK, hide_masks=True)
  params = model.init(jax.random.key(0))
  tokens = rows(3, 7)
  (vectors, where), _ = call(model, params, tokens, "query")
  assert where.all()
  (plain, _), _ = call(model_of(config), params, tokens, "query")
  np.testing.assert_allclose(vectors[0, :3], plain[0, :3], rtol=1e-5)
  np.testing.assert_allclose(vectors[1], plain[1], rtol=1e-5)
  other = tokens.ids.copy()
  other[0, 1] += 1
  changed = tokens._replace(ids=other)
  (found, _), _ = call(model, params, changed, "query")
  assert (np.abs(found - vectors)[0].max(axis=-1) > 1e-4).all()


def test_skipped_tokens_are_those_of_passages(config, rows, call):
  tokens = rows(3, 7)
  skip = tuple({int(tokens.ids[0, 1]), int(tokens.ids[1, 4])})
  model = model_of(config, skip_ids=skip)
  params = model.init(jax.random.key(0))
  (vectors, where), _ = call(model, params, tokens, "passage")
  left = (tokens.segment != 0) & ~np.isin(tokens.ids, skip)
  np.testing.assert_array_equal(where, left)
  (plain, _), _ = call(model_of(config), params, tokens, "passage")
  np.testing.assert_array_equal(vectors, plain)
  (_, where), _ = call(model, params, tokens, "query")
  np.testing.assert_array_equal(where, tokens.segment != 0)


def test_the_content_of_padding_does_not_matter(config, rows, call):
  params = model_of(config).init(jax.random.key(0))
  tokens = rows(3, 5)
  dirty = tokens._replace(ids=np.where(tokens.segment == 0, 9, tokens.ids))
  for mask_id, tower in ((None, "passage"), (MASK, "query")):
    model = model_of(config, mask_id=mask_id)
    (wanted, where), _ = call(model, params, tokens, tower)
    (found, _), _ = call(model, params, dirty, tower)
    np.testing.assert_allclose(found[where], wanted[where], rtol=1e-5)


def test_masks_keep_their_positions(config, params, rows, call):
  model = model_of(config, mask_id=MASK)
  tokens = rows(3)
  line = np.arange(7, dtype=np.int32)[None]
  (vectors, _), _ = call(
    model, {"encoder": params}, tokens._replace(position=line), "query"
  )
  gaps = norms(np.diff(vectors[0, 3:], axis=0))
  assert (gaps > 1e-3).all()


def test_leading_axes(config, params, rows, call):
  model, trees = model_of(config), {"encoder": params}
  flat = rows(3, 5)
  (wanted, where), _ = call(model, trees, flat, "passage")
  tokens = Tokens(*(x.reshape(2, 1, 7) for x in flat))
  (found, found_where), out = call(model, trees, tokens, "passage")
  np.testing.assert_allclose(found[:, 0], wanted, atol=1e-6)
  np.testing.assert_array_equal(found_where[:, 0], where)
  assert out["layers"][0].vectors.shape == (2, 1, 7, config.width)


def test_vectors_are_float32_and_dropout_asks_for_a_key(variant, rows):
  model = model_of(variant(depth=1, dtype="bfloat16"))
  trees = model.init(jax.random.key(0))
  embed = jax.jit(
    lambda key: model.embed(trees, rows(4), "query", dropout_key=key)[0].vectors
  )
  found = embed(None)
  assert found.dtype == jnp.float32
  assert not np.array_equal(found, embed(jax.random.key(0)))


def test_rows_of_padding_have_a_finite_gradient(config, rows):
  model = model_of(config, projection=5)
  trees = model.init(jax.random.key(0))

  def total(trees):
    query, _ = model.embed(trees, rows(3, 0), "query")
    passage, _ = model.embed(trees, rows(0, 6), "passage")
    return max_sim.in_batch_scores(*query, *passage)

  scores = jax.jit(total)(trees)
  assert scores[0, 1] != 0 and not scores[1].any() and not scores[:, 0].any()
  grad = jax.jit(jax.grad(lambda trees: total(trees).sum()))(trees)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(grad))
  assert np.any(grad["projection"]["kernel"])
