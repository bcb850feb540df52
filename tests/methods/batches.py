"""Tiny encoders and random batches for the tests of this room."""

import numpy as np

from prod_jax.batch import Batch, Tokens
from prod_jax.models.bert import BertConfig
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.dual import DualEncoder

VOCAB, B, N, M = 50, 8, 3, 2
BERT = BertConfig(
  vocab_size=VOCAB,
  width=16,
  depth=1,
  heads=2,
  mlp_width=32,
  max_positions=16,
  dropout=0.1,
  attention_dropout=0.1,
)
DUAL = DualEncoder(
  bert=BERT, tied=True, pooling="mean", similarity="cosine", scale=20.0
)
CROSS = CrossEncoder(bert=BERT, pooling="cls")


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
