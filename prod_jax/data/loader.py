"""From queries, lists and tokens to an endless, repeatable row of batches.

What batch s holds is a function of the seed and of s alone. Grain shuffles,
counts and prefetches; its iterator goes into the checkpoint.
"""

import dataclasses
from collections.abc import Sequence

import grain
import numpy as np

from prod_jax import config, strict
from prod_jax.batch import Batch
from prod_jax.data import tokens
from prod_jax.data.negatives import Candidates, Sampling, choose_columns


@dataclasses.dataclass(frozen=True)
class Examples:
  """All that training batches are made of.

  Attributes:
    queries: tokens by query row.
    passages: tokens by collection row.
    special: ids of the special tokens.
    positives: rows of the labelled positives by query row.
    rows: the query rows to train on; each has a positive.
    lengths: tokens of a query, a passage and a pair.
    passage, pair: which of the two a batch carries.
    candidates: lists for the rows, or None to draw negatives from the whole
      collection.
    teacher: cached scores aligned with the lists [Q, C], or None.
    anchor: the student's cached scores, the same shape, or None.
    teacher_query, teacher_passage: cached embeddings by row, or None.
  """

  queries: tokens.TokenStore | Sequence[np.ndarray]
  passages: tokens.TokenStore | Sequence[np.ndarray]
  special: tokens.Special
  positives: Sequence[Sequence[int]]
  rows: np.ndarray
  lengths: config.Data
  passage: bool
  pair: bool
  candidates: Candidates | None = None
  teacher: np.ndarray | None = None
  anchor: np.ndarray | None = None
  teacher_query: np.ndarray | None = None
  teacher_passage: np.ndarray | None = None


def batches(
  examples: Examples,
  *,
  batch_size: int,
  negatives: int,
  sampling: Sampling,
  seed: int,
) -> grain.DatasetIterator:
  """An endless iterator of `Batch` in numpy, each epoch in its own order.

  Batches run on across the ends of epochs. Where there are fewer queries than
  a batch takes, a query stands in it more than once.

  Raises:
    ConfigError: when there is no query at all.
  """
  if not len(examples.rows):
    raise strict.ConfigError(
      "there is no training query with a labelled positive"
    )
  assemble = _Assemble(examples, negatives, sampling)
  return iter(
    grain.MapDataset.source(examples.rows)
    .seed(seed)
    .shuffle()
    .repeat()
    .batch(batch_size, drop_remainder=True)
    .random_map(assemble)
    .to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4))
  )


class _Assemble:
  """Turns the query rows of a batch into the batch."""

  def __init__(self, examples: Examples, negatives: int, sampling: Sampling):
    self._examples = examples
    self._negatives = negatives
    self._sampling = sampling
    self._most = max(len(examples.positives[row]) for row in examples.rows)
    if examples.candidates is not None:
      query = examples.candidates.query
      self._list_of = {int(row): i for i, row in enumerate(query)}

  def __call__(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
    x = self._examples
    ids, cached = (
      self._draw(rows, rng) if x.candidates is None else self._lists(rows, rng)
    )
    texts = [x.queries[int(row)] for row in rows]
    flat = [x.passages[max(int(i), 0)] for i in ids.reshape(-1)]
    return Batch(
      query=tokens.single(texts, x.lengths.query_length, x.special),
      passage=self._passages(flat, ids.shape) if x.passage else None,
      pair=self._pairs(texts, flat, ids.shape) if x.pair else None,
      where_BN=ids >= 0,
      query_id_B=rows.astype(np.int32),
      passage_id_BN=ids.astype(np.int32),
      positive_id_BM=self._positives(rows),
      **cached,
    )

  def _draw(
    self, rows: np.ndarray, rng: np.random.Generator
  ) -> tuple[np.ndarray, dict]:
    """The first positive and negatives from anywhere in the collection."""
    x = self._examples
    first = np.array([x.positives[row][0] for row in rows])
    other = rng.integers(len(x.passages), size=(len(rows), self._negatives))
    for row, drawn in zip(rows, other, strict=True):
      drawn[np.isin(drawn, x.positives[row])] = -1
    return self._with_embeddings(rows, np.c_[first, other], {})

  def _lists(
    self, rows: np.ndarray, rng: np.random.Generator
  ) -> tuple[np.ndarray, dict]:
    """The positive and negatives of the stored lists, with cached scores."""
    x = self._examples
    lists = np.array([self._list_of[int(row)] for row in rows])
    columns = choose_columns(
      x.candidates, lists, self._negatives, self._sampling, rng
    )

    def take(matrix: np.ndarray) -> np.ndarray:
      return np.take_along_axis(matrix[lists], np.maximum(columns, 0), axis=1)

    ids = np.where(columns >= 0, take(x.candidates.ids), -1)
    cached = {
      name: np.where(columns >= 0, take(matrix), 0.0).astype(np.float32)
      for name, matrix in (("teacher_BN", x.teacher), ("anchor_BN", x.anchor))
      if matrix is not None
    }
    return self._with_embeddings(rows, ids, cached)

  def _with_embeddings(
    self, rows: np.ndarray, ids: np.ndarray, cached: dict
  ) -> tuple[np.ndarray, dict]:
    x = self._examples
    if x.teacher_query is not None:
      cached["teacher_query_BD"] = np.asarray(x.teacher_query[rows])
      cached["teacher_passage_BND"] = np.asarray(
        x.teacher_passage[np.maximum(ids, 0)]
      )
    return ids, cached

  def _passages(
    self, flat: list[np.ndarray], shape: tuple[int, int]
  ) -> tokens.Tokens:
    x = self._examples
    return _fold(
      tokens.single(flat, x.lengths.passage_length, x.special), shape
    )

  def _pairs(
    self, texts: list[np.ndarray], flat: list[np.ndarray], shape: tuple
  ) -> tokens.Tokens:
    x = self._examples
    repeated = [text for text in texts for _ in range(shape[1])]
    return _fold(
      tokens.pair(
        repeated,
        flat,
        x.lengths.query_length,
        pair_length(x.lengths),
        x.special,
      ),
      shape,
    )

  def _positives(self, rows: np.ndarray) -> np.ndarray:
    out = np.full((len(rows), self._most), -1, np.int32)
    for line, row in zip(out, rows, strict=True):
      positives = self._examples.positives[row]
      line[: len(positives)] = positives
    return out


def pair_length(lengths: config.Data) -> int:
  """Tokens of a query and a passage in one row, as in the official code."""
  return lengths.query_length + lengths.passage_length


def _fold(flat: tokens.Tokens, shape: tuple[int, int]) -> tokens.Tokens:
  """[B * N, L] to [B, N, L]."""
  return tokens.Tokens(*(x.reshape(*shape, -1) for x in flat))
