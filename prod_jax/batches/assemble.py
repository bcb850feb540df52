"""From the texts that were chosen to one batch of them, padded or packed."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from prod_jax import config
from prod_jax.batch import Batch, TeacherTexts, Texts
from prod_jax.batches import draws, packing, rows
from prod_jax.batches.choose import Anywhere, Chosen, FromLists, taken
from prod_jax.batches.lists import Candidates, Compared, Dark
from prod_jax.batches.rows import Joined
from prod_jax.batches.special import Special
from prod_jax.batches.store import Slices, TokenStore
from prod_jax.ragged import padded_rows

TEACHER = "teacher."  # in front of the fields of a teacher's own texts


class Embeddings(NamedTuple):
  """A dual-encoder teacher's cached embeddings, float32, by row.

  Attributes:
    query: [Q, D].
    passage: rows [P, D], or what stands for them on disk.
  """

  query: np.ndarray
  passage: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reader:
  """What a model reads of a batch, in the tokens of its tokenizer.

  Attributes:
    queries: tokens by query row.
    passages: tokens by collection row.
    special: ids of the special tokens.
    query, passage, pair, triple: which of these a batch carries.
  """

  queries: TokenStore
  passages: TokenStore
  special: Special
  query: bool = True
  passage: bool = False
  pair: bool = False
  triple: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples(Reader):
  """All that training batches are made of: what the student reads, and more.

  Attributes:
    positives: rows of the labelled positives by query row, none for some.
    rows: the query rows to train on; each has a positive, or a list.
    data: how long texts are, and whether they share rows.
    negatives: of a query, N - 1; `RankingGroups` brings its own number.
    sampling: which columns of a list are taken.
    copies: by query row, passages that say what a positive says, which are no
      negatives, drawn or in-batch; empty where there are none.
    cluster_Q: int [Q], the cluster of each row to train on, or None; with it
      the queries of a batch are all of one.
    candidates: lists for the rows, or None to draw negatives from the whole
      collection.
    by_list: by field of `Batch`, arrays [Q, C] that are aligned with the lists;
      a batch has the drawn columns of them.
    embeddings: a teacher's cached ones, or None.
    teacher: what a teacher in the step reads, or None where that is what the
      student reads.
    compared: preferences aligned with the lists, or None.
    dark_examples: generated passages aligned with the lists, or None.
  """

  positives: Sequence[Sequence[int]]
  rows: np.ndarray
  data: config.Data
  negatives: int
  sampling: draws.Sampling
  copies: Sequence[Sequence[int]] = ()
  cluster_Q: np.ndarray | None = None
  candidates: Candidates | None = None
  by_list: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  embeddings: Embeddings | None = None
  teacher: Reader | None = None
  compared: Compared | None = None
  dark_examples: Dark | None = None

  @property
  def list_scores(self) -> np.ndarray | None:
    """A teacher's scores of the lists [Q, C], or None."""
    return self.by_list.get("list_scores_BN")


def choose(examples: Examples) -> Anywhere | FromLists:
  """What says which texts the batch of some query rows is made of."""
  x = examples
  if x.candidates is None:
    copies = x.copies or [()] * len(x.positives)
    return Anywhere(x.positives, copies, len(x.passages), x.negatives)
  return FromLists(
    x.candidates, x.list_scores, x.compared, x.sampling, x.negatives
  )


class Balance:
  """Puts the queries of some batches in an order in which they pack well.

  No loss depends on the order; which queries share a batch does.
  """

  def __init__(
    self, examples: Examples, batch_size: int, grouping: packing.Grouping
  ):
    self._examples, self._batch_size = examples, batch_size
    self._grouping = grouping

  def __call__(self, chosen: Chosen) -> Chosen:
    texts = texts_of(self._examples, chosen).values()
    tokens_Q = np.sum(
      [t.lengths.reshape(len(chosen.row_B), -1).sum(1) for t in texts], axis=0
    )
    order = packing.balanced(tokens_Q, self._batch_size, self._grouping)
    return chosen.at(order)


