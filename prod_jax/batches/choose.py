"""Which texts a batch is made of, before any of them is read.

Columns are drawn for all queries of a batch on every process, so that a batch
does not depend on how it is divided. What is read for them is assemble.py.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from prod_jax.batches import draws
from prod_jax.batches.lists import Candidates, Compared


class Chosen(NamedTuple):
  """The texts of a batch.

  Attributes:
    row_B: rows of the query table.
    ids_BN: rows of the collection, -1 where there is no passage; column 0 is a
      labelled positive, of a query that has one.
    list_B: numbers of the queries' lists, None without lists.
    column_BN: of the lists, -1 as in `ids_BN`; None without lists.
  """

  row_B: np.ndarray
  ids_BN: np.ndarray
  list_B: Any = None
  column_BN: Any = None

  def at(self, queries: np.ndarray | slice) -> "Chosen":
    """The texts of these queries of the batch, in their order."""
    by_list = (None if x is None else x[queries] for x in self[2:])
    return Chosen(self.row_B[queries], self.ids_BN[queries], *by_list)


class Anywhere:
  """The first positive and negatives from anywhere in the collection.

  Args:
    positives: rows by query.
    copies: rows by query that are no negatives either.
    passages: of the collection.
    negatives: of a query.
  """

  def __init__(
    self,
    positives: Sequence[Sequence[int]],
    copies: Sequence[Sequence[int]],
    passages: int,
    negatives: int,
  ):
    self._positives, self._copies = positives, copies
    self._passages, self._negatives = passages, negatives

  def __call__(self, row_B: np.ndarray, rng: np.random.Generator) -> Chosen:
    first = np.array([self._positives[row][0] for row in row_B])
    shape = (len(row_B), self._negatives)
    other = rng.integers(self._passages, size=shape)
    for row, drawn in zip(row_B, other, strict=True):
      none = (*self._positives[row], *self._copies[row])
      drawn[np.isin(drawn, none)] = -1
    return Chosen(row_B, np.c_[first, other])


class FromLists:
  """Columns of the queries' stored lists."""

  def __init__(
    self,
    lists: Candidates,
    scores_QC: np.ndarray | None,
    compared: Compared | None,
    sampling: draws.Sampling,
    negatives: int,
  ):
    self._lists, self._compared = lists, compared
    self._scores_QC = scores_QC
    self._sampling, self._negatives = sampling, negatives
    self._list_of = {int(row): i for i, row in enumerate(lists.query)}

  def __call__(self, row_B: np.ndarray, rng: np.random.Generator) -> Chosen:
    list_B = np.array([self._list_of[int(row)] for row in row_B])
    lists = draws.lists_of(
      self._lists, list_B, self._scores_QC, self._in_pairs(list_B)
    )
    column_BN = self._sampling(lists, self._negatives, rng)
    return Chosen(row_B, taken(lists.ids, column_BN, -1), list_B, column_BN)

  def _in_pairs(self, list_B: np.ndarray) -> np.ndarray | None:
    """bool [B, C]: columns that stand in a stored pair, so as to keep it."""
    if self._compared is None:
      return None
    out = np.zeros((len(list_B), self._lists.ids.shape[1] + 1), bool)
    for side in (self._compared.first, self._compared.second):
      np.put_along_axis(out, side[list_B].astype(np.int64), True, axis=1)
    return out[:, :-1]  # padding, -1, went to the column behind the list


def taken(
  matrix_BC: np.ndarray, column_BN: np.ndarray, missing: int
) -> np.ndarray:
  """The columns of each line, and `missing` for a column of -1."""
  taken_BN = np.take_along_axis(matrix_BC, np.maximum(column_BN, 0), axis=1)
  return np.where(column_BN >= 0, taken_BN, missing)
