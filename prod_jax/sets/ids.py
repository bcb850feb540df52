"""Names of passages or queries as sorted tables: name to row and back.

Tables are plain arrays that are memory-mapped, since a dict of ten million
strings takes more than a gigabyte in each process.
"""

import collections.abc
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from prod_jax import arrays
from prod_jax.sets.records import DataError


class RowOf(collections.abc.Mapping):
  """Id -> row, by bisection in memory-mapped tables.

  Attributes:
    ids: UTF-8 by row.
    order: rows in sorted order of their ids.
  """

  def __init__(self, ids: np.ndarray, order: np.ndarray):
    self.ids = ids
    self.order = order

  def __len__(self) -> int:
    return len(self.ids)

  def __iter__(self) -> Iterator[str]:
    return (name.decode() for name in self.ids)

  def __getitem__(self, name: str) -> int:
    key = name.encode("utf-8", "surrogatepass")
    # A longer key would make numpy copy the whole table to its width.
    if len(key) <= self.ids.itemsize:
      at = np.searchsorted(self.ids, key, sorter=self.order)
      if at < len(self) and self.ids[self.order[at]] == key:
        return int(self.order[at])
    raise KeyError(name)

  def rows(self, names: np.ndarray) -> np.ndarray:
    """Rows of many names at once.

    Args:
      names: bytes [N].

    Returns:
      int64 [N], -1 where a name is unknown.
    """
    # numpy compares equal widths fastest, and a cut name must not be found.
    fits = np.char.str_len(names) <= self.ids.itemsize
    cut = names.astype(self.ids.dtype)
    at = np.searchsorted(self.ids, cut, sorter=self.order)
    found = self.order[np.minimum(at, len(self) - 1)]
    return np.where(fits & (self.ids[found] == cut), found, -1)


def sorted_rows(ids: np.ndarray) -> np.ndarray:
  """The `order` of a table; equal ids stay in order of their rows."""
  return np.argsort(ids, kind="stable")


def table(names: Sequence[str]) -> RowOf:
  """The table of these names, in their order."""
  ids = np.array([name.encode() for name in names], bytes)
  return RowOf(ids, sorted_rows(ids))


def save(row_of: RowOf, folder: pathlib.Path, split: str) -> None:
  """Writes `ids-SPLIT.npy` and `order-SPLIT.npy`."""
  for path, array in zip(
    _paths(folder, split), (row_of.ids, row_of.order), strict=True
  ):
    np.save(path, array, allow_pickle=False)


def load(folder: pathlib.Path, split: str) -> RowOf:
  """Memory-maps what `save` wrote."""
  paths = _paths(folder, split)
  names, order = (arrays.read(path, mapped=True) for path in paths)
  whole = (
    (names.dtype.kind, order.dtype, names.ndim) == ("S", np.int64, 1)
    and names.shape == order.shape
    and (not len(order) or 0 <= order.min() <= order.max() < len(order))
  )
  if not whole:
    raise DataError(
      f"{folder}: {' and '.join(path.name for path in paths)} are no table of "
      "names; delete the folder, and it is prepared again"
    )
  return RowOf(names, order)


def _paths(folder: pathlib.Path, split: str) -> list[pathlib.Path]:
  return [folder / f"{kind}-{split}.npy" for kind in ("ids", "order")]
