"""From the pairs of a foreign file to lists, or to scores of other lists."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from prod_jax.batches.lists import Candidates, emptied
from prod_jax.sets.copies import Copies
from prod_jax.sets.foreign import records
from prod_jax.sets.foreign.read import Pairs


class Labels(NamedTuple):
  """What a set says of its passages.

  Attributes:
    positives: rows of the labelled passages of each query.
    copies: of these.
    passages: of the collection.
  """

  positives: Sequence[Sequence[int]]
  copies: Copies
  passages: int

  @property
  def labelled(self) -> np.ndarray:
    """bool: queries with a labelled passage."""
    return np.array([bool(rows) for rows in self.positives], bool)

  def codes(self) -> np.ndarray:
    """int64: each query with each labelled passage, in order."""
    count = [len(rows) for rows in self.positives]
    query = np.repeat(np.arange(len(count)), count)
    rows = np.array([r for rows in self.positives for r in rows], np.int64)
    return np.sort(self.code(query, rows))

  def code(self, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
    """One number for a query and a passage."""
    return query.astype(np.int64) * self.passages + passage


class Tidy(NamedTuple):
  """The pairs of a file, each once, with what has been done to them.

  Attributes:
    pairs: in the order of the file.
    label: bool [N].
    copies: pairs of a passage with the text of a labelled one, which stand for
      that one now.
    repeated: lines of a pair that another line has; the first score counts, of
      the passage itself before one of its copy.
    contradictory: pairs that have several scores.
    unlabelled: pairs that the file calls positive and the set does not.
  """

  pairs: Pairs
  label: np.ndarray
  copies: int
  repeated: int
  contradictory: int
  unlabelled: int


def tidied(pairs: Pairs, labels: Labels, *, add: bool) -> Tidy:
  """Takes each pair once, and labels it.

  Args:
    pairs: of the file.
    labels: of the set.
    add: what the file calls positive is labelled. Else it is left out, since it
      is no negative; of a query without labels it is a candidate as the others.
  """
  passage, is_copy = _originals(pairs, labels)
  pairs = pairs._replace(passage=passage)
  codes = labels.code(pairs.query, pairs.passage)
  first = _first(codes, pairs.score, is_copy)
  repeated = len(codes) - len(first)
  contradictory = _contradictory(codes, pairs.score)
  # A line may call a pair positive that an earlier one only names.
  called = np.unique(codes[pairs.role == records.POSITIVE])
  pairs, codes = Pairs(*(x[first] for x in pairs)), codes[first]
  label = np.isin(codes, labels.codes())
  only_called = np.isin(codes, called) & ~label
  if add:
    label |= only_called
  else:
    keep = ~(only_called & labels.labelled[pairs.query])
    pairs, label = Pairs(*(x[keep] for x in pairs)), label[keep]
  unlabelled = int(only_called.sum())
  copied = int(is_copy.sum())
  return Tidy(pairs, label, copied, repeated, contradictory, unlabelled)


def lists_of(tidy: Tidy, labels: Labels) -> Candidates:
  """The passages of a file by score, then the labelled ones that it lacks.

  Without a score they stand in the order of the file, labelled ones last, and
  have no rank. Queries without any pair have no list, nor have those whose
  labels are all left out of the file's.
  """
  query, passage, score, label = _with_missed(tidy, labels)
  ranked = ~np.isnan(score)
  order = np.lexsort((label & ~ranked, np.where(ranked, -score, np.inf), query))
  query, passage, score, label, ranked = (
    x[order] for x in (query, passage, score, label, ranked)
  )
  lists, line, count = np.unique(query, return_inverse=True, return_counts=True)
  column = np.arange(len(query)) - np.repeat(np.cumsum(count) - count, count)
  shape = len(lists), int(count.max(initial=0))
  made = Candidates(
    query=lists.astype(np.int32),
    ids=np.full(shape, -1, np.int32),
    label=np.zeros(shape, bool),
    rank=np.full(shape, -1, np.int32),
    score=np.full(shape, np.nan, np.float32),
  )
  made.ids[line, column] = passage
  made.label[line, column] = label
  made.rank[line, column] = np.where(ranked, column, -1)
  made.score[line, column] = score
  return _take(made, _keep(made, labels))


def scores_of(lists: Candidates, pairs: Pairs, labels: Labels) -> np.ndarray:
  """The file's scores of lists, float32 [Q, C]; NaN where it has none."""
  known = ~np.isnan(pairs.score)
  codes = labels.code(pairs.query, pairs.passage)[known]
  order = np.argsort(codes)
  codes, values = codes[order], pairs.score[known][order]
  if not len(codes):
    return np.full(lists.ids.shape, np.nan, np.float32)
  wanted_QC = labels.code(lists.query[:, None], lists.ids)
  at = np.minimum(np.searchsorted(codes, wanted_QC), len(codes) - 1)
  there = (codes[at] == wanted_QC) & (lists.ids >= 0)
  return np.where(there, values[at], np.float32(np.nan))


