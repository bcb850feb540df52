"""Ids and texts of queries or passages to their rows, by tables on disk.

The tables lie in files, so that each process that reads a part of a foreign
file maps them, and none holds them.
"""

import functools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from prod_jax import arrays
from prod_jax.sets import copies, ids
from prod_jax.sets.foreign.records import Ref


class Sorted(NamedTuple):
  """Keys of texts in order, and their rows; the first row of a key is found."""

  keys: np.ndarray
  rows: np.ndarray

  def find(self, keys: np.ndarray) -> np.ndarray:
    """Rows of keys, int64, -1 where there is none."""
    if not len(self.keys):
      return np.full(len(keys), -1)
    at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
    return np.where(self.keys[at] == keys, self.rows[at], -1)


class Names(NamedTuple):
  """Queries or passages by name.

  Attributes:
    by_id: their table.
    by_text: keys of texts, of title and text with a space between first; none
      where a file gives ids alone.
    keys: the same by row.
  """

  by_id: ids.RowOf
  by_text: tuple[Sorted, ...]
  keys: tuple[np.ndarray, ...]

  def rows(self, refs: Sequence[Ref]) -> np.ndarray:
    """Rows of what a file names, int64, -1 where it is unknown.

    An id counts before a text. What is given as a text may be an id, where no
    text is like it: files do not say which of the two a string is.
    """
    rows = self.rows_of_ids([ref.id for ref in refs])
    for at, table in enumerate(self.by_text):
      left = np.flatnonzero(rows < 0)
      keys = [_key(refs[i], titled=at == 0) for i in left.tolist()]
      rows[left] = table.find(np.array(keys, np.uint64))
    left = np.flatnonzero(rows < 0)
    # A text of many words is no id, and would widen the table of them all.
    bare = [refs[i] for i in left.tolist()]
    rows[left] = self.rows_of_ids(
      ["" if r.id or len(r.text) > 200 else r.text for r in bare]
    )
    return rows

  def differ(self, refs: Sequence[Ref], rows: np.ndarray) -> np.ndarray:
    """bool: who is named by id and by text, which is that of another row.

    Args:
      refs: what a file names.
      rows: of these, as of `rows`.
    """
    found = np.zeros(len(refs), bool)
    both = [
      i for i, ref in enumerate(refs) if ref.id and ref.text and rows[i] >= 0
    ]
    known, agree = np.zeros((2, len(both)), bool)
    for at, (table, of_row) in enumerate(
      zip(self.by_text, self.keys, strict=True)
    ):
      keys = np.array([_key(refs[i], titled=at == 0) for i in both], np.uint64)
      known |= table.find(keys) >= 0
      agree |= of_row[rows[both]] == keys
    found[both] = known & ~agree
    return found

  def rows_of_ids(self, names: list[str]) -> np.ndarray:
    """The same of ids alone; "" is none."""
    if not any(names):
      return np.full(len(names), -1)
    coded = np.array([name.encode("utf-8", "replace") for name in names])
    return np.where(coded == b"", -1, self.by_id.rows(coded))


def save(
  folder: pathlib.Path,
  kind: str,
  by_id: ids.RowOf,
  keys: Sequence[np.ndarray] = (),
) -> None:
  """Writes the tables of queries or of passages; `keys` are of their texts."""
  ids.save(by_id, folder, kind)
  for number, values in enumerate(keys):
    order = np.argsort(values, kind="stable")
    np.save(folder / f"text-{kind}-{number}.npy", values[order])
    np.save(folder / f"row-{kind}-{number}.npy", order)
    np.save(folder / f"key-{kind}-{number}.npy", values)


@functools.lru_cache(maxsize=2)
def load(folder: pathlib.Path, kind: str) -> Names:
  """Maps what `save` wrote."""
  texts: list[Sorted] = []
  keys: list[np.ndarray] = []
  while (path := folder / f"text-{kind}-{len(texts)}.npy").exists():
    row = folder / f"row-{kind}-{len(texts)}.npy"
    key = folder / f"key-{kind}-{len(texts)}.npy"
    keys.append(arrays.read(key, mapped=True))
    texts.append(Sorted(*(arrays.read(p, mapped=True) for p in (path, row))))
  return Names(ids.load(folder, kind), tuple(texts), tuple(keys))


def _key(ref: Ref, *, titled: bool) -> int:
  both = titled and ref.title
  return copies.key(f"{ref.title} {ref.text}" if both else ref.text)
