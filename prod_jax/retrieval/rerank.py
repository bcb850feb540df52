"""Candidates scored by a model that reads them with their query, each once.

A cross-encoder reads query and passage, or query and two passages, in one
row; a late-interaction model embeds both and compares them here, because
token vectors of a whole collection are no part of this package.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from prod_jax import config, sharding
from prod_jax.batch import Packed, Tokens
from prod_jax.data import rows as layout
from prod_jax.data import tokens
from prod_jax.losses import max_sim
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.late import LateInteraction
from prod_jax.retrieval import buckets, packed


@runtime_checkable
class Store(Protocol):
  """Token ids by row, on disk or in memory."""

  def __getitem__(self, row: int) -> np.ndarray: ...

  def lengths(self) -> np.ndarray: ...


class Texts(NamedTuple):
  """Text i is row `rows[i]` of a store.

  Attributes:
    store: token ids by row.
    rows: int [n].
  """

  store: Store
  rows: np.ndarray

  def at(self, numbers: np.ndarray) -> list[np.ndarray]:
    """The token ids of those texts."""
    return [self.store[int(row)] for row in self.rows[numbers]]

  def lengths(self) -> np.ndarray:
    """Their tokens, int [n], without special ones."""
    return self.store.lengths()[self.rows]


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
  queries: Store,
  passages: Store,
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
    Texts(queries, query_rows[line]),
    [Texts(passages, ids_QC[line, column])],
    special,
    lengths=lengths,
    batch_tokens=batch_tokens,
  )
  return out


def score_texts(
  model: CrossEncoder | LateInteraction,
  copies: sharding.Copies,
  query: Texts,
  passages: Sequence[Texts],
  special: tokens.Special,
  *,
  lengths: config.Data,
  batch_tokens: int,
) -> np.ndarray:
  """Scores query i with passage i, or passages i for a pairwise model.

  Returns:
    float32 [n]. A pairwise model's are positive where the first is better.
  """
  forward, run = score_pairs, packed.runner(lengths)
  total, longest = _row_lengths(query, passages, lengths)
  if isinstance(model, LateInteraction):
    forward, run = score_late_pairs, buckets.run
    total, longest = passages[0].lengths() + 2, lengths.passage_length

  def rows(numbers: np.ndarray, length: int) -> Any:
    texts = [query.at(numbers), *(text.at(numbers) for text in passages)]
    if isinstance(model, LateInteraction):
      return (
        layout.single(texts[0], lengths.query_length, special),
        layout.single(texts[1], length, special),
      )
    if len(passages) == 1:
      return layout.pair(*texts, lengths.query_length, length, special)
    return layout.triple(
      *texts, lengths.query_length, lengths.passage_length, length, special
    )

  return run(
    lambda params, batch: forward(model, params, batch),
    rows,
    total,
    longest=longest,
    batch_tokens=batch_tokens,
    copies=copies,
    width=None,
  )


def _row_lengths(
  query: Texts, passages: Sequence[Texts], lengths: config.Data
) -> tuple[np.ndarray, int]:
  """Tokens of each row of a cross-encoder, and where the longest are cut."""
  texts = query.lengths(), *(p.lengths() for p in passages)
  if len(passages) == 1:
    longest = layout.pair_length(lengths)
    return layout.pair_tokens(*texts, lengths.query_length, longest), longest
  limits = lengths.query_length, lengths.passage_length
  return layout.triple_tokens(*texts, *limits), layout.triple_length(lengths)
