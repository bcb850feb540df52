"""Which texts are the same: keys of texts, and copies of labelled passages.

A key is 64 bits of a digest of a text in which any run of white space is one
space. Two different texts of ten million share one with a chance of 3 in a
million.
"""

import hashlib
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from prod_jax import arrays, artefacts, progress, storage
from prod_jax.sets.records import Passage, joined

_FILE = "keys.npy"
_ROWS = 65_536  # of the keys that are looked at at once


class Keys(NamedTuple):
  """Keys of passages by row, uint64 [P] each: 24 bytes a passage.

  Attributes:
    text: of the text alone.
    whole: of title and text with a space between, as other tools write them.
    joined: of title and text as encoders read them.
  """

  text: np.ndarray
  whole: np.ndarray
  joined: np.ndarray


class Copies(NamedTuple):
  """Passages that say what a labelled one says, int64 [N] each.

  Attributes:
    query: number of the query.
    row: of the copy, which is not labelled for that query.
    positive: row of the passage that is.
  """

  query: np.ndarray
  row: np.ndarray
  positive: np.ndarray

  def by_query(self, queries: int) -> list[tuple[int, ...]]:
    """Rows of the copies of each of so many queries."""
    found: list[tuple[int, ...]] = [()] * queries
    for query, row in zip(self.query.tolist(), self.row.tolist(), strict=True):
      found[query] += (row,)
    return found


def key(text: str) -> int:
  """The key of a text."""
  same = " ".join(text.split()).encode("utf-8", "surrogatepass")
  return int.from_bytes(hashlib.blake2b(same, digest_size=8).digest(), "big")


def kept(
  path: pathlib.Path | None, passages: Sequence[Passage], *, title_join: str
) -> Keys:
  """The keys of a collection, of a folder that is made unless it is whole.

  Args:
    path: of the folder; None keeps them in memory.
    passages: all of them are read where it is made.
    title_join: as of `keys_of`.
  """
  if path and artefacts.is_whole(path):
    return Keys(*arrays.read(path / _FILE, mapped=True))
  shape = len(Keys._fields), len(passages)
  shown = progress.shown(passages, "keys of texts", "passages", len(passages))
  if not path:
    return keys_of(shown, np.zeros(shape, np.uint64), title_join=title_join)
  with storage.whole_folder(path, concurrent=True) as part:
    table = np.lib.format.open_memmap(part / _FILE, "w+", np.uint64, shape)
    keys_of(shown, table, title_join=title_join)
    table.flush()
    artefacts.seal(part)
  return kept(path, passages, title_join=title_join)


def keys_of(
  passages: Iterable[Passage], table: np.ndarray, *, title_join: str
) -> Keys:
  """The keys of passages.

  Args:
    passages: by row.
    table: uint64 [3, P], perhaps on disk, which they are written to.
    title_join: that of encoders.
  """
  keys = Keys(*np.asarray(table))  # a mapped one is written more slowly
  for row, (_, title, text) in enumerate(passages):
    keys.text[row] = own = key(text)
    keys.whole[row] = key(f"{title} {text}") if title else own
    keys.joined[row] = key(joined(title, text, title_join)) if title else own
  return keys


def copies_of(text_P: np.ndarray, positives: Sequence[Sequence[int]]) -> Copies:
  """The passages that have the text of a labelled one under another id.

  Args:
    text_P: keys of the texts of all passages.
    positives: rows of the labelled passages of each query.
  """
  labelled = np.unique(np.array([r for rows in positives for r in rows], int))
  wanted, ends = np.unique(text_P[labelled]), range(0, len(text_P), _ROWS)
  # All at once it would take forty bytes a passage.
  among = [np.isin(text_P[i : i + _ROWS], wanted) for i in ends]
  rows = np.flatnonzero(np.concatenate(among))
  found: dict[int, list[int]] = {}  # rows by key, of those that are shared
  for row, shared in zip(rows.tolist(), text_P[rows].tolist(), strict=True):
    found.setdefault(shared, []).append(row)
  out = []
  for query, own in enumerate(positives):
    for positive in own:
      same = found[int(text_P[positive])]
      out += [(query, row, positive) for row in same if row not in own]
  # A copy of two positives is one copy.
  once = {(query, row): positive for query, row, positive in reversed(out)}
  table = [(query, row, p) for (query, row), p in sorted(once.items())]
  return Copies(*np.array(table, np.int64).reshape(-1, 3).T)
