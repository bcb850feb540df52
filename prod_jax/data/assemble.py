"""From the texts that were chosen to one batch of them, padded or packed."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from prod_jax import config
from prod_jax.batch import Batch, Texts
from prod_jax.data import draws, packing, rows, tokens
from prod_jax.data.choose import Anywhere, Chosen, FromLists, taken
from prod_jax.data.lists import Candidates, Compared, Dark
from prod_jax.data.rows import Joined
from prod_jax.data.store import Slices, TokenStore


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

  queries: TokenStore
  passages: TokenStore
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


class Balance:
  """Puts the queries of some batches in an order in which they pack well.

  No loss depends on the order; which queries share a batch does.
  """

  def __init__(self, examples: Examples, batch_size: int, cut: packing.Cut):
    self._examples, self._batch_size, self._cut = examples, batch_size, cut

  def __call__(self, chosen: Chosen) -> Chosen:
    texts = texts_of(self._examples, chosen).values()
    tokens_Q = sum(
      t.lengths.reshape(len(chosen.row_B), -1).sum(1) for t in texts
    )
    order = packing.balanced(tokens_Q, self._batch_size, self._cut)
    return chosen.at(order)


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
    x, texts = self._examples, texts_of(self._examples, chosen)
    part = np.arange(len(chosen.row_B)) if self._part is None else self._part
    chosen = chosen.at(part)
    read = dict.fromkeys(("query", "passage", "pair"))
    read |= {field: self._read(field, t, part) for field, t in texts.items()}
    ids = chosen.ids_BN
    if x.triple:
      read["where_BJ"] = (ids[:, :1] >= 0) & (ids[:, 1:] >= 0)
    return Batch(
      where_BN=ids >= 0,
      query_id_B=chosen.row_B.astype(np.int32),
      passage_id_BN=ids.astype(np.int32),
      positive_id_BM=self._positives(chosen.row_B),
      **read,
      **self._cached(chosen),
    )

  def _read(self, field: str, texts: Joined, part: np.ndarray) -> Texts:
    """The texts of the part, in rows as the step takes them."""
    special = self._examples.special
    if self._packed is None:
      longest = longest_of(self._examples.lengths)[field]
      return rows.padded(texts.at(part), longest, special)
    cut, shapes = self._packed
    return packing.pack(texts, part, cut, shapes[field], special)

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
    if x.dark is not None:
      score_BG = x.dark.score[list_B]
      cached["where_BG"] = ~np.isnan(score_BG)
      cached["dark_teacher_BG"] = np.nan_to_num(score_BG).astype(np.float32)
    return cached | self._embeddings(chosen.row_B, chosen.ids_BN)

  def _embeddings(self, rows_B: np.ndarray, ids: np.ndarray) -> dict:
    x = self._examples
    if x.teacher_query is None:
      return {}
    return {
      "teacher_query_BD": np.asarray(x.teacher_query[rows_B]),
      "teacher_passage_BND": np.asarray(x.teacher_passage[np.maximum(ids, 0)]),
    }

  def _positives(self, rows_B: np.ndarray) -> np.ndarray:
    out = np.full((len(rows_B), self._most), -1, np.int32)
    for line, row in zip(out, rows_B, strict=True):
      positives = self._examples.positives[row]
      line[: len(positives)] = positives
    return out


def texts_of(examples: Examples, chosen: Chosen) -> dict[str, Joined]:
  """The texts of a batch by their field in it, not read yet."""
  x, limits = examples, examples.lengths
  query = x.queries.slices(chosen.row_B)
  passage = x.passages.slices(chosen.ids_BN)
  found = {"query": rows.single(query, limits.query_length)}
  if x.passage:
    found["passage"] = rows.single(passage, limits.passage_length)
  of_list = x.queries.slices(chosen.row_B[:, None])
  if x.pair:
    longest = rows.pair_length(limits)
    found["pair"] = rows.pair(of_list, passage, limits.query_length, longest)
  if x.triple:
    found["triple"] = _triples(x, chosen)
  if x.dark is not None:
    dark = x.dark.ids[chosen.list_B]
    found["dark"] = rows.single(_dense(dark), limits.passage_length)
  return found


def _triples(examples: Examples, chosen: Chosen) -> Joined:
  """The positive against each other column, in both orders, [B, J, 2]."""
  x, limits, ids_BN = examples, examples.lengths, chosen.ids_BN
  other_BJ = ids_BN[:, 1:]
  both = np.broadcast_to(ids_BN[:, :1], other_BJ.shape), other_BJ
  first, second = (
    x.passages.slices(np.stack(sides, axis=-1)) for sides in (both, both[::-1])
  )
  query = x.queries.slices(chosen.row_B[:, None, None])
  return rows.triple(
    query, first, second, limits.query_length, limits.passage_length
  )


def _dense(ids_BGL: np.ndarray) -> Slices:
  """Texts [B, G] of an array in which -1 stands behind each."""
  shape, L = ids_BGL.shape[:-1], ids_BGL.shape[-1]
  start = np.arange(ids_BGL.size // L).reshape(shape) * L
  return Slices(ids_BGL.reshape(-1), start, (ids_BGL >= 0).sum(axis=-1))


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
