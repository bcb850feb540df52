"""Titles from a file of their own, found by row of the collection.

The file has a passage id, a tab and a title on each line, in any order and for
as many passages as have one.
"""

import codecs
import functools
import mmap
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from prod_jax import arrays
from prod_jax.sets import ids, lines, parallel
from prod_jax.sets.records import DataError

_BLOCK_LINES = 500_000


class Titles(NamedTuple):
  """Attributes: path of the plain file, places of the array of offsets."""

  path: pathlib.Path
  places: pathlib.Path

  def read(self, first: int) -> Iterator[str]:
    """Titles of the passages from row `first` on, "" where there is none."""
    places = arrays.read(self.places, mapped=True)[first:]
    with (
      open(self.path, "rb") as file,
      mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
      for start in places:
        if start < 0:
          yield ""
          continue
        mapped.seek(start)
        yield mapped.readline().decode().strip()


def locate(
  source: lines.Source,
  row_of: ids.RowOf,
  folder: pathlib.Path,
  on_error: lines.OnError,
) -> Titles:
  """Finds the place of each passage's title.

  Args:
    source: the file.
    row_of: the known passages.
    folder: to unpack to, and for the array.
    on_error: what to do with a line that is no title of a known passage.

  Raises:
    DataError: a line is at fault.
  """
  path = lines.plain(source, folder)
  blocks = lines.blocks_of(path, _BLOCK_LINES, source)
  if not blocks:
    raise DataError(f"{source}: there is no title in it; fetch it again")
  places = np.full(len(row_of), -1, np.int64)
  faults = lines.Faults(source, on_error)
  work = functools.partial(_places_in, source, on_error)
  parts = parallel.in_order(work, blocks, name="reading titles")
  for names, starts, numbers, skipped in parts:
    faults.skipped.update(skipped)
    rows = row_of.rows(names) if len(names) else np.array([], np.int64)
    for at in np.flatnonzero(rows < 0):
      faults.unknown(int(numbers[at]), "passage", names[at].decode())
    first = np.zeros(len(rows), bool)
    first[np.unique(rows, return_index=True)[1]] = True
    is_known = rows >= 0
    is_new = is_known & first & (places[rows] < 0)
    for at in np.flatnonzero(is_known & ~is_new):
      faults.duplicate(int(numbers[at]), names[at].decode())
    places[rows[is_new]] = starts[is_new]
  faults.log()
  table = lines.unpacked(folder).with_suffix(".npy")
  np.save(table, places, allow_pickle=False)
  return Titles(path, table)


def _places_in(
  source: lines.Source, on_error: lines.OnError, block: lines.Block
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, int]]:
  """Ids, offsets of the titles in the file, and line numbers."""
  faults = lines.Faults(source, on_error)
  names, starts, numbers = [], [], []
  start = block.start
  with open(block.path, "rb") as file:
    file.seek(start)
    found = lines.of_bytes(file, block.stop - start)
    for number, whole in enumerate(found, block.line):
      line = whole.removesuffix(b"\n")
      name, tab, _ = line.partition(b"\t")
      if line and _is_title(number, line, faults):
        starts.append(start + len(name) + len(tab))
        mark = codecs.BOM_UTF8 if number == 1 else b""
        names.append(name.removeprefix(mark))
        numbers.append(number)
      start += len(whole)
  return (
    np.array(names, bytes),
    np.array(starts, np.int64),
    np.array(numbers, np.int64),
    dict(faults.skipped),
  )


def _is_title(number: int, line: bytes, faults: lines.Faults) -> bool:
  columns = line.count(b"\t") + 1
  if columns != 2:
    faults.columns(number, columns, "passage id TAB title")
    return False
  return bool(list(lines.decoded([(number, line)], faults)))
