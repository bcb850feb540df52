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
from prod_jax.batch import Batch, Packed, TeacherTexts
from prod_jax.batches import packing
from prod_jax.batches.assemble import (
  Assemble,
  Examples,
  Reader,
  choose,
  longest_of,
)
from prod_jax.batches.packing import Grouping
from prod_jax.batches.special import Special
from prod_jax.batches.store import store_of
from prod_jax.sets.sizes import Size
from prod_jax.stages import examples, sources
from prod_jax.stages.run import Job

# Any ids do: no text is read.
SPECIAL = Special(prefix=(1,), between=(2,), suffix=(2,), pad=0, mask=3)
QUERIES = 2
_BATCHES = 8  # of which the fullest says how many rows there are
# Stands in for the most labels that a query of the set has. It is an axis of a
# mask, not of any text.
LABELS = 8


def training(job: Job[kinds.Train]) -> Batch:
  """The batch of a stage as ShapeDtypeStruct, with `QUERIES` queries."""
  columns = most_columns(job)
  passages = columns + LABELS
  texts: dict[str, Any] = {
    "queries": store_of([np.zeros(1, np.int32)] * QUERIES),
    "passages": store_of([np.zeros(1, np.int32)] * passages),
    "special": SPECIAL,
  }
  of_student, of_teacher = examples.carried(job)
  made = Examples(
    **texts,
    positives=[tuple(range(LABELS))] * QUERIES,
    rows=np.arange(QUERIES),
    data=job.run.config.data,
    negatives=job.stage.negatives,
    sampling=examples.sampling_of(job),
    teacher=None if of_teacher is None else Reader(**texts, **of_teacher),
    **of_student,
    **sources.shaped(job, sources.Extent(QUERIES, columns, passages)),
  )
  chosen = choose(made)(np.arange(QUERIES), np.random.default_rng(0))
  batch = Assemble(made)(chosen)
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
  batch: Batch, grouping: Grouping, row_length: int, mean: Means, window: int
) -> Batch:
  """A batch of padded texts as one in which they share rows.

  Args:
    batch: of shapes.
    grouping: of the batch.
    row_length: as of the config.
    mean: tokens of the texts.
    window: batches that exchange queries.
  """
  own = batch._replace(**_packed(batch, grouping, row_length, mean, window))
  if batch.teacher is None:
    return own
  texts = _packed(batch.of_teacher(), grouping, row_length, mean, window)
  texts = {f: texts[f] for f in TeacherTexts._fields if f in texts}
  return own._replace(teacher=TeacherTexts(**texts))


def _packed(
  batch: Batch, grouping: Grouping, row_length: int, mean: Means, window: int
) -> dict[str, Any]:
  """The texts of one model, by their field."""
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
  tokens_Q = np.sum(
    [x.reshape(len(x), -1).sum(1) for x in lengths.values()], axis=0
  )
  order = np.concatenate(
    [
      here[packing.balanced(tokens_Q[here], leading, grouping)]
      for here in np.split(np.arange(len(tokens_Q)), count // window)
    ]
  )
  rows = {}
  for field, shape in shapes.items():
    found, _ = packing.shape_for(
      np.split(lengths[field][order], count), grouping, shape[-1], row_length
    )
    rows[field] = packed_shape(shape[:-1], grouping.groups, *found)
  return rows


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


def list_columns(job: Job[Any]) -> int:
  """Passages of a list: what is kept of those retrieved, and the positive."""
  stage = examples.made(job, job.stage.candidates)
  kept = getattr(stage, "negatives", 0) or getattr(stage, "depth", 0)
  return kept + 1


def most_columns(job: Job[kinds.Train]) -> int:
  """Enough for any sampling."""
  columns = job.stage.negatives + 1
  if job.stage.candidates:
    columns = max(columns, list_columns(job))
  return columns
