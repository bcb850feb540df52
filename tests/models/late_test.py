"""Late interaction: shapes, towers, projection, query augmentation."""

import jax
import numpy as np
import pytest

from prod_jax.models.late import LateInteraction

MASK = 4


def model_of(config, **changes):
  return LateInteraction(**{"bert": config, "tied": True, **changes})


@pytest.fixture(scope="module")
def call():
  return jax.jit(
    lambda model, params, tokens, tower: model.embed(params, tokens, tower),
    static_argnums=(0, 3),
  )


def norms(vectors):
  return np.linalg.norm(vectors, axis=-1)


@pytest.mark.parametrize(("projection", "width"), [(0, 8), (5, 5)])
def test_every_token_has_a_unit_vector(config, rows, call, projection, width):
  model = model_of(config, projection=projection)
  params = model.init(jax.random.key(0))
  tokens = rows(3, 7)
  (vectors, where), out = call(model, params, tokens, "passage")
  assert vectors.shape == (2, 7, width)
  assert vectors.dtype == np.float32
  np.testing.assert_allclose(norms(vectors), 1, rtol=1e-5)
  np.testing.assert_array_equal(where, tokens.segment != 0)
  last = model.project(params, out["layers"][-1])
  np.testing.assert_allclose(last, vectors, rtol=1e-6)
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
