"""Candidate lists scored by a cross-encoder, each pair once."""

import functools
from typing import Any

import jax
import numpy as np

from prod_jax import config
from prod_jax.batch import Tokens
from prod_jax.data import tokens
from prod_jax.data.loader import pair_length
from prod_jax.models.cross import CrossEncoder
from prod_jax.retrieval import buckets


@functools.partial(jax.jit, static_argnums=0)
def _score(model: CrossEncoder, params: Any, pairs: Tokens) -> jax.Array:
  return model.score(params, pairs)


def score_lists(
  model: CrossEncoder,
  params: Any,
  queries: tokens.TokenStore,
  passages: tokens.TokenStore,
  query_rows: np.ndarray,
  ids_QC: np.ndarray,
  special: tokens.Special,
  *,
  lengths: config.Data,
  batch_tokens: int,
  mesh: jax.sharding.Mesh,
) -> np.ndarray:
  """Scores each query with each passage of its list.

  Args:
    query_rows: int [Q], rows of `queries`.
    ids_QC: int [Q, C], rows of `passages`, -1 on padding.

  Returns:
    float32 [Q, C], NaN on padding. Raw logits.
  """
  line, column = np.nonzero(ids_QC >= 0)
  query, passage = query_rows[line], ids_QC[line, column]
  query_length = np.minimum(queries.lengths() + 2, lengths.query_length)
  # [CLS] query [SEP] passage [SEP]: the passage brings one more token.
  total = query_length[query] + passages.lengths()[passage] + 1

  def pairs(rows: np.ndarray, length: int) -> Tokens:
    return tokens.pair(
      [queries[int(query[i])] for i in rows],
      [passages[int(passage[i])] for i in rows],
      lengths.query_length,
      length,
      special,
    )

  scores = buckets.run(
    lambda rows: _score(model, params, rows),
    pairs,
    total,
    longest=pair_length(lengths),
    batch_tokens=batch_tokens,
    mesh=mesh,
    width=None,
  )
  out = np.full(ids_QC.shape, np.nan, np.float32)
  out[line, column] = scores
  return out
