"""A collection file in shards: each is read on its own, by any process.

`index` reads all of it once, in parallel, finds faults and duplicate ids, and
keeps the ids as tables. What a shard then yields is the same in any process
and any number of times. What a line means is formats.py.
"""

import collections
import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from prod_jax.sets import formats, ids, lines, parallel, titles
from prod_jax.sets.records import DataError, Passage

FIRST_LINES = 10_000  # that `check_first_lines` reads, in some 50 ms
_SHARD_LINES = 50_000  # not so few that a large set has thousands of files

# Takes line number, line and faults; None where the line has one.
Parse = Callable[[int, str, lines.Faults], Passage | None]


@dataclasses.dataclass(frozen=True)
class Collection:
  """A file of passages, one on a line.

  Attributes:
    source: of the file.
    parse: what a line is; can be pickled.
    on_error: what to do with a line that is no passage.
    header: the first line is none, and this is what it says.
    titles: a file of passage ids and titles.
    shard_lines: lines of a shard; 0 is 50,000.
  """

  source: lines.Source
  parse: Parse
  on_error: lines.OnError = "raise"
  header: str = ""
  titles: lines.Source | None = None
  shard_lines: int = 0


class Shard(NamedTuple):
  """Consecutive passages.

  Attributes:
    collection: that they are of.
    block: of the plain file.
    dropped: line numbers of later passages with the id of an earlier one.
    titles: of all passages, where they stand in a file of their own.
    first: row of the first passage.
  """

  collection: Collection
  block: lines.Block
  dropped: frozenset[int]
  titles: titles.Titles | None
  first: int

  def __call__(self) -> Iterator[Passage]:
    skipped: collections.Counter[str] = collections.Counter()
    passages = (
      passage
      for number, passage in _read(self.collection, self.block, skipped)
      if number not in self.dropped
    )
    if self.titles is None:
      yield from passages
      return
    # The passages are counted by what they yield, the titles have no end.
    own = self.titles.read(self.first)
    for passage, title in zip(passages, own, strict=False):
      yield passage._replace(title=title)


class Index(NamedTuple):
  """Shards in order, and the ids of all their passages by row."""

  shards: list[Shard]
  row_of: ids.RowOf


def index(collection: Collection, folder: pathlib.Path) -> Index:
  """Reads a collection once.

  Args:
    collection: to read.
    folder: where a compressed file is unpacked to. It is the caller's to
      delete, once the shards are no longer needed.

  Raises:
    DataError: the file cannot be read, or a line is at fault.
  """
  path = lines.plain(collection.source, folder)
  blocks = lines.blocks_of(
    path, collection.shard_lines or _SHARD_LINES, collection.source
  )
  _check_header(collection, blocks)
  work = functools.partial(_ids_of, collection)
  name = f"reading {pathlib.Path(str(collection.source)).name}"
  parts = list(parallel.in_order(work, blocks, name=name))
  faults = lines.Faults(collection.source, collection.on_error)
  for _, _, skipped in parts:
    faults.skipped.update(skipped)
  names = np.concatenate([part[0] for part in parts] or [np.array([], "S1")])
  numbers = np.concatenate([part[1] for part in parts] or [np.array([], int)])
  if not len(names):
    raise DataError(f"{collection.source}: there is no passage in it")
  row_of, dropped = _without_duplicates(names, numbers, faults)
  faults.log()
  found = None
  if collection.titles is not None:
    found = titles.locate(
      collection.titles, row_of, folder, collection.on_error
    )
  shards, first = [], 0
  for block, (_, inside, _) in zip(blocks, parts, strict=True):
    out = frozenset(np.intersect1d(inside, dropped).tolist())
    if rows := len(inside) - len(out):
      shards.append(Shard(collection, block, out, found, first))
      first += rows
  return Index(shards, row_of)


def check_first_lines(collection: Collection) -> None:
  """Reads the first lines of a file, at no cost that grows with it.

  Raises:
    DataError: it cannot be read, or one of them is at fault.
  """
  faults = lines.Faults(collection.source, collection.on_error)
  numbered = lines.read_lines(collection.source, faults)
  for number, line in itertools.islice(numbered, FIRST_LINES):
    if number > 1 or not collection.header:
      collection.parse(number, line, faults)


def _without_duplicates(
  names: np.ndarray, numbers: np.ndarray, faults: lines.Faults
) -> tuple[ids.RowOf, np.ndarray]:
  """The table of the first passage of each id; line numbers of the others."""
  order = ids.sorted_rows(names)
  sorted_names = names[order]
  again = np.sort(order[1:][sorted_names[1:] == sorted_names[:-1]])
  for row in again:
    faults.duplicate(int(numbers[row]), names[row].decode())
  if len(again):
    names = np.delete(names, again)
    order = ids.sorted_rows(names)
  return ids.RowOf(names, order), numbers[again]


def _read(
  collection: Collection,
  block: lines.Block,
  skipped: collections.Counter[str],
) -> Iterator[tuple[int, Passage]]:
  faults = lines.Faults(collection.source, collection.on_error, skipped)
  for number, line in lines.read_block(block, faults):
    if number == 1 and collection.header:
      continue
    passage = collection.parse(number, line, faults)
    if passage is not None:
      yield number, passage


def _ids_of(
  collection: Collection, block: lines.Block
) -> tuple[np.ndarray, np.ndarray, collections.Counter[str]]:
  skipped: collections.Counter[str] = collections.Counter()
  found = [
    (number, passage.id.encode())
    for number, passage in _read(collection, block, skipped)
  ]
  return (
    np.array([name for _, name in found] or [b""], bytes)[: len(found)],
    np.array([number for number, _ in found], np.int64),
    skipped,
  )


def _check_header(collection: Collection, blocks: list[lines.Block]) -> None:
  if not collection.header or not blocks:
    return
  faults = lines.Faults(collection.source, None)
  _, first = next(lines.read_block(blocks[0], faults), (1, ""))
  formats.check_header(collection.source, first, collection.header)
