"""Candidate lists on disk, and which of their columns a step trains on."""

import pathlib
from typing import Literal, NamedTuple

import numpy as np

Sampling = Literal["random", "descend"]


class Candidates(NamedTuple):
  """What was retrieved for Q queries, with labels.

  A list is the retrieved passages in ranked order, followed by the labelled
  positives that were not retrieved; it is padded to C columns.

  Attributes:
    query: int32 [Q], row in the query table.
    ids: int32 [Q, C], row in the collection, -1 on padding.
    label: bool [Q, C], True on labelled positives.
    rank: int32 [Q, C], 0-based rank, -1 where not retrieved.
    score: float32 [Q, C], the retriever's score, NaN on padding.
  """

  query: np.ndarray
  ids: np.ndarray
  label: np.ndarray
  rank: np.ndarray
  score: np.ndarray

  def save(self, folder: pathlib.Path) -> None:
    """Writes one .npy a field."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in self._asdict().items():
      np.save(folder / f"{name}.npy", value)

  @classmethod
  def load(cls, folder: pathlib.Path) -> "Candidates":
    """Memory-maps what `save` wrote."""
    return cls(
      *(
        np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in cls._fields
      )
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


def choose_columns(
  candidates: Candidates,
  lists: np.ndarray,
  negatives: int,
  sampling: Sampling,
  rng: np.random.Generator,
) -> np.ndarray:
  """Columns to train on: the positive, then the negatives.

  The positive is the first labelled one in the list: the best ranked, or the
  first in the qrels where none was retrieved. The official code of PROD takes
  the first of the file; a list without any positive never gets here. With
  fewer negatives than asked for, they are repeated (as in the official code),
  so that the shape stays.

  Args:
    candidates: all lists.
    lists: int [B], which of them.
    negatives: columns after the positive.
    sampling: "random" without replacement, or "descend" for the first ones in
      ranked order.
    rng: of this batch.

  Returns:
    int64 [B, 1 + negatives]; -1 where a list has no negative at all.
  """
  label = candidates.label[lists]
  is_negative = ~label & (candidates.ids[lists] >= 0)
  columns = np.arange(label.shape[1])
  key = (
    rng.random(label.shape)
    if sampling == "random"
    else np.broadcast_to(columns, label.shape)
  )
  order = np.argsort(np.where(is_negative, key, np.inf), axis=1, kind="stable")
  count = is_negative.sum(axis=1, keepdims=True)
  wanted = np.arange(negatives)[None, :] % np.maximum(count, 1)
  chosen = np.take_along_axis(order, wanted, axis=1)
  chosen = np.where(count > 0, chosen, -1)
  return np.concatenate([label.argmax(axis=1)[:, None], chosen], axis=1)
