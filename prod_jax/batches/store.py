"""Rows of token ids of unequal length, on disk.

A store is a folder with all ids end to end, the offsets of the rows, and a
manifest that says what they were made of. It is written in one pass with
bounded memory and read through memory maps. What an id means is tokens.py.
"""

import hashlib
import itertools
import json
import operator
import pathlib
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
from absl import logging

from prod_jax import artefacts, json_files, memory, progress, storage

_CHUNK = 512  # records encoded at once
_OFTEN = 8192  # records, after which what was freed is given back
_VERSION = 1
_MANIFEST = {
  "key": dict,
  "dtype": re.compile("uint16|int32"),
  "bytes": {str: int},
}
_REMEDY = "delete the folder, and it is made again"

# Takes some records, returns the int32 ids of each.
Encode = Callable[[Sequence[Any]], list[np.ndarray]]


class Slices(NamedTuple):
  """Texts [...] as slices of one array, not read yet.

  Attributes:
    ids: int [total].
    start, length: int64 [...].
  """

  ids: np.ndarray
  start: np.ndarray
  length: np.ndarray


class TokenStore:
  """`store[row]` is int32 [length of the row].

  Args:
    ids: of all rows, end to end.
    offsets: int64 [rows + 1].
    path: of the files that these are mapped from.
  """

  def __init__(
    self,
    ids: np.ndarray,
    offsets: np.ndarray,
    path: pathlib.Path | None = None,
  ):
    self._ids, self._offsets, self._path = ids, offsets, path

  def __len__(self) -> int:
    return len(self._offsets) - 1

  def __getitem__(self, row: SupportsIndex) -> np.ndarray:
    row = operator.index(row)
    if not 0 <= row < len(self):
      raise IndexError(f"row {row} of a store of {len(self)} rows")
    start, end = self._offsets[row], self._offsets[row + 1]
    return self._ids[start:end].astype(np.int32)

  def __reduce__(self) -> tuple:
    if self._path is None:
      return TokenStore, (self._ids, self._offsets)
    return open_store, (self._path,)  # a worker process maps the files itself

  def anew(self) -> "TokenStore":
    """The same, mapped anew, to read many rows and give them back.

    What was read through a map is memory of the process as long as it is there.
    """
    return self if self._path is None else open_store(self._path)

  def lengths(self) -> np.ndarray:
    """int64 [rows], tokens in each row."""
    return np.diff(self._offsets)

  def slices(self, rows: np.ndarray) -> Slices:
    """Rows of any shape; a row of -1 is an empty text."""
    there = rows >= 0
    rows = np.where(there, rows, 0)
    start = self._offsets[rows]
    return Slices(self._ids, start, (self._offsets[rows + 1] - start) * there)


def open_store(path: pathlib.Path) -> TokenStore:
  """Maps the files of a store."""
  manifest = json_files.read(path / "manifest.json", _MANIFEST, _REMEDY)
  ids = _mapped(path / "ids.bin", manifest["dtype"])
  return TokenStore(ids, _mapped(path / "offsets.bin", "int64"), path)


def store_of(texts: Sequence[np.ndarray]) -> TokenStore:
  """A store in memory."""
  ids = np.concatenate([np.zeros(0, np.int32), *texts])
  ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
  return TokenStore(ids, np.concatenate([[0], ends]))


def build_store(
  path: pathlib.Path,
  records: Iterable[Any],
  encode: Encode,
  *,
  rows: int,
  vocab_size: int,
  key: Mapping[str, Any],
) -> TokenStore:
  """Opens the store of this key, or writes it in one pass.

  A killed build leaves only a folder `*.part`, which may be deleted.

  Args:
    path: of the store; a digest of the key is appended.
    records: what to encode, in row order.
    encode: token ids of some records.
    rows: number of records.
    vocab_size: ids are below it.
    key: all that decides the content, as JSON.
  """
  key = {"version": _VERSION, "rows": rows, **key}
  text = json.dumps(key, sort_keys=True)
  digest = hashlib.sha256(text.encode()).hexdigest()[:12]
  path = path.with_name(f"{path.name}-{digest}")
  if _is_complete(path, key):
    return open_store(path)
  shutil.rmtree(path, ignore_errors=True)  # a damaged one
  start = time.monotonic()
  with storage.whole_folder(path, concurrent=True) as part:
    encoded = _encoded(path.name, records, encode, rows)
    total = _write(part, encoded, vocab_size, key)
    artefacts.seal(part)
  took = time.monotonic() - start
  logging.info(
    "%s: %d rows, %d tokens in %.1f s, %.0f tokens/s",
    path,
    rows,
    total,
    took,
    total / took,
  )
  return open_store(path)


def _is_complete(path: pathlib.Path, key: Mapping[str, Any]) -> bool:
  """Whether a store is there, of this key, with its files as they were."""
  if not artefacts.is_whole(path):
    return False
  manifest = storage.read_object(path / "manifest.json")
  try:
    size = {n: (path / f"{n}.bin").stat().st_size for n in ("ids", "offsets")}
  except FileNotFoundError:
    size = {}
  whole = manifest.get("key") == key and manifest.get("bytes") == size
  if not whole:
    logging.warning("%s: damaged, building it again", path)
  return whole


def _encoded(
  name: str, records: Iterable[Any], encode: Encode, rows: int
) -> Iterator[list[np.ndarray]]:
  """Chunks of encoded records, with progress."""
  records = iter(records)
  with progress.Meter(f"{name}: tokens", rows, "texts") as meter:
    while chunk := list(itertools.islice(records, _CHUNK)):
      yield encode(chunk)
      meter.add(len(chunk))
      if not meter.done % _OFTEN:
        memory.give_back()


def _write(
  folder: pathlib.Path,
  chunks: Iterable[list[np.ndarray]],
  vocab_size: int,
  key: Mapping[str, Any],
) -> int:
  """Writes the files of a store, the manifest last; returns the tokens."""
  dtype = "uint16" if vocab_size <= 1 << 16 else "int32"
  total = 0
  with (
    open(folder / "ids.bin", "wb") as ids,
    open(folder / "offsets.bin", "wb") as offsets,
  ):
    offsets.write(np.int64(0).tobytes())
    for chunk in chunks:
      ends = total + np.cumsum([len(row) for row in chunk], dtype=np.int64)
      offsets.write(ends.tobytes())
      ids.write(np.concatenate(chunk).astype(dtype).tobytes())
      total = int(ends[-1])
  size = {n: (folder / f"{n}.bin").stat().st_size for n in ("ids", "offsets")}
  manifest = {"key": key, "dtype": dtype, "bytes": size}
  (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))
  return total


def _mapped(path: pathlib.Path, dtype: str) -> np.ndarray:
  if not path.stat().st_size:  # no map is that short
    return np.zeros(0, dtype)
  # As a plain array: slicing a np.memmap costs several times as much.
  return np.asarray(np.memmap(path, dtype, "r"))
