"""The shape of a stage's batch, with no data on the machine.

The batch is assembled by the code that assembles it in a run, out of a
handful of texts of one token, padded to the configured lengths. Rows that
texts share in a run are as many as that run's packing takes for texts of the
mean length.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from prod_jax import config, kinds
from prod_jax.batch import Batch, Packed
from prod_jax.data import packing
from prod_jax.data.assemble import Assemble, Examples, choose, longest_of
from prod_jax.data.lists import Candidates, Compared, Dark
from prod_jax.data.packing import Cut
from prod_jax.data.sizes import Size
from prod_jax.data.store import store_of
from prod_jax.data.tokens import Special
from prod_jax.stages import examples
from prod_jax.stages.inputs import Inputs

# Any ids do: no text is read.
SPECIAL = Special(cls=1, sep=2, pad=0, mask=3)
QUERIES = 2
_BATCHES = 8  # of which the fullest says how many rows there are
# Stands in for the most labels that a query of the set has. It is an axis of a
# mask, not of any text.
LABELS = 8


def training(shared: Inputs, name: str, stage: kinds.Train) -> Batch:
  """The batch of a stage as ShapeDtypeStruct, with `QUERIES` queries."""
  columns = _columns(shared, stage)
  lists = _lists(columns) if stage.candidates else None
  made = Examples(
    queries=store_of([np.zeros(1, np.int32)] * QUERIES),
    passages=store_of([np.zeros(1, np.int32)] * (columns + LABELS)),
    special=SPECIAL,
    positives=[tuple(range(LABELS))] * QUERIES,
    rows=np.arange(QUERIES),
    lengths=shared.config.data,
    **examples.carried(shared, stage),
    candidates=lists,
    **_cached(shared, stage, columns),
  )
  draw = examples.draw_of(name, stage)
  chosen = choose(made, stage.negatives, draw)(
    np.arange(QUERIES), np.random.default_rng(0)
  )
  batch = Assemble(made, draw)(chosen)
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      x.shape, jax.dtypes.canonicalize_dtype(x.dtype)
    ),
    batch,
  )


def of_size(batch: Any, size: int) -> Any:
  """The same with another leading axis."""
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype), batch
  )


class Means(NamedTuple):
  """Tokens of a text in the mean, by its field in a batch."""

  query: int
  passage: int
  pair: int
  triple: int
  dark: int


def means(data: config.Data, size: Size) -> Means:
  """Of a data set; where they are not known, those of its longest texts."""
  query, passage = size.query_tokens, size.passage_tokens
  if not query or not passage:
    return Means(**longest_of(data))
  one_more = passage - 1  # they share the [CLS]
  return Means(query, passage, query + one_more, query + 2 * one_more, passage)


def packed(
  batch: Batch, cut: Cut, row_length: int, mean: Means, window: int
) -> Batch:
  """A batch of padded texts as one in which they share rows.

  Args:
    batch: of shapes.
    cut: of the batch.
    row_length: as of the config.
    mean: tokens of the texts.
    window: batches that exchange queries.
  """
  texts = {f: getattr(batch, f) for f in Means._fields}
  shapes = {f: t.ids.shape for f, t in texts.items() if t is not None}
  rng = np.random.default_rng(0)
  count = -(-_BATCHES // window) * window
  leading = len(batch.where_BN)
  lengths = {
    field: lengths_of(
      (count * leading, *shape[1:-1]), getattr(mean, field), shape[-1], rng
    )
    for field, shape in shapes.items()
  }
  tokens_Q = sum(x.reshape(len(x), -1).sum(1) for x in lengths.values())
  order = np.concatenate(
    [
      here[packing.balanced(tokens_Q[here], leading, cut)]
      for here in np.split(np.arange(len(tokens_Q)), count // window)
    ]
  )
  rows = {}
  for field, shape in shapes.items():
    found, _ = packing.shape_for(
      np.split(lengths[field][order], count), cut, shape[-1], row_length
    )
    rows[field] = packed_shape(shape[:-1], cut.groups, *found)
  return batch._replace(**rows)


def lengths_of(
  shape: tuple[int, ...], mean: int, longest: int, rng: np.random.Generator
) -> np.ndarray:
  """Tokens of texts as those of natural language may have them.

  Of a gamma distribution, its standard deviation two fifths of its mean, cut
  at the longest; all of that length where the mean is.
  """
  if mean >= longest:
    return np.full(shape, longest)
  drawn = rng.gamma(6, mean / 6, shape)
  return np.clip(drawn, 3, longest).astype(np.int64)


def packed_shape(
  leading: tuple[int, ...], groups: int, rows: int, row_length: int
) -> Packed:
  """Texts of such leading axes in so many rows of each group."""

  def array(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, np.int32)

  texts = array(groups, rows, packing.texts_a_row(row_length))
  ids = array(groups, rows, row_length)
  return Packed(ids, texts, texts, texts, array(*leading))


def list_columns(stage: kinds.Stage) -> int:
  """Passages of a list: what is kept of those retrieved, and the positive."""
  kept = getattr(stage, "negatives", 0) or getattr(stage, "depth", 0)
  return kept + 1


def _columns(shared: Inputs, stage: kinds.Train) -> int:
  """Enough for any draw."""
  columns = stage.negatives + 1
  if stage.candidates:
    candidates = shared.config.stages[stage.candidates]
    columns = max(columns, list_columns(candidates))
  return columns


def _lists(columns: int) -> Candidates:
  shape = (QUERIES, columns)
  column = np.broadcast_to(np.arange(columns, dtype=np.int32), shape)
  return Candidates(
    query=np.arange(QUERIES, dtype=np.int32),
    ids=column,
    label=column == 0,
    rank=column,
    score=-column.astype(np.float32),
  )


def _cached(shared: Inputs, stage: kinds.Train, columns: int) -> dict[str, Any]:
  """What other stages would have made, as `Examples` takes it."""
  stages = shared.config.stages
  scores = -np.arange(columns, dtype=np.float32)[None].repeat(QUERIES, 0)
  cached: dict[str, Any] = {}
  if stage.anchor and stage.anchor != examples.START:
    cached["anchor"] = scores
  for source in filter(None, (stage.scores, stage.second)):
    if isinstance(stages[source], kinds.Score):
      cached["teacher"] = scores
    else:
      width = shared.model_of(stages[source].params).bert.width
      cached["teacher_query"] = np.zeros((QUERIES, width), np.float32)
      cached["teacher_passage"] = np.zeros(
        (columns + LABELS, width), np.float32
      )
  if stage.pairs:
    pairs = np.zeros((QUERIES, stages[stage.pairs].pairs), np.int32)
    cached["compared"] = Compared(pairs, pairs + 1, pairs.astype(np.float32))
  if stage.dark:
    source = stages[stage.dark]
    shape = (QUERIES, source.strengthened + source.masked)
    length = shared.config.data.passage_length - 2
    cached["dark"] = Dark(
      np.zeros((*shape, length), np.int32), np.zeros(shape, np.float32)
    )
  return cached
