"""How a batch becomes a matrix of scores, the same for every method.

Two candidate sets exist. In-batch: each query against all P = B * N passages
of the global batch, one matmul that the compiler distributes. Own list: each
query against its own N candidates.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from prod_jax.batch import Batch
from prod_jax.losses import contrastive
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.dual import DualEncoder

PyTree = Any
Encoder = DualEncoder | CrossEncoder


class Sources(NamedTuple):
  """What a stage offers to learn from besides labels, cached or in the step."""

  teacher: bool
  anchor: bool


class Columns(NamedTuple):
  """What the columns of a score matrix mean.

  Attributes:
    target_B: int32, the column of the positive.
    where_BX: bool, False where a column must not count: padding, another copy
      of the positive, or another labelled positive.
  """

  target_B: jax.Array
  where_BX: jax.Array


def columns(batch: Batch, *, in_batch: bool) -> Columns:
  """The columns of P passages, or of the query's own N."""
  B, N = batch.passage_id_BN.shape
  if not in_batch:
    return Columns(jnp.zeros(B, jnp.int32), batch.where_BN)
  target_B = jnp.arange(B, dtype=jnp.int32) * N
  return Columns(
    target_B,
    contrastive.in_batch_where(
      batch.positive_id_BM, batch.passage_id_BN.reshape(-1), target_B
    ),
  )


def score(
  model: Encoder,
  params: PyTree,
  batch: Batch,
  *,
  in_batch: bool,
  dropout_key: jax.Array | None = None,
) -> jax.Array:
  """Scores of a batch, [B, P] in-batch or [B, N] over the own list.

  A cross-encoder has only own lists: it reads each pair by itself.
  """
  if isinstance(model, CrossEncoder):
    return model.score(params, batch.pair, dropout_key=dropout_key)
  keys = (None, None) if dropout_key is None else jax.random.split(dropout_key)
  query_BD, _ = model.embed(params, batch.query, "query", dropout_key=keys[0])
  passage_BND, _ = model.embed(
    params, batch.passage, "passage", dropout_key=keys[1]
  )
  return dot(query_BD, passage_BND, in_batch=in_batch)


def dot(
  query_BD: jax.Array, passage_BND: jax.Array, *, in_batch: bool
) -> jax.Array:
  """Scores of embeddings over either candidate set."""
  if in_batch:
    passage_PD = passage_BND.reshape(-1, passage_BND.shape[-1])
    return contrastive.in_batch_scores(query_BD, passage_PD)
  return contrastive.own_list_scores(query_BD, passage_BND)


def frozen_scores(
  model: Encoder | None,
  params: PyTree,
  batch: Batch,
  cached: jax.Array | None,
  *,
  in_batch: bool,
) -> jax.Array:
  """Scores of a model that is not trained: cached ones, else computed here.

  The one place where they are cut off from the gradient.
  """
  if cached is None:
    cached = score(model, params, batch, in_batch=in_batch)
  return jax.lax.stop_gradient(cached)
