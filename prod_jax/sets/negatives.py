"""Negatives that come with a set: rows of passages for each row of queries.

They are kept as one array of all rows, end to end by query, with the offsets
of the queries: MS MARCO's official triples are four hundred million. Which
file they stand in is datasets/.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from prod_jax import arrays, artefacts, storage
from prod_jax.ragged import padded_rows
from prod_jax.sets import formats, ids, lines, parallel

_BLOCK_LINES = 1_000_000


class Tables(NamedTuple):
  """Where the ids are of which a pair gets the rows, as `ids.load` takes it."""

  queries: tuple[pathlib.Path, str]
  passages: tuple[pathlib.Path, str]


# Rows of queries and as many of passages, [N] each; -1 where one is unknown.
Pairs = tuple[np.ndarray, np.ndarray]


class Found(NamedTuple):
  """Negatives in the form in which they were published.

  Attributes:
    fingerprint: changes with them.
    pairs: reads them, given the tables and a folder to unpack to.
  """

  fingerprint: str
  pairs: Callable[[Tables, pathlib.Path], Iterator[Pairs]]


class Negatives(NamedTuple):
  """What came with the queries of a split.

  Attributes:
    rows: int32 [N], of the collection, end to end by query.
    offsets: int64 [Q + 1].
  """

  rows: np.ndarray
  offsets: np.ndarray

  def of(self, query: int) -> np.ndarray:
    """Rows of one query, each once, in the order in which they came."""
    rows = self.rows[self.offsets[query] : self.offsets[query + 1]]
    return rows[np.sort(np.unique(rows, return_index=True)[1])]


@dataclasses.dataclass(frozen=True)
class PairFile:
  """A file of lines with the id of a query and that of a negative.

  Attributes:
    source: of the file.
    width: columns, divided by white space.
    query, passage: number of the column of each, from 0.
    more: there may be other columns behind these.
    grade: number of the column of a grade, of which only 0 and below are
      taken; what has no number there is a header. None takes all.
    on_error: what to do with another line, or with an unknown passage. Lines
      of unknown queries are passed over: the set may hold unlabelled ones.
  """

  source: lines.Source
  width: int
  query: int
  passage: int
  on_error: lines.OnError = "raise"
  more: bool = False
  grade: int | None = None

  @property
  def names_one(self) -> bool:
    """Whether each line has one passage, whatever is behind it."""
    return self.more and self.grade is None

  def pairs(self, tables: Tables, folder: pathlib.Path) -> Iterator[Pairs]:
    """Reads them in parallel."""
    try:
      path = lines.plain(self.source, folder)
      blocks = lines.blocks_of(path, _BLOCK_LINES, self.source)
      work = functools.partial(_rows_of, self, tables)
      yield from parallel.in_order(work, blocks, name="reading negatives")
    finally:
      lines.remove_unpacked(folder)


def prepared(
  folder: pathlib.Path, given: Found, tables: Tables, queries: int
) -> Negatives:
  """Opens the negatives, written now unless they were before.

  They are written in bounded memory, and are there whole or not at all.

  Args:
    folder: for them.
    given: what to write.
    tables: of the ids.
    queries: how many there are in the split.
  """
  path = folder / given.fingerprint
  if not artefacts.is_whole(path):
    with storage.whole_folder(path, concurrent=True) as part:
      _write(part, given.pairs(tables, part), queries)
      artefacts.seal(part)
  return Negatives(
    *(
      arrays.read(path / f"{name}.npy", mapped=True)
      for name in Negatives._fields
    )
  )


def choose(
  lists: Iterable[np.ndarray],
  leave_out: Sequence[Collection[int]],
  queries: Sequence[int],
  *,
  limit: int,
  seed: int,
) -> np.ndarray:
  """Makes a table of lists.

  Args:
    lists: rows for each query.
    leave_out: rows of each that are no negatives.
    queries: number of each query, which its choice depends on.
    limit: above 0, a random choice of so many of each list.
    seed: of that choice.

  Returns:
    int32 [Q, C], each list in its order, -1 padded.
  """
  chosen = []
  for rows, out, query in zip(lists, leave_out, queries, strict=True):
    rows = rows[~np.isin(rows, list(out))]
    if 0 < limit < len(rows):
      draw = np.random.default_rng([seed, query])
      rows = rows[np.sort(draw.choice(len(rows), limit, replace=False))]
    chosen.append(rows.astype(np.int32))
  return padded_rows(chosen, max(map(len, chosen), default=0))


def _write(folder: pathlib.Path, pairs: Iterable[Pairs], queries: int) -> None:
  """Sorts pairs by query on disk: all are written, then each to its place."""
  counts = np.zeros(queries, np.int64)
  unsorted = folder / "pairs.bin"
  with open(unsorted, "wb") as file:
    for query, passage in pairs:
      kept = (query >= 0) & (passage >= 0)
      counts += np.bincount(query[kept], minlength=queries)
      np.stack([query[kept], passage[kept]], 1).astype(np.int32).tofile(file)
  offsets = np.concatenate([[0], np.cumsum(counts)])
  np.save(folder / "offsets.npy", offsets, allow_pickle=False)
  rows = np.lib.format.open_memmap(
    folder / "rows.npy", "w+", np.int32, (int(offsets[-1]),)
  )
  free = offsets[:-1].copy()  # where the next row of each query goes
  with open(unsorted, "rb") as file:
    while len(chunk := np.fromfile(file, np.int32, 2 * _BLOCK_LINES)):
      query, passage = chunk.reshape(-1, 2).T
      order = np.argsort(query, kind="stable")
      groups, first, size = np.unique(
        query[order], return_index=True, return_counts=True
      )
      nth = np.arange(len(query)) - np.repeat(first, size)
      rows[np.repeat(free[groups], size) + nth] = passage[order]
      free[groups] += size
  rows.flush()
  unsorted.unlink()


def _is_irrelevant(grade: str) -> bool:
  number = grade.removeprefix("-")
  return number.isdecimal() and (not number.strip("0") or number != grade)


def _rows_of(file: PairFile, tables: Tables, block: lines.Block) -> Pairs:
  faults = lines.Faults(file.source, file.on_error)
  numbers, fields = [], []
  for number, line in lines.read_block(block, faults):
    columns = line.split()
    if not (
      len(columns) == file.width or (file.more and columns[file.width :])
    ):
      wanted = f"{file.width} or more" if file.more else f"{file.width}"
      faults.columns(number, len(columns), wanted)
      continue
    if file.grade is not None and not _is_irrelevant(columns[file.grade]):
      continue
    numbers.append(number)
    next_one = [*columns[file.width :], ""][0] if file.names_one else ""
    fields.append((columns[file.query], columns[file.passage], next_one))
  if not fields:
    return np.array([], np.int64), np.array([], np.int64)
  queries, passages, behind = (
    np.array([name.encode() for name in column])
    for column in zip(*fields, strict=True)
  )
  query = ids.load(*tables.queries).rows(queries)
  known = ids.load(*tables.passages)
  passage = known.rows(passages)
  # A number there may as well be a score or a rank.
  others = (behind != b"") & ~np.char.isdigit(behind)
  others[others] = known.rows(behind[others]) >= 0
  for at in np.flatnonzero(others):
    faults.add(
      numbers[at],
      "several passages",
      f"several passages, {passages[at].decode()} and {behind[at].decode()}",
      "write one negative a line; where the last of three columns is the "
      f"negative, name the file {formats.TRIPLES}",
    )
  passage[others] = -1
  for at in np.flatnonzero((passage < 0) & (query >= 0) & ~others):
    faults.unknown(numbers[at], "passage", passages[at].decode())
  faults.log()
  return query, passage