class Assemble:
  """Reads the chosen texts of a batch, or of a process's rows of it.

  Args:
    examples: what they were chosen from.
    local_rows: int [b], the queries of the batch to read for; None is all.
    packed: how texts share rows; None gives each a row of its own.
  """

  def __init__(
    self,
    examples: Examples,
    local_rows: np.ndarray | None = None,
    packed: packing.Packing | None = None,
  ):
    self._examples, self._local_rows = examples, local_rows
    self._packed = packed
    most = max(len(self._relevant(row)) for row in examples.rows)
    self._most = max(most, 1)

  def __call__(self, chosen: Chosen) -> Batch:
    x, texts = self._examples, texts_of(self._examples, chosen)
    rows = self._local_rows
    if rows is None:
      rows = np.arange(len(chosen.row_B))
    # The lengths of the whole batch decide how texts are packed, on every
    # process alike; what is read is only this process's.
    chosen = chosen.at(rows)
    fields: dict[str, Any] = dict.fromkeys(("query", "passage", "pair"))
    of_teacher: dict[str, Texts] = {}
    for name, joined in texts.items():
      owner = of_teacher if name.startswith(TEACHER) else fields
      owner[name.removeprefix(TEACHER)] = self._read(name, joined, rows)
    if x.teacher is not None:
      fields["teacher"] = TeacherTexts(**of_teacher)
    ids = chosen.ids_BN
    if "triple" in fields or "triple" in of_teacher:
      fields["where_BJ"] = (ids[:, :1] >= 0) & (ids[:, 1:] >= 0)
    return Batch(
      where_BN=ids >= 0,
      query_id_B=chosen.row_B.astype(np.int32),
      passage_id_BN=ids.astype(np.int32),
      positive_id_BM=self._positives(chosen.row_B),
      **fields,
      **self._cached(chosen),
    )

  def _read(self, field: str, texts: Joined, local_rows: np.ndarray) -> Texts:
    """The texts of some queries, in rows as the step takes them."""
    if self._packed is None:
      longest = longest_of(self._examples.data)[field.removeprefix(TEACHER)]
      return rows.padded(texts.at(local_rows), longest)
    grouping, shapes = self._packed
    return packing.pack(texts, local_rows, grouping, shapes[field])

  def _cached(self, chosen: Chosen) -> dict[str, Any]:
    """What other stages know of the texts."""
    x, list_B, column_BN = self._examples, chosen.list_B, chosen.column_BN
    cached = {
      field: taken(values_QC[list_B], column_BN, 0).astype(np.float32)
      for field, values_QC in x.by_list.items()
    }
    if isinstance(x.sampling, draws.RankingGroups):
      group_N = x.sampling.group_N
      cached["ranking_group_BN"] = np.broadcast_to(
        group_N, column_BN.shape
      ).copy()
    if x.compared is not None:
      cached |= _preferences(x.compared, list_B, column_BN)
    if x.dark_examples is not None:
      score_BA = x.dark_examples.score[list_B]
      cached["where_BA"] = ~np.isnan(score_BA)
      cached["dark_scores_BA"] = np.nan_to_num(score_BA).astype(np.float32)
    if x.embeddings is not None:
      rows_BN = np.maximum(chosen.ids_BN, 0)
      query, passage = x.embeddings
      cached["teacher_query_BD"] = np.asarray(query[chosen.row_B])
      cached["teacher_passage_BND"] = np.asarray(passage[rows_BN])
    return cached

  def _positives(self, rows_B: np.ndarray) -> np.ndarray:
    return padded_rows([self._relevant(row) for row in rows_B], self._most)

  def _relevant(self, row: int | np.integer) -> Sequence[int]:
    """The positives of a query, and what says the same; none without labels."""
    x = self._examples
    positives = x.positives[int(row)]
    if not (len(positives) and len(x.copies)):
      return positives
    return (*positives, *x.copies[int(row)])


def texts_of(examples: Examples, chosen: Chosen) -> dict[str, Joined]:
  """The texts of a batch by their field in it, not read yet.

  Those of a teacher with tokens of its own have `TEACHER` in front.
  """
  x = examples
  texts = _texts_of(x, x.data, chosen)
  if x.dark_examples is not None:
    ids_BAL = x.dark_examples.ids[chosen.list_B]
    longest = x.data.passage_length
    texts["dark"] = rows.single(_dense(ids_BAL), longest, x.special)
  if x.teacher is not None:
    of_teacher = _texts_of(x.teacher, x.data, chosen)
    texts |= {TEACHER + field: joined for field, joined in of_teacher.items()}
  return texts


def _texts_of(
  reader: Reader, limits: config.Data, chosen: Chosen
) -> dict[str, Joined]:
  """The texts that one model reads."""
  x, special = reader, reader.special
  Lq, Lp = limits.query_length, limits.passage_length
  texts = {}
  if x.query:
    query = x.queries.slices(chosen.row_B)
    texts["query"] = rows.single(query, Lq, special)
  passage = x.passages.slices(chosen.ids_BN)
  if x.passage:
    texts["passage"] = rows.single(passage, Lp, special)
  if x.pair:
    query, longest = (
      x.queries.slices(chosen.row_B[:, None]),
      rows.pair_length(limits),
    )
    texts["pair"] = rows.pair(query, passage, Lq, longest, special)
  if x.triple:
    query = x.queries.slices(chosen.row_B[:, None, None])
    passage, other = map(x.passages.slices, _sides(chosen.ids_BN))
    texts["triple"] = rows.triple(query, passage, other, (Lq, Lp), special)
  return texts


def _sides(ids_BN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The positive against each other column, in both orders, [B, J, 2] each."""
  other_BJ = ids_BN[:, 1:]
  both = np.broadcast_to(ids_BN[:, :1], other_BJ.shape), other_BJ
  return np.stack(both, axis=-1), np.stack(both[::-1], axis=-1)


def _dense(ids_BAL: np.ndarray) -> Slices:
  """Texts [B, A] of an array in which -1 stands behind each."""
  shape, L = ids_BAL.shape[:-1], ids_BAL.shape[-1]
  start = np.arange(ids_BAL.size // L).reshape(shape) * L
  return Slices(ids_BAL.reshape(-1), start, (ids_BAL >= 0).sum(axis=-1))


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
  first_BJ, second_BJ = (
    np.where(there, side, -1).astype(np.int32) for side in place
  )
  return {
    "first_BJ": first_BJ,
    "second_BJ": second_BJ,
    "prefer_BJ": prefer.astype(np.float32),
  }


def _place(wanted_BJ: np.ndarray, columns_BN: np.ndarray) -> np.ndarray:
  """Where in the drawn columns a list's column stands, -1 for nowhere."""
  same_BJN = wanted_BJ[:, :, None] == columns_BN[:, None, :]
  drawn_BJ = same_BJN.any(axis=-1) & (wanted_BJ >= 0)
  return np.where(drawn_BJ, same_BJN.argmax(axis=-1), -1)
