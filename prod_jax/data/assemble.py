"""From query rows, lists and tokens to one batch."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from prod_jax import config
from prod_jax.batch import Batch, Tokens
from prod_jax.data import draws, rows, tokens
from prod_jax.data.lists import Candidates, Compared, Dark

Store = tokens.TokenStore | Sequence[np.ndarray]


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
    passage, pair, triple: which of these a batch carries.
    candidates: lists for the rows, or None to draw negatives from the whole
      collection.
    teacher: cached scores aligned with the lists [Q, C], or None.
    anchor: the student's cached scores, the same shape, or None.
    teacher_query, teacher_passage: cached embeddings by row, or None.
    compared: preferences aligned with the lists, or None.
    dark: generated passages aligned with the lists, or None.
  """

  queries: Store
  passages: Store
  special: tokens.Special
  positives: Sequence[Sequence[int]]
  rows: np.ndarray
  lengths: config.Data
  passage: bool = False
  pair: bool = False
  triple: bool = False
  candidates: Candidates | None = None
  teacher: np.ndarray | None = None
  anchor: np.ndarray | None = None
  teacher_query: np.ndarray | None = None
  teacher_passage: np.ndarray | None = None
  compared: Compared | None = None
  dark: Dark | None = None


class Assemble:
  """Turns the query rows of a batch into the batch, or into a part of it.

  Columns are drawn for all rows, so that a batch does not depend on how it is
  divided; texts, tokens and embeddings are read for the part alone.
  """

  def __init__(
    self,
    examples: Examples,
    negatives: int,
    draw: draws.Draw,
    part: np.ndarray | None = None,
  ):
    self._examples = examples
    self._negatives = negatives
    self._draw = draw
    self._part = slice(None) if part is None else part
    self._most = max(len(examples.positives[row]) for row in examples.rows)
    if examples.candidates is not None:
      query = examples.candidates.query
      self._list_of = {int(row): i for i, row in enumerate(query)}

  def __call__(self, rows_B: np.ndarray, rng: np.random.Generator) -> Batch:
    x = self._examples
    ids, cached = (
      self._anywhere(rows_B, rng)
      if x.candidates is None
      else self._from_lists(rows_B, rng)
    )
    rows_B = rows_B[self._part]
    texts = [x.queries[int(row)] for row in rows_B]
    passages = [x.passages[max(int(i), 0)] for i in ids.reshape(-1)]
    return Batch(
      query=rows.single(texts, x.lengths.query_length, x.special),
      passage=self._passages(passages, ids.shape) if x.passage else None,
      pair=self._pairs(texts, passages, ids.shape) if x.pair else None,
      where_BN=ids >= 0,
      query_id_B=rows_B.astype(np.int32),
      passage_id_BN=ids.astype(np.int32),
      positive_id_BM=self._positives(rows_B),
      **cached,
      **self._embeddings(rows_B, ids),
      **(self._triples(texts, passages, ids) if x.triple else {}),
    )

  def _anywhere(
    self, rows_B: np.ndarray, rng: np.random.Generator
  ) -> tuple[np.ndarray, dict]:
    """The first positive and negatives from anywhere in the collection."""
    x = self._examples
    first = np.array([x.positives[row][0] for row in rows_B])
    other = rng.integers(len(x.passages), size=(len(rows_B), self._negatives))
    for row, drawn in zip(rows_B, other, strict=True):
      drawn[np.isin(drawn, x.positives[row])] = -1
    return np.c_[first, other][self._part], {}

  def _from_lists(
    self, rows_B: np.ndarray, rng: np.random.Generator
  ) -> tuple[np.ndarray, dict]:
    """Columns of the stored lists, and what is known about them."""
    x = self._examples
    numbers = np.array([self._list_of[int(row)] for row in rows_B])
    lists = draws.lists_of(
      x.candidates, numbers, x.teacher, self._in_pairs(numbers)
    )
    columns = self._draw(lists, self._negatives, rng)[self._part]
    numbers, ids = numbers[self._part], lists.ids[self._part]

    def take(matrix: np.ndarray, missing: int) -> np.ndarray:
      taken = np.take_along_axis(matrix, np.maximum(columns, 0), axis=1)
      return np.where(columns >= 0, taken, missing)

    cached = {
      name: take(matrix[numbers], 0).astype(np.float32)
      for name, matrix in (("teacher_BN", x.teacher), ("anchor_BN", x.anchor))
      if matrix is not None
    }
    if isinstance(self._draw, draws.Groups):
      shape = columns.shape
      cached["group_BN"] = np.broadcast_to(self._draw.group_N, shape).copy()
    if x.compared is not None:
      cached |= _preferences(x.compared, numbers, columns)
    if x.dark is not None:
      cached |= self._dark(numbers)
    return take(ids, -1), cached

  def _in_pairs(self, numbers: np.ndarray) -> np.ndarray | None:
    """bool [B, C]: columns that stand in a stored pair, so as to keep it."""
    x = self._examples
    if x.compared is None:
      return None
    out = np.zeros((len(numbers), x.candidates.ids.shape[1] + 1), bool)
    for side in (x.compared.first, x.compared.second):
      np.put_along_axis(out, side[numbers].astype(np.int64), True, axis=1)
    return out[:, :-1]  # padding, -1, went to the column behind the list

  def _embeddings(self, rows_B: np.ndarray, ids: np.ndarray) -> dict:
    x = self._examples
    if x.teacher_query is None:
      return {}
    return {
      "teacher_query_BD": np.asarray(x.teacher_query[rows_B]),
      "teacher_passage_BND": np.asarray(x.teacher_passage[np.maximum(ids, 0)]),
    }

  def _passages(self, passages: list, shape: tuple[int, ...]) -> Tokens:
    x = self._examples
    made = rows.single(passages, x.lengths.passage_length, x.special)
    return _fold(made, shape)

  def _pairs(self, texts: list, passages: list, shape: tuple) -> Tokens:
    x = self._examples
    made = rows.pair(
      _repeat(texts, shape[1]),
      passages,
      x.lengths.query_length,
      rows.pair_length(x.lengths),
      x.special,
    )
    return _fold(made, shape)

  def _triples(self, texts: list, passages: list, ids: np.ndarray) -> dict:
    """The positive against each other column, in both orders."""
    x = self._examples
    B, N = ids.shape
    numbers = np.arange(B * N).reshape(B, N)
    positive = np.broadcast_to(numbers[:, :1], (B, N - 1))
    both = np.stack([positive, numbers[:, 1:]], axis=-1)  # [B, J, 2]
    first, second = (
      [passages[i] for i in side.reshape(-1)]
      for side in (both, both[..., ::-1])
    )
    made = rows.triple(
      _repeat(texts, 2 * (N - 1)),
      first,
      second,
      x.lengths.query_length,
      x.lengths.passage_length,
      rows.triple_length(x.lengths),
      x.special,
    )
    where_BJ = (ids[:, :1] >= 0) & (ids[:, 1:] >= 0)
    return {"triple": _fold(made, (B, N - 1, 2)), "where_BJ": where_BJ}

  def _dark(self, numbers: np.ndarray) -> dict:
    x = self._examples
    score_BG = x.dark.score[numbers]
    padded = x.dark.ids[numbers].reshape(score_BG.size, -1)
    made = [ids[ids >= 0] for ids in padded]
    where_BG = ~np.isnan(score_BG)
    return {
      "dark": self._passages(made, score_BG.shape),
      "dark_teacher_BG": np.where(where_BG, score_BG, 0).astype(np.float32),
      "where_BG": where_BG,
    }

  def _positives(self, rows_B: np.ndarray) -> np.ndarray:
    out = np.full((len(rows_B), self._most), -1, np.int32)
    for line, row in zip(out, rows_B, strict=True):
      positives = self._examples.positives[row]
      line[: len(positives)] = positives
    return out


