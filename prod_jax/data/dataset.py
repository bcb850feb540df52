"""A prepared retrieval set: passages by row, queries by split, labels.

`open_dataset` prepares what is not on disk yet and opens it. Texts stay on
disk and are read by row; ids are memory-mapped. How records are stored is
datasets/, turning texts into tokens is tokens.py.
"""

import collections
import dataclasses
import hashlib
import operator
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np
from absl import logging

from prod_jax.data.datasets import folder, layout, pydocs
from prod_jax.data.formats import OnError
from prod_jax.data.records import DataError, Passage, Query

_CHUNK = 1024  # records read at once; threads decompress them


class Passages(collections.abc.Sequence):
  """The collection by row; a text is read when it is asked for.

  Attributes:
    fingerprint: changes whenever a passage or a row could.
  """

  def __init__(
    self,
    source: Any,
    rows: Sequence[int] | np.ndarray,
    ids: np.ndarray,
    fingerprint: str,
  ):
    self.fingerprint = fingerprint
    self._source = source
    self._rows = rows  # of the source
    self._ids = ids

  def __len__(self) -> int:
    return len(self._ids)

  def __getitem__(self, row: SupportsIndex) -> Passage:
    return _passage(self._source[int(self._rows[self._row(row)])])

  def __iter__(self) -> Iterator[Passage]:
    return map(_passage, _stream(self._source, self._rows))

  def id(self, row: SupportsIndex) -> str:
    """The passage's id alone, without reading its text."""
    return self._ids[self._row(row)].decode()

  def _row(self, row: SupportsIndex) -> int:
    row = operator.index(row)
    if not 0 <= row < len(self):
      raise IndexError(f"row {row} of a collection of {len(self)} passages")
    return row


class RowOf(collections.abc.Mapping):
  """Passage id -> row, by bisection in memory-mapped tables."""

  def __init__(self, ids: np.ndarray, order: np.ndarray):
    self._ids = ids
    self._order = order

  def __len__(self) -> int:
    return len(self._ids)

  def __iter__(self) -> Iterator[str]:
    return (name.decode() for name in self._ids)

  def __getitem__(self, name: str) -> int:
    key = name.encode()
    # A longer key would make numpy copy the whole table to its width.
    if len(key) <= self._ids.itemsize:
      at = np.searchsorted(self._ids, key, sorter=self._order)
      if at < len(self) and self._ids[self._order[at]] == key:
        return int(self._order[at])
    raise KeyError(name)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
  """A retrieval set.

  Attributes:
    name: "pydocs", or the folder's own name.
    fingerprint: changes whenever any content of this object could.
    passages: by row.
    queries: by split; a query's position in its split is its row.
    row_of: passage id -> row.
  """

  name: str
  fingerprint: str
  passages: Passages
  queries: Mapping[str, Sequence[Query]]
  row_of: Mapping[str, int]

  def positive_rows(self, split: str) -> list[tuple[int, ...]]:
    """Rows of the labelled positives of each query of a split."""
    return [
      tuple(self.row_of[name] for name, _ in query.positives)
      for query in self.queries[split]
    ]

  def qrels(self, split: str) -> dict[str, dict[str, int]]:
    """{query id: {passage id: grade}}, of grades above 0."""
    return {query.id: dict(query.positives) for query in self.queries[split]}


