"""Configs whose weights, tokenizer and data are elsewhere."""

import dataclasses

import pytest

from prod_jax import config, model_kinds, strict
from prod_jax.plan import shapes
from prod_jax.sets.sizes import Size

SHAPE = dict(width=8, heads=2, mlp_width=16, vocab_size=50)


def run_of(**model):
  models = {"m": model_kinds.Dual(kind="dual", **model)}
  return config.Config(1, config.Data(), config.Mesh(), models, {})


def test_a_shape_stands_for_weights_that_are_not_here():
  model = dict(SHAPE, weights="models/elsewhere", layers=(0, 2, 5))
  known = shapes.known(run_of(**model)).models["m"]
  assert (known.weights, known.layers, known.depth) == ("", (), 3)
  assert known.vocab_size == 50


def test_what_has_no_weights_stays():
  run = run_of(**SHAPE, depth=2)
  assert shapes.known(run) == run


@pytest.mark.parametrize(
  ("model", "message"),
  [
    (dict(heads=2), r"m: weights 'elsewhere' .* give width, depth, mlp_width"),
    (SHAPE, "give depth"),
  ],
)
def test_what_of_a_shape_is_missing_is_named(model, message):
  with pytest.raises(strict.ConfigError, match=message):
    shapes.known(run_of(weights="elsewhere", **model))


def test_counts_are_published_given_or_unknown():
  data = config.Data(name="folder", path="somewhere")
  assert shapes.size_of(data) == Size(0, {})
  given = shapes.size_of(data, passages=100, queries=7)
  assert given.passages == 100
  assert given.queries == dict(train=7, dev=7, test=7)


def test_limits_of_the_config_hold():
  data = config.Data(max_passages=50, max_queries={"train": 5})
  assert shapes.size_of(data, passages=100, queries=7) == Size(
    50, dict(train=5, dev=7, test=7)
  )
  assert shapes.size_of(data, passages=20).passages == 20
  data = dataclasses.replace(data, max_passages=0)
  assert shapes.size_of(data) == Size(0, {"train": 5})