def _preferences(
  compared: Compared, numbers: np.ndarray, columns: np.ndarray
) -> dict:
  """Stored pairs by the columns of the batch, -1 where one was not drawn."""
  place = [
    _place(side[numbers], columns) for side in (compared.first, compared.second)
  ]
  there = (place[0] >= 0) & (place[1] >= 0)
  prefer = np.where(there, compared.prefer[numbers], 0)
  first, second = (np.where(there, side, -1).astype(np.int32) for side in place)
  return {
    "first_BJ": first,
    "second_BJ": second,
    "prefer_BJ": prefer.astype(np.float32),
  }


def _place(wanted_BJ: np.ndarray, columns_BN: np.ndarray) -> np.ndarray:
  """Where in the drawn columns a list's column stands, -1 for nowhere."""
  same_BJN = wanted_BJ[:, :, None] == columns_BN[:, None, :]
  found = same_BJN.any(axis=-1) & (wanted_BJ >= 0)
  return np.where(found, same_BJN.argmax(axis=-1), -1)


def _repeat(texts: list, times: int) -> list:
  return [text for text in texts for _ in range(times)]


def _fold(flat: Tokens, shape: tuple[int, ...]) -> Tokens:
  """[B * N, L] to [B, N, L]."""
  return Tokens(*(x.reshape(*shape, -1) for x in flat))