def missing(lists: Candidates, scores_QC: np.ndarray) -> np.ndarray:
  """bool [Q, C]: passages of lists without a score."""
  return (lists.ids >= 0) & np.isnan(scores_QC)


def dropped(
  lists: Candidates, scores_QC: np.ndarray, labels: Labels
) -> tuple[Candidates, np.ndarray]:
  """Lists and scores without the passages that have none.

  A list without a labelled passage left, or without any, is left out.
  """
  lists = emptied(lists, missing(lists, scores_QC))
  keep_Q = _keep(lists, labels)
  return _take(lists, keep_Q), scores_QC[keep_Q]


def _originals(pairs: Pairs, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
  """Passages [N], the labelled one in place of its copy; which these are."""
  copies = labels.copies
  if not len(copies.query):
    return pairs.passage, np.zeros(len(pairs.passage), bool)
  codes = labels.code(copies.query, copies.row)  # in order
  wanted = labels.code(pairs.query, pairs.passage)
  at = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
  is_copy = codes[at] == wanted
  passage = np.where(is_copy, copies.positive[at], pairs.passage)
  return passage.astype(np.int32), is_copy


def _first(
  codes: np.ndarray, scores: np.ndarray, is_copy: np.ndarray
) -> np.ndarray:
  """The lines that count: of each pair the first, of those with a score.

  What the file says of a passage itself comes before what it says of a copy.
  """
  scored_first = np.lexsort((is_copy, np.isnan(scores)))
  return np.sort(
    scored_first[np.unique(codes[scored_first], return_index=True)[1]]
  )


def _contradictory(codes: np.ndarray, scores: np.ndarray) -> int:
  """How many pairs have scores that differ."""
  scored = ~np.isnan(scores)
  codes, scores = codes[scored], scores[scored]
  order = np.lexsort((scores, codes))
  codes, scores = codes[order], scores[order]
  differs = (codes[1:] == codes[:-1]) & (scores[1:] != scores[:-1])
  return len(np.unique(codes[1:][differs]))


def _with_missed(tidy: Tidy, labels: Labels) -> tuple[np.ndarray, ...]:
  """Queries, passages, scores and labels, with labels that the file lacks."""
  pairs = tidy.pairs
  codes = labels.codes()
  there = labels.code(pairs.query, pairs.passage)
  missed = codes[~np.isin(codes, there)]
  missed = missed[np.isin(missed // labels.passages, pairs.query)]
  nothing = np.full(len(missed), np.nan, np.float32)
  return (
    np.concatenate([pairs.query, missed // labels.passages]),
    np.concatenate([pairs.passage, missed % labels.passages]),
    np.concatenate([pairs.score, nothing]),
    np.concatenate([tidy.label, np.ones(len(missed), bool)]),
  )


def _keep(lists: Candidates, labels: Labels) -> np.ndarray:
  """bool [Q]: lists with a label, or of a query that nobody labelled."""
  something = (lists.ids >= 0).any(axis=1)
  bare = ~labels.labelled[lists.query]
  return lists.label.any(axis=1) | (bare & something)


def _take(lists: Candidates, keep_Q: np.ndarray) -> Candidates:
  return Candidates(*(x[keep_Q] for x in lists))
