"""From the texts that were chosen to one batch of them, padded or packed."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from prod_jax import config
from prod_jax.batch import Batch, Texts, Tokens
from prod_jax.data import draws, packing, rows, tokens
from prod_jax.data.choose import Anywhere, Chosen, FromLists, taken
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


def choose(
  examples: Examples, negatives: int, draw: draws.Draw
) -> Anywhere | FromLists:
  """What says which texts the batch of some query rows is made of."""
  x = examples
  if x.candidates is None:
    return Anywhere(x.positives, len(x.passages), negatives)
  return FromLists(x.candidates, x.teacher, x.compared, draw, negatives)


class Assemble:
  """Reads the chosen texts of a batch, or of a part of it.

  Args:
    examples: what they were chosen from.
    draw: that chose the columns.
    part: int [b], the queries of the batch to read for; None is all.
    packed: how texts share rows; None gives each a row of its own.
  """

  def __init__(
    self,
    examples: Examples,
    draw: draws.Draw,
    part: np.ndarray | None = None,
    packed: packing.Packing | None = None,
  ):
    self._examples, self._draw = examples, draw
    self._part, self._packed = part, packed
    self._most = max(len(examples.positives[row]) for row in examples.rows)

  def __call__(self, chosen: Chosen) -> Batch:
    x, whole = self._examples, chosen
    part = np.arange(len(chosen.row_B)) if self._part is None else self._part
    chosen = Chosen(*(None if c is None else c[part] for c in chosen))
    ids = chosen.ids_BN
    texts = [x.queries[int(row)] for row in chosen.row_B]
    nothing = np.zeros(0, np.int32)
    passages = [
      x.passages[i] if i >= 0 else nothing for i in ids.reshape(-1).tolist()
    ]
    made = {
      "query": rows.single(texts, x.lengths.query_length, x.special),
      "passage": self._passages(passages, ids.shape) if x.passage else None,
      "pair": self._pairs(texts, passages, ids.shape) if x.pair else None,
    }
    cached = self._cached(chosen)
    if x.triple:
      made["triple"] = self._triples(texts, passages, ids)
      cached["where_BJ"] = (ids[:, :1] >= 0) & (ids[:, 1:] >= 0)
    if x.dark is not None:
      made["dark"], dark = self._dark(chosen.list_B)
      cached |= dark
    return Batch(
      **self._laid(made, part, whole),
      where_BN=ids >= 0,
      query_id_B=chosen.row_B.astype(np.int32),
      passage_id_BN=ids.astype(np.int32),
      positive_id_BM=self._positives(chosen.row_B),
      **cached,
    )

  def _laid(
    self, made: Mapping[str, Tokens | None], part: np.ndarray, whole: Chosen
  ) -> dict[str, Texts | None]:
    """Texts in the rows that they share, where they do."""
    if self._packed is None:
      return dict(made)
    cut, shapes = self._packed
    lengths = lengths_of(self._examples, whole)
    return {
      field: texts
      and packing.pack(texts, part, lengths[field], cut, shapes[field])
      for field, texts in made.items()
    }

  def _cached(self, chosen: Chosen) -> dict[str, np.ndarray]:
    """What other stages know of the texts."""
    x, list_B, column_BN = self._examples, chosen.list_B, chosen.column_BN
    cached = {
      name: taken(matrix[list_B], column_BN, 0).astype(np.float32)
      for name, matrix in (("teacher_BN", x.teacher), ("anchor_BN", x.anchor))
      if matrix is not None
    }
    if isinstance(self._draw, draws.Groups):
      shape = column_BN.shape
      cached["group_BN"] = np.broadcast_to(self._draw.group_N, shape).copy()
    if x.compared is not None:
      cached |= _preferences(x.compared, list_B, column_BN)
    return cached | self._embeddings(chosen.row_B, chosen.ids_BN)

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

  def _triples(self, texts: list, passages: list, ids: np.ndarray) -> Tokens:
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
    return _fold(made, (B, N - 1, 2))

  def _dark(self, numbers: np.ndarray) -> tuple[Tokens, dict]:
    x = self._examples
    score_BG = x.dark.score[numbers]
    padded = x.dark.ids[numbers].reshape(score_BG.size, -1)
    made = [ids[ids >= 0] for ids in padded]
    where_BG = ~np.isnan(score_BG)
    scores_BG = np.where(where_BG, score_BG, 0).astype(np.float32)
    return self._passages(made, score_BG.shape), {
      "dark_teacher_BG": scores_BG,
      "where_BG": where_BG,
    }

  def _positives(self, rows_B: np.ndarray) -> np.ndarray:
    out = np.full((len(rows_B), self._most), -1, np.int32)
    for line, row in zip(out, rows_B, strict=True):
      positives = self._examples.positives[row]
      line[: len(positives)] = positives
    return out


def lengths_of(examples: Examples, chosen: Chosen) -> dict[str, np.ndarray]:
  """Tokens of the texts of a batch, by their field in it.

  Read off the stores' offsets: no text is read.
  """
  x, limits = examples, examples.lengths
  query_B = x.queries.lengths()[chosen.row_B]
  there_BN = chosen.ids_BN >= 0
  passage_BN = x.passages.lengths()[np.maximum(chosen.ids_BN, 0)] * there_BN
  found = {"query": rows.single_tokens(query_B, limits.query_length)}
  if x.passage:
    found["passage"] = rows.single_tokens(passage_BN, limits.passage_length)
  if x.pair:
    found["pair"] = rows.pair_tokens(
      query_B[:, None],
      passage_BN,
      limits.query_length,
      rows.pair_length(limits),
    )
  if x.triple:
    one_BJ = rows.triple_tokens(
      query_B[:, None],
      passage_BN[:, :1],
      passage_BN[:, 1:],
      limits.query_length,
      limits.passage_length,
    )
    found["triple"] = np.stack([one_BJ, one_BJ], axis=-1)
  if x.dark is not None:
    dark_BG = (x.dark.ids[chosen.list_B] >= 0).sum(axis=-1)
    found["dark"] = rows.single_tokens(dark_BG, limits.passage_length)
  return found


def longest_of(limits: config.Data) -> dict[str, int]:
  """Tokens of the longest text that each field of a batch may hold."""
  return {
    "query": limits.query_length,
    "passage": limits.passage_length,
    "pair": rows.pair_length(limits),
    "triple": rows.triple_length(limits),
    "dark": limits.passage_length,
  }


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