def open_dataset(
  name: str,
  path: str,
  data_dir: str,
  on_error: OnError = "raise",
  max_queries: Mapping[str, int] | None = None,
  max_passages: int = 0,
) -> Dataset:
  """Opens a retrieval set, prepared now unless it was before.

  Args:
    name: "pydocs" for docstrings of installed packages, or "folder".
    path: the folder in the MS MARCO layout; only for "folder".
    data_dir: where prepared data is kept.
    on_error: at a malformed line of a folder, "raise" or "skip" it.
    max_queries: at most so many queries of a split, always the same ones.
    max_passages: above 0, the labelled passages of these queries and others
      up to so many, always the same ones.

  Raises:
    DataError: the data is not there or is at fault.
    ValueError: another name.
  """
  start = time.monotonic()
  if name == "pydocs":
    makers = pydocs.builders(data_dir)
  elif name == "folder":
    makers = folder.builders(path, data_dir, on_error)
    name = folder.base_name(path)
  else:
    raise ValueError(f"dataset {name!r} is neither 'pydocs' nor 'folder'")
  builders = {kind: layout.prepared(make) for kind, make in makers.items()}
  limits = dict(max_queries or {})
  queries = _read_queries(builders["queries"], limits)
  passages, row_of = _read_passages(builders["passages"], queries, max_passages)
  names = (b.info.full_name for b in builders.values())
  dataset = Dataset(
    name=name,
    fingerprint=_hash(*names, limits, max_passages),
    passages=passages,
    queries=queries,
    row_of=row_of,
  )
  logging.info(
    "%s: %d passages, queries %s; opened in %.1f s",
    name,
    len(passages),
    ", ".join(f"{k} {len(v)}" for k, v in dataset.queries.items()),
    time.monotonic() - start,
  )
  return dataset


def _read_queries(
  builder: Any, limits: Mapping[str, int]
) -> dict[str, list[Query]]:
  splits = [s for s in ("train", "dev", "test") if s in builder.info.splits]
  for split, most in limits.items():
    if split not in splits or most < 1:
      raise DataError(
        f"max_queries asks for {most} queries of {split!r}; there are the "
        f"splits {', '.join(splits)}, and it takes 1 or more"
      )
  queries = {}
  for split in splits:
    rows = range(builder.info.splits[split].num_examples)
    if split in limits:
      ids, _ = layout.read_ids(builder, split)
      # The smallest hashes: a choice that neither order nor growth disturbs.
      chosen = sorted(rows, key=lambda row, ids=ids: _hash(ids[row].decode()))
      rows = sorted(chosen[: limits[split]])
    source = builder.as_data_source(split=split)
    queries[split] = [_query(record) for record in _stream(source, rows)]
  return queries


def _read_passages(
  builder: Any, queries: Mapping[str, Sequence[Query]], most: int
) -> tuple[Passages, RowOf]:
  ids, order = layout.read_ids(builder, layout.CORPUS)
  row_of = RowOf(ids, order)
  rows = range(len(ids))
  key = [builder.info.full_name]
  if 0 < most < len(ids):
    labelled = {
      row_of[name]
      for split in queries.values()
      for query in split
      for name, _ in query.positives
    }
    if most < len(labelled):
      raise DataError(
        f"max_passages is {most}, but {len(labelled)} passages are labelled "
        "for the queries; raise it or lower max_queries"
      )
    others = sorted(
      set(rows) - labelled, key=lambda row: _hash(ids[row].decode())
    )
    rows = np.array(sorted(labelled.union(others[: most - len(labelled)])))
    ids = ids[rows]
    row_of = RowOf(ids, np.argsort(ids, kind="stable"))
    key += [_hash(*(name.decode() for name in ids))]
  source = builder.as_data_source(split=layout.CORPUS)
  return Passages(source, rows, ids, _hash(*key)), row_of


def _stream(
  source: Any, rows: Sequence[int] | np.ndarray
) -> Iterator[Mapping[str, Any]]:
  for start in range(0, len(rows), _CHUNK):
    yield from source.__getitems__([*map(int, rows[start : start + _CHUNK])])


def _passage(record: Mapping[str, Any]) -> Passage:
  return Passage(*(record[field].decode() for field in Passage._fields))


def _query(record: Mapping[str, Any]) -> Query:
  positives = record["positives"]
  return Query(
    record["id"].decode(),
    record["text"].decode(),
    tuple(
      (name.decode(), int(grade))
      for name, grade in zip(positives["id"], positives["grade"], strict=True)
    ),
  )


def _hash(*parts: Any) -> str:
  """The first 64 bits of a digest of what the parts look like."""
  return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
