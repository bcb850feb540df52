"""Token ids to the texts that a model reads: special tokens, cuts, padding.

A text is one, two or three parts, with what its tokenizer puts in front of
them, between two and behind the last: [CLS] a [SEP] b [SEP] is BERT's. Token
type 0 is all up to the second part, type 1 what follows. Nothing is read before
a text is written: until then it is a slice of a store. How several of them
share a row is packing.py.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from prod_jax import config
from prod_jax.batch import Tokens
from prod_jax.batches.special import Special
from prod_jax.batches.store import Slices


class Joined(NamedTuple):
  """Texts [...], each joined of parts.

  Attributes:
    ids: of each kind of part, the ids that its slices are of.
    start, kept: of each kind of part, int [...]: where it begins in `ids`, and
      how many of its ids are kept.
    special: ids of the special tokens.
  """

  ids: tuple[np.ndarray, ...]
  start: tuple[np.ndarray, ...]
  kept: tuple[np.ndarray, ...]
  special: Special

  @property
  def lengths(self) -> np.ndarray:
    """Tokens of each text, special ones too, int [...]."""
    others = (len(self.kept) - 1) * len(self.special.between)
    return functools.reduce(np.add, self.kept) + self.special.around + others

  @property
  def first_length(self) -> np.ndarray:
    """Tokens of the first part of each text, int [...]; they are of type 0.

    Special tokens around it are among them.
    """
    _, between, suffix = self.special[:3]
    behind = between if len(self.kept) > 1 else suffix
    return self.kept[0] + len(self.special.prefix) + len(behind)

  def at(self, index: Any) -> "Joined":
    """The texts of an index into the leading axes."""
    start, kept = (tuple(x[index] for x in xs) for xs in self[1:3])
    return Joined(self.ids, start, kept, self.special)


def single(texts: Slices, length: int, special: Special) -> Joined:
  """[CLS] ids [SEP]; long ids are cut so that special tokens stay.

  Args:
    texts: content ids.
    length: most tokens, no fewer than the special ones.
    special: ids of the special tokens.
  """
  most = length - special.around
  if most < 0:
    raise ValueError(
      f"length is {length}; special tokens alone take {special.around}"
    )
  return _join([texts], [np.minimum(texts.length, most)], special)


def pair(
  query: Slices,
  passage: Slices,
  query_length: int,
  length: int,
  special: Special,
) -> Joined:
  """[CLS] query [SEP] passage [SEP].

  Args:
    query: content ids, of a shape that broadcasts with that of `passage`.
    passage: content ids.
    query_length: most tokens of the query with special ones around it.
    length: most tokens, `query_length` and what is between two parts at least;
      the passage is cut to fit.
    special: ids of the special tokens.
  """
  around, between = special.around, len(special.between)
  if not (around <= query_length and query_length + between <= length):
    raise ValueError(
      f"query_length is {query_length}, length is {length}; they need "
      f"{around} <= query_length <= length - {between}"
    )
  kept = np.minimum(query.length, query_length - around)
  rest = np.minimum(passage.length, length - kept - around - between)
  return _join([query, passage], [kept, rest], special)


def triple(
  query: Slices,
  passage: Slices,
  other: Slices,
  limits: tuple[int, int],
  special: Special,
) -> Joined:
  """[CLS] query [SEP] passage [SEP] other [SEP].

  BERT knows two token types: both passages are of type 1, and their positions
  and the [SEP] between tell them apart.

  Args:
    query, passage, other: content ids, of shapes that broadcast.
    limits: most tokens of the query with special ones around it, and of a
      passage with [CLS], which it has not got here, and what is between two
      parts.
    special: ids of the special tokens.
  """
  query_length, passage_length = limits
  most = passage_length - 1 - len(special.between)
  if query_length < special.around or most < 0:
    raise ValueError(
      f"query_length is {query_length}, passage_length is {passage_length}; "
      f"they need {special.around} and {1 + len(special.between)} or more"
    )
  kept = [np.minimum(query.length, query_length - special.around)]
  kept += [np.minimum(x.length, most) for x in (passage, other)]
  return _join([query, passage, other], kept, special)


def pair_length(data: config.Data) -> int:
  """Tokens of a query and a passage in one row, as in the official code."""
  return data.query_length + data.passage_length


def triple_length(data: config.Data) -> int:
  """Tokens of a query and two passages in one row."""
  return data.query_length + 2 * (data.passage_length - 1)


def longest(kind: str, data: config.Data) -> int:
  """Tokens of the longest row that a model of a kind reads."""
  if kind == "cross":
    return pair_length(data)
  if kind == "pairwise":
    return triple_length(data)
  return max(data.query_length, data.passage_length)


def least(kind: str, special: Special) -> tuple[int, int]:
  """The shortest query_length and passage_length of a model of a kind.

  Special tokens alone take these.
  """
  between = len(special.between)
  of_passage = {"cross": between, "pairwise": 1 + between}
  return special.around, of_passage.get(kind, special.around)


def padded(texts: Joined, length: int) -> Tokens:
  """Texts in rows of their own, Tokens [..., L] of segment 1 and padding.

  Args:
    texts: [...], none longer than `length`.
    length: L.
  """
  shape = (*texts.lengths.shape, length)
  ids = np.full(shape, texts.special.pad, np.int32)
  write(texts, np.arange(texts.lengths.size) * length, ids)
  position = np.arange(length, dtype=np.int32)
  there = position < texts.lengths[..., None]
  behind = position >= texts.first_length[..., None]
  return Tokens(
    ids=ids,
    segment=there.astype(np.int32),
    position=np.broadcast_to(position, shape).copy(),
    type=(there & behind).astype(np.int32),
  )


def write(texts: Joined, begin: np.ndarray, out: np.ndarray) -> None:
  """Writes the ids of texts [...] into an array.

  Args:
    texts: that fit where they are written.
    begin: int [...], where each begins in the flat array.
    out: int32, contiguous, of any shape.
  """
  flat, at = out.reshape(-1), begin.reshape(-1)
  prefix, between, suffix = texts.special[:3]
  fixed = [prefix, *[between] * (len(texts.kept) - 1)]
  parts = zip(fixed, texts.ids, texts.start, texts.kept, strict=True)
  for special, ids, start, kept in parts:
    at = _write_special(special, at, flat)
    start, kept = start.reshape(-1), kept.reshape(-1)
    end = np.cumsum(kept)
    within = np.arange(kept.sum()) - np.repeat(end - kept, kept)
    flat[np.repeat(at, kept) + within] = ids[np.repeat(start, kept) + within]
    at = at + kept
  _write_special(suffix, at, flat)


def _write_special(
  special: tuple[int, ...], at: np.ndarray, flat: np.ndarray
) -> np.ndarray:
  """Writes the same ids at several places, and returns where they end."""
  for token in special:
    flat[at] = token
    at = at + 1
  return at


def _join(
  parts: list[Slices], kept: list[np.ndarray], special: Special
) -> Joined:
  shape = np.broadcast_shapes(*(k.shape for k in kept))
  return Joined(
    tuple(part.ids for part in parts),
    tuple(np.broadcast_to(part.start, shape) for part in parts),
    tuple(np.broadcast_to(k, shape) for k in kept),
    special,
  )
