"""Candidate lists and what teachers say of them: on disk, and put in order.

Which of their columns a step takes is draws.py.
"""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from prod_jax import arrays


class Candidates(NamedTuple):
  """Passages for Q queries, with labels.

  A list is the passages that a stage found, in its order, followed by the
  labelled positives that are not among them; it is padded to C columns.

  Attributes:
    query: int32 [Q], row in the query table.
    ids: int32 [Q, C], row in the collection, -1 on padding.
    label: bool [Q, C], True on labelled positives.
    rank: int32 [Q, C], 0-based rank, -1 where it was not retrieved.
    score: float32 [Q, C], the retriever's score, NaN where there is none.
  """

  query: np.ndarray
  ids: np.ndarray
  label: np.ndarray
  rank: np.ndarray
  score: np.ndarray


class Compared(NamedTuple):
  """A pairwise teacher's preferences, aligned with candidate lists.

  Attributes:
    first, second: int32 [Q, J], columns of a list, -1 on padding.
    prefer: float32 [Q, J], the probability that the first is the better one.
  """

  first: np.ndarray
  second: np.ndarray
  prefer: np.ndarray


class Dark(NamedTuple):
  """Generated passages with a teacher's scores, aligned with candidate lists.

  Attributes:
    ids: int32 [Q, A, L], content tokens, -1 on padding.
    score: float32 [Q, A], the teacher's scores, NaN where there is no passage.
  """

  ids: np.ndarray
  score: np.ndarray


T = TypeVar("T", Candidates, Compared, Dark)


def save_lists(
  arrays: Candidates | Compared | Dark, folder: pathlib.Path
) -> None:
  """Writes one .npy a field."""
  folder.mkdir(parents=True, exist_ok=True)
  for name, value in arrays._asdict().items():
    np.save(folder / f"{name}.npy", value)


def load_lists(cls: type[T], folder: pathlib.Path) -> T:
  """Memory-maps what `save_lists` wrote of a `cls`."""
  return cls(
    *(arrays.read(folder / f"{name}.npy", mapped=True) for name in cls._fields)
  )


def without(
  lists: Candidates, rows: Sequence[Sequence[int]]
) -> tuple[Candidates, np.ndarray]:
  """The lists as if they had been retrieved without certain passages.

  Args:
    lists: as they were retrieved.
    rows: of the passages to take out of each.

  Returns:
    The lists, and how many passages each has lost.
  """
  out_QC = np.zeros(lists.ids.shape, bool)
  for out, ids, gone in zip(out_QC, lists.ids, rows, strict=True):
    if len(gone):
      out[:] = np.isin(ids, gone)
  return emptied(lists, out_QC), out_QC.sum(axis=1)


def emptied(lists: Candidates, out_QC: np.ndarray) -> Candidates:
  """The lists as if they had been retrieved without some passages.

  Their places are empty, and the ranks behind them are one less.

  Args:
    lists: as they were retrieved.
    out_QC: bool, the places.
  """
  rank_QC = np.array(lists.rank)
  for line in np.flatnonzero(out_QC.any(axis=1)):
    rank, out = rank_QC[line], out_QC[line]
    # A missing rank, -1, is before all and stays.
    rank -= np.searchsorted(np.sort(rank[out & (rank >= 0)]), rank)
  return Candidates(
    query=lists.query,
    ids=np.where(out_QC, np.int32(-1), lists.ids),
    label=lists.label & ~out_QC,
    rank=np.where(out_QC, np.int32(-1), rank_QC),
    score=np.where(out_QC, np.float32(np.nan), lists.score),
  )


def unordered(lists: Candidates) -> np.ndarray:
  """bool [Q]: lists of passages that nobody has ranked."""
  return np.any(lists.ids >= 0, axis=1) & np.all(lists.rank < 0, axis=1)


def keep_negatives(
  lists: Candidates, negatives: int, labelled: int
) -> Candidates:
  """The lists with only the first `negatives` of their unlabelled passages.

  Order and ranks stay; what is dropped leaves no gap.

  Args:
    lists: of at most `labelled` labelled passages each.
    negatives: 1 or more.
    labelled: decides the width, so that blocks of lists fit together.

  Returns:
    Lists of `negatives + labelled` columns, or of as many as before if fewer.
  """
  negative = ~lists.label & (lists.ids >= 0)
  there = lists.label | (negative & (negative.cumsum(axis=1) <= negatives))
  width = min(lists.ids.shape[1], negatives + labelled)
  order = np.argsort(~there, axis=1, kind="stable")[:, :width]
  there = np.take_along_axis(there, order, axis=1)

  def take(values: np.ndarray, missing: Any) -> np.ndarray:
    taken = np.take_along_axis(values, order, axis=1)
    return np.where(there, taken, np.asarray(missing, values.dtype))

  return Candidates(
    query=lists.query,
    ids=take(lists.ids, -1),
    label=take(lists.label, False),
    rank=take(lists.rank, -1),
    score=take(lists.score, np.nan),
  )


def relabel(
  lists: Candidates, label_QC: np.ndarray, gold_Q: np.ndarray
) -> Candidates:
  """The lists with more positives, as DPR's mining by answers makes them.

  The gold passage of a query comes first in its list, and so is the positive
  that a step draws; ranks and scores move with their passage.

  Args:
    lists: as mined, with the gold passage in each.
    label_QC: bool, positives besides those that are labelled already.
    gold_Q: row of the gold passage of each.
  """
  first_Q = (lists.ids == gold_Q[:, None]).argmax(axis=1)
  columns_QC = np.tile(np.arange(label_QC.shape[1]), (len(label_QC), 1))
  # The gold column sorts before column 0, the others keep their order.
  columns_QC[np.arange(len(label_QC)), first_Q] = -1
  order_QC = np.argsort(columns_QC, axis=1)

  def moved(values: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values, order_QC, axis=1)

  return lists._replace(
    ids=moved(lists.ids),
    label=moved(lists.label | label_QC),
    rank=moved(lists.rank),
    score=moved(lists.score),
  )


def first_rank(ranks: np.ndarray, label: np.ndarray) -> np.ndarray:
  """Rank of the first labelled positive of each list.

  Args:
    ranks: [Q, C], any order; -1 where a passage has no rank.
    label: bool [Q, C].

  Returns:
    int64 [Q], -1 where no positive has a rank.
  """
  ranks = ranks.astype(np.int64)
  large = np.iinfo(np.int64).max
  best = np.where(label & (ranks >= 0), ranks, large).min(axis=1)
  return np.where(best == large, -1, best)
