"""The prepared collection by row, whole or a fixed choice of it."""

import collections.abc
import hashlib
import heapq
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from prod_jax.sets import ids
from prod_jax.sets.records import DataError, Passage, Query

_CHUNK = 1024  # records read at once; threads decompress them
_OPEN = 64 * _CHUNK  # records, after which files that were opened are closed


class Passages(collections.abc.Sequence):
  """The collection by row; a text is read when it is asked for.

  Attributes:
    fingerprint: changes whenever a passage or a row could.
    rows: of the whole collection, by row of this one; increasing.
  """

  def __init__(
    self,
    source: Any,
    rows: Sequence[int] | np.ndarray,
    ids: np.ndarray,
    fingerprint: str,
  ):
    self.fingerprint = fingerprint
    self.rows = rows
    self._source = source
    self._ids = ids

  def __len__(self) -> int:
    return len(self._ids)

  def __getitem__(self, row: Any) -> Any:
    """The passage of a row; slices are not read."""
    return _passage(self._source[int(self.rows[self._row(row)])])

  def __iter__(self) -> Iterator[Passage]:
    return map(_passage, stream(self._source, self.rows))

  def id(self, row: SupportsIndex) -> str:
    """The passage's id alone, without reading its text."""
    return self._ids[self._row(row)].decode()

  def _row(self, row: SupportsIndex) -> int:
    row = operator.index(row)
    if not 0 <= row < len(self):
      raise IndexError(f"row {row} of a collection of {len(self)} passages")
    return row


def open_passages(
  builder: Any,
  split: str,
  row_of: ids.RowOf,
  queries: Mapping[str, Sequence[Query]],
  limit: int,
) -> tuple[Passages, ids.RowOf]:
  """Opens a collection, or the labelled passages and others up to so many.

  Args:
    builder: of the prepared passages.
    split: of the builder.
    row_of: the table of all.
    queries: whose labelled passages are kept.
    limit: how many to keep; 0 is all.

  Raises:
    DataError: more are labelled.
  """
  names: Any = row_of.ids
  rows: Any = range(len(names))
  key = [builder.info.full_name]
  if 0 < limit < len(names):
    labelled = {
      row_of[name]
      for split in queries.values()
      for query in split
      for name, _ in query.positives
    }
    if limit < len(labelled):
      raise DataError(
        f"max_passages is {limit}, but {len(labelled)} passages are labelled "
        "for the queries; raise it or lower max_queries"
      )
    others = (row for row in rows if row not in labelled)
    chosen = smallest_hashes(names, others, limit - len(labelled))
    rows = np.array(sorted(labelled.union(chosen)))
    names = names[rows]
    row_of = ids.RowOf(names, ids.sorted_rows(names))
    key += [digest(*(name.decode() for name in names))]
  source = builder.as_data_source(split=split)
  return Passages(source, rows, names, digest(*key)), row_of


def smallest_hashes(names: Any, rows: Iterable[int], limit: int) -> list[int]:
  """So many of some rows: a choice that neither order nor growth disturbs.

  Args:
    names: bytes by row.
    rows: to choose from.
    limit: how many.
  """
  return sorted(
    heapq.nsmallest(limit, rows, key=lambda row: digest(names[row].decode()))
  )


def stream(
  source: Any, rows: Sequence[int] | np.ndarray
) -> Iterator[Mapping[str, Any]]:
  """Records of a prepared split, read some at a time."""
  for first in range(0, len(rows), _OPEN):
    some = rows[first : first + _OPEN]
    with source.data_source:
      for start in range(0, len(some), _CHUNK):
        read = map(int, some[start : start + _CHUNK])
        yield from source.__getitems__([*read])


def _passage(record: Mapping[str, Any]) -> Passage:
  return Passage(*(record[field].decode() for field in Passage._fields))


def digest(*parts: Any) -> str:
  """The first 64 bits of a digest of what the parts look like."""
  return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
