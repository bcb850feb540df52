"""Token ids to the texts that a model reads: special tokens, cuts, padding.

A text is [CLS] and then one, two or three parts, each with a [SEP] behind it.
Token type 0 is the first part, type 1 the others. Nothing is read before a
text is written: until then it is a slice of a store. How several of them share
a row is packing.py.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from prod_jax import config
from prod_jax.batch import Tokens
from prod_jax.batches.store import Slices
from prod_jax.batches.tokens import Special


class Joined(NamedTuple):
  """Texts [...], each joined of parts.

  Attributes:
    ids: of each kind of part, the ids that its slices are of.
    start, kept: of each kind of part, int [...]: where it begins in `ids`, and
      how many of its ids are kept.
  """

  ids: tuple[np.ndarray, ...]
  start: tuple[np.ndarray, ...]
  kept: tuple[np.ndarray, ...]

  @property
  def lengths(self) -> np.ndarray:
    """Tokens of each text, special ones too, int [...]."""
    return functools.reduce(np.add, self.kept) + len(self.kept) + 1

  @property
  def first_length(self) -> np.ndarray:
    """Tokens of the first part of each text, int [...]; they are of type 0."""
    return self.kept[0] + 2

  def at(self, index: Any) -> "Joined":
    """The texts of an index into the leading axes."""
    start, kept = (tuple(x[index] for x in xs) for xs in self[1:])
    return Joined(self.ids, start, kept)


def single(texts: Slices, length: int) -> Joined:
  """[CLS] ids [SEP]; long ids are cut so that [SEP] stays.

  Args:
    texts: content ids.
    length: most tokens, 2 or more.
  """
  if length < 2:
    raise ValueError(f"length is {length}; [CLS] and [SEP] alone take 2")
  return _join([texts], [np.minimum(texts.length, length - 2)])


def pair(
  query: Slices, passage: Slices, query_length: int, length: int
) -> Joined:
  """[CLS] query [SEP] passage [SEP].

  Args:
    query: content ids, of a shape that broadcasts with that of `passage`.
    passage: content ids.
    query_length: most tokens of the query with [CLS] and [SEP], 2 or more.
    length: most tokens, more than `query_length`; the passage is cut to fit.
  """
  if not 2 <= query_length < length:
    raise ValueError(
      f"query_length is {query_length}, length is {length}; they need "
      "2 <= query_length < length"
    )
  kept = np.minimum(query.length, query_length - 2)
  rest = np.minimum(passage.length, length - kept - 3)
  return _join([query, passage], [kept, rest])


def triple(
  query: Slices,
  first: Slices,
  second: Slices,
  query_length: int,
  passage_length: int,
) -> Joined:
  """[CLS] query [SEP] first [SEP] second [SEP].

  BERT knows two token types: both passages are of type 1, and their positions
  and the [SEP] between tell them apart.

  Args:
    query, first, second: content ids, of shapes that broadcast.
    query_length: most tokens of the query with [CLS] and [SEP], 2 or more.
    passage_length: most tokens of a passage with [CLS], which it has not got
      here, and [SEP], 2 or more.
  """
  if min(query_length, passage_length) < 2:
    raise ValueError(
      f"query_length is {query_length}, passage_length is {passage_length}; "
      "they need 2 or more"
    )
  kept = [np.minimum(query.length, query_length - 2)]
  kept += [np.minimum(x.length, passage_length - 2) for x in (first, second)]
  return _join([query, first, second], kept)


def pair_length(data: config.Data) -> int:
  """Tokens of a query and a passage in one row, as in the official code."""
  return data.query_length + data.passage_length


def triple_length(data: config.Data) -> int:
  """Tokens of a query and two passages in one row."""
  return data.query_length + 2 * (data.passage_length - 1)


def padded(texts: Joined, length: int, special: Special) -> Tokens:
  """Texts in rows of their own, Tokens [..., L] of segment 1 and padding.

  Args:
    texts: [...], none longer than `length`.
    length: L.
    special: ids of the special tokens.
  """
  shape = (*texts.lengths.shape, length)
  ids = np.full(shape, special.pad, np.int32)
  write(texts, np.arange(texts.lengths.size) * length, ids, special)
  position = np.arange(length, dtype=np.int32)
  there = position < texts.lengths[..., None]
  behind = position >= texts.first_length[..., None]
  return Tokens(
    ids=ids,
    segment=there.astype(np.int32),
    position=np.broadcast_to(position, shape).copy(),
    type=(there & behind).astype(np.int32),
  )


def write(
  texts: Joined, begin: np.ndarray, out: np.ndarray, special: Special
) -> None:
  """Writes the ids of texts [...] into an array.

  Args:
    texts: that fit where they are written.
    begin: int [...], where each begins in the flat array.
    out: int32, contiguous, of any shape.
    special: ids of the special tokens.
  """
  flat, at = out.reshape(-1), begin.reshape(-1)
  flat[at] = special.cls
  at = at + 1
  for ids, start, kept in zip(*texts, strict=True):
    start, kept = start.reshape(-1), kept.reshape(-1)
    end = np.cumsum(kept)
    within = np.arange(kept.sum()) - np.repeat(end - kept, kept)
    flat[np.repeat(at, kept) + within] = ids[np.repeat(start, kept) + within]
    at = at + kept
    flat[at] = special.sep
    at = at + 1


def _join(parts: list[Slices], kept: list[np.ndarray]) -> Joined:
  shape = np.broadcast_shapes(*(k.shape for k in kept))

  def spread(arrays: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    return tuple(np.broadcast_to(x, shape) for x in arrays)

  return Joined(
    tuple(part.ids for part in parts),
    spread([part.start for part in parts]),
    spread(kept),
  )
