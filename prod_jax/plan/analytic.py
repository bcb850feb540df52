"""The FLOPs that a model needs, counted from its shape.

Matrix products only, a multiply-add being 2. For R rows of L tokens, width D,
hidden width F and n layers a forward pass takes

    n R L (8 D^2 + 4 D F)    four D x D layers of attention, two of the MLP
    n R 4 L^2 D              scores of the attention, and its sums of values

with 6 D F where the MLP is gated, and R L 2 D E once where the tables are of
another width E. Where a text's vector is that of one token, the last layer
takes keys and values of all tokens and everything else of these S of a row:

    R L 4 D^2 + R S (4 D^2 + 4 D F) + R 4 S L D

Heads, projections and scores of queries against passages come on top. A
training step takes three forward passes of what is trained (one forward, two
backward) and one of what is frozen. Padding counts as tokens do, and the tokens
of a row as if all attended to each other. Not counted: lookups, softmax,
LayerNorm, GELU, dropout, losses and their own matrices, the optimizer, and what
is computed a second time, because of `remat` or `chunks` or in the backward
pass of attention.
"""

import math
from collections.abc import Iterable
from typing import Any

from prod_jax.batch import Batch, Packed, Texts
from prod_jax.models import Encoder
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.late import LateInteraction
from prod_jax.models.texts import ONE_TOKEN
from prod_jax.models.transformer import TransformerConfig

TRAINED, FROZEN = 3, 1  # forward passes of a step


def encoder(
  transformer: TransformerConfig, rows: int, length: int, read: int
) -> int:
  """A forward pass over rows of so many tokens.

  Args:
    transformer: the shape of the encoder.
    rows, length: of the tokens.
    read: tokens of a row that the last layer is wanted of.
  """
  D, F = transformer.width, transformer.mlp_width
  mlp = (6 if transformer.gated else 4) * D * F

  def layer(own: int) -> int:
    dense = length * 4 * D * D + own * (4 * D * D + mlp)
    return rows * (dense + 4 * own * length * D)

  tables = 0
  if (width := transformer.embedding_width) not in (0, D):
    tables = rows * length * 2 * D * width
  return (transformer.depth - 1) * layer(length) + layer(read) + tables


def texts(model: Encoder, read: Iterable[Texts]) -> int:
  """A forward pass over texts, of shapes, with the head or projection."""
  total = 0
  for one in read:
    *leading, length = one.ids.shape
    rows = math.prod(leading)
    total += encoder(model.transformer, rows, length, _read(model, one))
    if isinstance(model, CrossEncoder):
      D, head = model.transformer.width, model.head
      total += 2 * rows * D * (head.labels + (D if head.hidden else 0))
    if isinstance(model, LateInteraction):
      total += 2 * rows * length * model.transformer.width * model.projection
  return total


def _read(model: Encoder, texts: Texts) -> int:
  """Tokens of a row that make the vectors of its texts."""
  if isinstance(model, LateInteraction) or model.pooling not in ONE_TOKEN:
    return texts.ids.shape[-1]
  return texts.start_GRS.shape[-1] if isinstance(texts, Packed) else 1


def scores(model: Encoder, queries: Any, passages: Any, in_batch: bool) -> int:
  """Queries [B, L] against passages [B, N, L]: of all, or the own N."""
  if isinstance(model, CrossEncoder):
    return 0
  (B, Lq), (_, N, Lp) = queries, passages
  pairs = B * N * (B if in_batch else 1)
  if isinstance(model, LateInteraction):
    pairs *= Lq * Lp
  return 2 * pairs * model.width


def step(
  batch: Batch,
  trained: Iterable[Encoder],
  frozen: Iterable[Encoder],
  *,
  in_batch: bool,
) -> int:
  """A training step of one micro-batch.

  Args:
    batch: of shapes.
    trained: models that learn.
    frozen: models that run in the step and do not.
    in_batch: queries are scored against all passages of the micro-batch.
  """
  total = 0
  for times, models in ((TRAINED, trained), (FROZEN, frozen)):
    for model in models:
      total += times * texts(model, read_by(model, batch))
      if not isinstance(model, CrossEncoder):
        total += times * scores(model, *compared(batch), in_batch)
  return total


def read_by(model: Encoder, batch: Batch) -> list[Texts]:
  """The texts of a batch that a model reads."""
  if isinstance(model, CrossEncoder):
    # A stage has pairs or triples: no model reads both.
    fields = [batch.pair, batch.triple]
  else:
    fields = [batch.query, batch.passage, batch.dark]
  return [texts for texts in fields if texts is not None]


def compared(batch: Batch) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """[B, L] and [B, N, L] of queries and passages that meet in a score."""
  query, passage = (
    texts.place.shape + texts.ids.shape[-1:]
    if isinstance(texts, Packed)
    else texts.ids.shape
    for texts in (batch.query, batch.passage)
  )
  return query, passage
