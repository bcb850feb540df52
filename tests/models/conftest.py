"""A tiny encoder whose weights are a formula, and rows of tokens for it."""

import dataclasses

import jax
import numpy as np
import pytest

from prod_jax.batch import Tokens
from prod_jax.models import transformer
from prod_jax.models.transformer import TransformerConfig

TINY = TransformerConfig(
  vocab_size=13, width=8, depth=2, heads=2, mlp_width=16, max_positions=12
)


@pytest.fixture(scope="session")
def config() -> TransformerConfig:
  return TINY


@pytest.fixture(scope="session")
def params():
  """Weights far from those of `init`, so that nothing vanishes."""
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: rng.normal(0, 0.5, x.shape).astype(np.float32),
    transformer.shapes(TINY),
  )


@pytest.fixture(scope="session")
def rows():
  """A function of lengths: one text a row, padded to `width` tokens."""

  def make(*lengths: int, width: int = 7, seed: int = 0) -> Tokens:
    rng = np.random.default_rng(seed)
    shape = (len(lengths), width)
    ids = np.zeros(shape, np.int32)
    segment, position, kind = (np.zeros(shape, np.int32) for _ in range(3))
    for row, length in enumerate(lengths):
      ids[row, :length] = rng.integers(1, 13, length)
      segment[row, :length] = 1
      position[row, :length] = np.arange(length)
      kind[row, length // 2 : length] = 1
    return Tokens(ids, segment, position, kind)

  return make


@pytest.fixture(scope="session")
def encode():
  """`transformer.encode`, compiled."""
  return transformer.encode


@pytest.fixture(scope="session")
def embed():
  """`embed(model, params, tokens, tower, key)`, compiled."""

  def call(model, params, tokens, tower, key=None):
    return model.embed(params, tokens, tower, dropout_key=key)

  return call


@pytest.fixture(scope="session")
def score():
  """`score(model, params, pair, key)`, compiled."""

  def call(model, params, pair, key=None):
    return model.score(params, pair, dropout_key=key)[0]

  return call


@pytest.fixture(scope="session")
def variant():
  """A function that changes fields of the tiny config."""
  return lambda **fields: dataclasses.replace(TINY, **fields)
