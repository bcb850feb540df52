"""Tiny encoders and random batches for the tests of this room."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from prod_jax.batch import Batch, Tokens
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.dual import DualEncoder
from prod_jax.models.late import LateInteraction
from prod_jax.models.transformer import TransformerConfig
from prod_jax.train.step import Rng

VOCAB, B, N, M, J, G = 50, 8, 3, 2, 2, 2
BERT = TransformerConfig(
  vocab_size=VOCAB,
  width=16,
  depth=1,
  heads=2,
  mlp_width=32,
  max_positions=26,
  dropout=0.1,
  attention_dropout=0.1,
)
DUAL = DualEncoder(
  transformer=BERT, tied=True, pooling="mean", similarity="cosine", scale=20.0
)
CROSS = CrossEncoder(transformer=BERT, pooling="cls")
LATE = LateInteraction(transformer=BERT, tied=True, projection=8, mask_id=3)
# Teachers of more layers, and wider ones, than the students.
DEEP_BERT = dataclasses.replace(BERT, width=24, depth=3)
DEEP_DUAL = dataclasses.replace(DUAL, transformer=DEEP_BERT)
DEEP_CROSS = dataclasses.replace(CROSS, transformer=DEEP_BERT)
DEEP_LATE = dataclasses.replace(LATE, transformer=DEEP_BERT, projection=0)


def no_dropout(model):
  """The model with its rates at 0, so that the written formula applies."""
  transformer = dataclasses.replace(
    model.transformer, dropout=0.0, attention_dropout=0.0
  )
  return dataclasses.replace(model, transformer=transformer)


def rng(step: int = 0, seed: int = 1) -> Rng:
  """What a step hands to a loss."""
  key = jax.random.key(seed)
  return Rng(jax.random.fold_in(key, step), key, jnp.int32(step))


def tokens(rng: np.random.Generator, *shape: int) -> Tokens:
  """Random ids with random padding at the end of each row."""
  lengths = rng.integers(3, shape[-1] + 1, shape[:-1])
  segment = np.arange(shape[-1]) < lengths[..., None]
  return Tokens(
    ids=rng.integers(VOCAB, size=shape).astype(np.int32),
    segment=segment.astype(np.int32),
    position=np.broadcast_to(np.arange(shape[-1]), shape).astype(np.int32),
    type=np.zeros(shape, np.int32),
  )


def scores(seed: int, *shape: int) -> np.ndarray:
  """Random teacher scores."""
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def dark(seed: int = 6) -> dict[str, np.ndarray]:
  """The fields of dark examples; query 1 has one less."""
  where_BA = np.ones((B, G), bool)
  where_BA[1, 1] = False
  return {
    "dark": tokens(np.random.default_rng(seed), B, G, 10),
    "dark_scores_BA": scores(seed, B, G),
    "where_BA": where_BA,
  }


def preferences(seed: int = 7) -> dict[str, np.ndarray]:
  """The fields of a pairwise teacher; query 2 has no pair, query 3 one."""
  first_BJ = np.tile(np.array([0, 1], np.int32), (B, 1))
  second_BJ = np.tile(np.array([1, 2], np.int32), (B, 1))
  for fields in (first_BJ, second_BJ):
    fields[2], fields[3, 1] = -1, -1
  prefer_BJ = 1 / (1 + np.exp(-scores(seed, B, J)))
  return {
    "first_BJ": first_BJ,
    "second_BJ": second_BJ,
    "prefer_BJ": np.where(first_BJ >= 0, prefer_BJ, 0).astype(np.float32),
  }


def triples(seed: int = 8) -> dict[str, np.ndarray]:
  """The fields of a pairwise model's training; query 2 lacks a pair."""
  where_BJ = np.ones((B, J), bool)
  where_BJ[2, 1] = False
  return {
    "triple": tokens(np.random.default_rng(seed), B, J, 2, 26),
    "where_BJ": where_BJ,
  }


def batch(seed: int = 0, **cached: np.ndarray) -> Batch:
  """B queries, N candidates; passage 1 is a positive of query 0 and 1."""
  rng = np.random.default_rng(seed)
  ids = rng.permutation(100)[: B * N].reshape(B, N).astype(np.int32)
  ids[0, 0] = ids[1, 0] = 1
  ids[2, 2] = -1
  positives = np.full((B, M), -1, np.int32)
  positives[:, 0] = ids[:, 0]
  positives[3, 1] = ids[4, 1]
  return Batch(
    query=tokens(rng, B, 6),
    passage=tokens(rng, B, N, 10),
    pair=tokens(rng, B, N, 16),
    where_BN=ids >= 0,
    query_id_B=np.arange(B, dtype=np.int32),
    passage_id_BN=ids,
    positive_id_BM=positives,
    **cached,
  )
