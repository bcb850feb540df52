"""Candidates scored by a model that reads them with their query, each once.

A cross-encoder reads query and passage, or query and two passages, in one
row; a late-interaction model embeds both and compares them here, because
token vectors of a whole collection are no part of this package.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from prod_jax.batch import Packed, Tokens
from prod_jax.batches import rows as layout
from prod_jax.batches.store import Slices, TokenStore
from prod_jax.losses import max_sim
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.late import LateInteraction
from prod_jax.retrieval import forward
from prod_jax.retrieval.forward import FrozenModel, Watch


@functools.partial(jax.jit, static_argnums=0)
def score_pairs(
  model: CrossEncoder, params: Any, pairs: Tokens | Packed
) -> jax.Array:
  """Logits [n] of pairs [n, L], or [1, n] of Packed ones."""
  return model.score(params, pairs)[0]


@functools.partial(jax.jit, static_argnums=0)
def score_late_pairs(
  model: LateInteraction, params: Any, rows: tuple[Tokens, Tokens]
) -> jax.Array:
  """Scores [R] of queries and passages, [R, L] each."""
  query, _ = model.embed(params, rows[0], "query")
  passage, _ = model.embed(params, rows[1], "passage")
  own_list = (x[:, None] for x in passage)
  return max_sim.own_list_scores(*query, *own_list)[:, 0]


def score_lists(
  frozen: FrozenModel,
  queries: TokenStore,
  passages: TokenStore,
  query_rows: np.ndarray,
  ids_QC: np.ndarray,
  watch: Watch | None = None,
) -> np.ndarray:
  """Scores each query with each passage of its list.

  Args:
    frozen: a cross-encoder or a late-interaction model.
    queries, passages: tokens by row.
    query_rows: int [Q], rows of `queries`.
    ids_QC: int [Q, C], rows of `passages`, -1 on padding.
    watch: as of `forward.over_texts`; a text is a pair.

  Returns:
    float32 [Q, C], NaN on padding. Raw logits, or sums of similarities.
  """
  line, column = np.nonzero(ids_QC >= 0)
  query, passage = query_rows[line], ids_QC[line, column]
  out = np.full(ids_QC.shape, np.nan, np.float32)
  # What is not finite would stand there as if nobody had been asked.
  with forward.named(query=query, passage=passage):
    out[line, column] = score_texts(
      frozen,
      queries.slices(query),
      [passages.anew().slices(passage)],
      watch,
    )
  return out


def in_order(
  ids_QC: np.ndarray, scores_QC: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Lists by their scores, equal ones in the order that they had.

  Args:
    ids_QC: rows, -1 on padding, which comes last.
    scores_QC: of each.
  """
  key_QC = np.where(ids_QC >= 0, -scores_QC, np.inf)
  order = np.argsort(key_QC, axis=1, kind="stable")
  return (
    np.take_along_axis(ids_QC, order, axis=1),
    np.take_along_axis(scores_QC, order, axis=1),
  )


def score_texts(
  frozen: FrozenModel,
  query: Slices,
  passages: Sequence[Slices],
  watch: Watch | None = None,
) -> np.ndarray:
  """Scores query i with passage i, or passages i for a pairwise model.

  Args:
    frozen: a cross-encoder, pairwise or not, or a late-interaction model.
    query: [n].
    passages: one [n], or two.
    watch: as of `forward.over_texts`.

  Returns:
    float32 [n]. A pairwise model's are positive where the first is better.
  """
  model, data, special = frozen.model, frozen.data, frozen.special
  if isinstance(model, LateInteraction):
    return _late_scores(frozen, model, query, passages[0], watch)
  if len(passages) == 1:
    longest = layout.pair_length(data)
    texts = layout.pair(query, passages[0], data.query_length, longest, special)
  else:
    longest = layout.triple_length(data)
    limits = data.query_length, data.passage_length
    texts = layout.triple(query, passages[0], passages[1], limits, special)
  return forward.over_texts(
    frozen,
    lambda params, texts: score_pairs(model, params, texts),
    texts,
    longest,
    watch=watch,
  )


def _late_scores(
  frozen: FrozenModel,
  model: LateInteraction,
  query: Slices,
  passage: Slices,
  watch: Watch | None,
) -> np.ndarray:
  """The same of a model whose queries and passages have rows of their own."""
  data = frozen.data
  queries = layout.single(query, data.query_length, frozen.special)
  passages = layout.single(passage, data.passage_length, frozen.special)

  def rows(numbers: np.ndarray, length: int) -> tuple[Tokens, Tokens]:
    return (
      layout.padded(queries.at(numbers), data.query_length),
      layout.padded(passages.at(numbers), length),
    )

  return forward.over_rows(
    frozen,
    lambda params, texts: score_late_pairs(model, params, texts),
    rows,
    passages.lengths,
    data.passage_length,
    watch=watch,
  )
