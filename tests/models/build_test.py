"""Encoders of each kind, and what of their parameters is loaded or drawn."""

import functools

import jax
import numpy as np
import pytest

from prod_jax import model_kinds
from prod_jax.models import build
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.dual import DualEncoder
from prod_jax.models.late import LateInteraction

SHAPE = dict(width=8, depth=2, heads=2, mlp_width=16)
KEY = jax.random.key(7)


def made(config, cls, mask_id=lambda: 3, **own):
  kind = cls.__name__.lower()
  if cls is model_kinds.Dual:  # which a folder or a default has filled in
    own = dict(pooling="cls", similarity="dot") | own
  return build.encoder_of(cls(kind=kind, **SHAPE, **own), config, mask_id)


def test_each_kind_is_its_encoder(config):
  dual = made(
    config,
    model_kinds.Dual,
    tied=False,
    pooling="mean",
    similarity="cosine",
    scale=20.0,
  )
  assert dual == DualEncoder(config, False, "mean", "cosine", 20.0)
  late = made(config, model_kinds.Late, projection=4, mask_queries=True)
  assert late == LateInteraction(config, True, 4, mask_id=3)
  for cls in (model_kinds.Cross, model_kinds.Pairwise):
    assert made(config, cls, pooling="mean") == CrossEncoder(config, "mean")


def test_a_vocabulary_is_asked_only_for_a_mask_that_is_read(config):
  def absent():
    raise AssertionError("no tokenizer is here")

  late = made(config, model_kinds.Late, absent)
  assert late.mask_id is None


@pytest.mark.parametrize(
  ("cls", "own", "towers", "heads"),
  [
    (model_kinds.Dual, {}, {"encoder"}, set()),
    (model_kinds.Dual, dict(tied=False), {"query", "passage"}, set()),
    (model_kinds.Cross, {}, {"encoder"}, {"head"}),
    (
      model_kinds.Late,
      dict(tied=False, projection=4),
      {"query", "passage"},
      {"projection"},
    ),
  ],
)
def test_towers_are_loaded_and_heads_are_those_of_init(
  config, params, cls, own, towers, heads
):
  encoder = made(config, cls, **own)
  found = build.init_around(encoder, params, {}, KEY)
  assert found.keys() == towers | heads
  assert jax.tree.map(np.shape, found) == jax.tree.map(
    lambda x: x.shape, build.shapes_of(encoder)
  )
  drawn = encoder.init(KEY)
  for part in found:
    expected = params if part in towers else drawn[part]
    # One is compiled, the other is not.
    jax.tree.map(
      functools.partial(np.testing.assert_allclose, rtol=1e-6),
      found[part],
      expected,
    )
