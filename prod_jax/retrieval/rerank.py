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

from prod_jax import config, sharding
from prod_jax.batch import Packed, Tokens
from prod_jax.data import rows as layout
from prod_jax.data import tokens
from prod_jax.data.store import Slices, TokenStore
from prod_jax.losses import max_sim
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.late import LateInteraction
from prod_jax.retrieval import buckets, packed


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
  model: CrossEncoder | LateInteraction,
  copies: sharding.Copies,
  queries: TokenStore,
  passages: TokenStore,
  query_rows: np.ndarray,
  ids_QC: np.ndarray,
  special: tokens.Special,
  *,
  lengths: config.Data,
  batch_tokens: int,
) -> np.ndarray:
  """Scores each query with each passage of its list.

  Args:
    query_rows: int [Q], rows of `queries`.
    ids_QC: int [Q, C], rows of `passages`, -1 on padding.

  Returns:
    float32 [Q, C], NaN on padding. Raw logits, or sums of similarities.
  """
  line, column = np.nonzero(ids_QC >= 0)
  out = np.full(ids_QC.shape, np.nan, np.float32)
  out[line, column] = score_texts(
    model,
    copies,
    queries.slices(query_rows[line]),
    [passages.slices(ids_QC[line, column])],
    special,
    lengths=lengths,
    batch_tokens=batch_tokens,
  )
  return out


def score_texts(
  model: CrossEncoder | LateInteraction,
  copies: sharding.Copies,
  query: Slices,
  passages: Sequence[Slices],
  special: tokens.Special,
  *,
  lengths: config.Data,
  batch_tokens: int,
) -> np.ndarray:
  """Scores query i with passage i, or passages i for a pairwise model.

  Args:
    query: [n].
    passages: one [n], or two.

  Returns:
    float32 [n]. A pairwise model's are positive where the first is better.
  """
  common = dict(batch_tokens=batch_tokens, copies=copies, width=None)
  if isinstance(model, LateInteraction):
    longest = lengths.passage_length
    query = layout.single(query, lengths.query_length)
    passage = layout.single(passages[0], longest)

    def rows(numbers: np.ndarray, length: int) -> tuple[Tokens, Tokens]:
      return (
        layout.padded(query.at(numbers), lengths.query_length, special),
        layout.padded(passage.at(numbers), length, special),
      )

    return buckets.run(
      lambda params, texts: score_late_pairs(model, params, texts),
      rows,
      passage.lengths,
      longest=longest,
      **common,
    )
  if len(passages) == 1:
    longest = layout.pair_length(lengths)
    texts = layout.pair(query, *passages, lengths.query_length, longest)
  else:
    longest = layout.triple_length(lengths)
    limits = lengths.query_length, lengths.passage_length
    texts = layout.triple(query, *passages, *limits)
  return packed.run(
    lambda params, texts: score_pairs(model, params, texts),
    texts,
    special,
    longest=longest,
    data=lengths,
    **common,
  )
