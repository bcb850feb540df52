"""Several texts in one row: which goes where, and rows filled so.

A row of L tokens holds up to S texts as the segments 1, 2, …, each with
positions of its own. How long a text is, and what its tokens are, is rows.py;
what a batch is made of is assemble.py.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from prod_jax.batch import Packed, Tokens

# A row of L tokens has room for L / 8 texts: queries are about that long.
_TOKENS_A_TEXT, _LEAST = 8, 4
# Rows as long as so many of the longest texts are tried, shortest first, until
# less than this share of a batch is padding. Attention costs by row length.
_LENGTHS = (1, 4 / 3, 3 / 2, 2, 3, 4)
PADDING = 0.05


class Places(NamedTuple):
  """Where texts stand, int32 [n] each, and how many rows they take."""

  row: np.ndarray
  segment: np.ndarray  # from 0
  start: np.ndarray
  rows: int


class Cut(NamedTuple):
  """How the queries of a batch are cut into groups.

  Attributes:
    devices: over which its leading axis lies; each has a run of queries.
    splits: into micro-batches and chunks; of its queries a device takes each
      `splits`-th into the same group.
  """

  devices: int
  splits: int

  @property
  def groups(self) -> int:
    return self.devices * self.splits

  def queries(self, batch_size: int) -> np.ndarray:
    """int [G, B / G], the queries of each group."""
    queries = np.arange(batch_size).reshape(self.devices, -1, self.splits)
    return queries.swapaxes(1, 2).reshape(self.groups, -1)


class Shape(NamedTuple):
  """Rows of a group, and tokens of a row."""

  rows: int
  row_length: int


class Packing(NamedTuple):
  """How the texts of a batch are packed, by their field in it."""

  cut: Cut
  shapes: Mapping[str, Shape]


def texts_a_row(row_length: int) -> int:
  """S, the most texts of a row."""
  return max(row_length // _TOKENS_A_TEXT, _LEAST)


def fit(lengths: np.ndarray, row_length: int) -> Places:
  """Places of texts by best fit, the longest first.

  Args:
    lengths: int [n], none above `row_length`.
    row_length: L.
  """
  most = texts_a_row(row_length)
  row, segment, start = np.zeros((3, len(lengths)), np.int32)
  texts: list[int] = []  # of each row
  with_room: list[list[int]] = [[] for _ in range(row_length + 1)]
  rooms = 0  # bit r is set where there is a row with room for r tokens
  order = np.argsort(-lengths, kind="stable")
  for text, length in zip(order, lengths[order].tolist(), strict=True):
    fitting = rooms >> length
    if fitting:
      room = length + (fitting & -fitting).bit_length() - 1
      here = with_room[room].pop()
      if not with_room[room]:
        rooms &= ~(1 << room)
    else:
      room, here = row_length, len(texts)
      texts.append(0)
    row[text], segment[text] = here, texts[here]
    start[text] = row_length - room
    texts[here] += 1
    left = room - length
    if left and texts[here] < most:
      with_room[left].append(here)
      rooms |= 1 << left
  return Places(row, segment, start, len(texts))


def lay(
  tokens: Tokens, places: Places, shape: Shape
) -> tuple[Tokens, np.ndarray]:
  """Texts [n, L'] as rows [R, L], and where they start, [R, S]."""
  text, position = np.nonzero(tokens.segment)
  at = places.row[text], places.start[text] + position

  def laid(values: np.ndarray) -> np.ndarray:
    out = np.zeros(shape, np.int32)
    out[at] = values
    return out

  start_RS = np.zeros((shape.rows, texts_a_row(shape.row_length)), np.int32)
  start_RS[places.row, places.segment] = places.start
  rows = Tokens(
    ids=laid(tokens.ids[text, position]),
    segment=laid(places.segment[text] + 1),
    position=laid(tokens.position[text, position]),
    type=laid(tokens.type[text, position]),
  )
  return rows, start_RS


def pack(
  tokens: Tokens,
  part: np.ndarray,
  lengths: np.ndarray,
  cut: Cut,
  shape: Shape,
) -> Packed:
  """The texts of a part of a batch in the rows of its groups.

  Args:
    tokens: of the part, [b, ..., L'], one text a row.
    part: int [b], which queries of the batch these are of: all those of some
      groups, in ascending order.
    lengths: int [B, ...], tokens of each text of the whole batch: all
      processes need as many rows.
    cut: of the batch.
    shape: for which the step is compiled; a batch that needs more gets more.
  """
  queries = cut.queries(len(lengths))
  placed = [
    fit(lengths[group].reshape(-1), shape.row_length) for group in queries
  ]
  shape = Shape(
    grown(shape.rows, max(p.rows for p in placed)), shape.row_length
  )
  own = [g for g, group in enumerate(queries) if np.isin(group[0], part)]
  at = np.searchsorted(part, queries[own])  # [g, B / G], rows of the part
  groups = np.arange(len(own))[:, None]
  row, segment, start = (
    np.stack([placed[g][field] for g in own]) for field in range(3)
  )
  flat = Tokens(
    *(x.reshape(len(part), -1, x.shape[-1])[at] for x in tokens)
  )  # [g, B / G, texts of a query, L']
  rows, start_RS = lay(
    Tokens(*(x.reshape(-1, x.shape[-1]) for x in flat)),
    Places(
      *(x.reshape(-1) for x in (row + groups * shape.rows, segment, start)),
      rows=len(own) * shape.rows,
    ),
    Shape(len(own) * shape.rows, shape.row_length),
  )
  place = np.empty((len(part), *lengths.shape[1:]), np.int32)
  S = start_RS.shape[-1]
  place[at] = (row * S + segment).reshape(*at.shape, *lengths.shape[1:])
  return Packed(
    Tokens(*(x.reshape(len(own), *shape) for x in rows)),
    start_RS.reshape(len(own), shape.rows, S),
    place,
  )


def grown(rows: int, needed: int) -> int:
  """`rows`, or as many tenths more as `needed` takes: few sizes to compile."""
  while rows < needed:
    rows += -(-rows // 10)
  return rows


def shape_for(
  sample: Sequence[np.ndarray], cut: Cut, longest: int, row_length: int
) -> tuple[Shape, float]:
  """A shape that all batches of a sample fit, and what of it is padding.

  Args:
    sample: lengths [B, ...] of the texts of some batches.
    cut: of a batch.
    longest: tokens of the longest text.
    row_length: 0 takes the shortest rows with which little is padding.

  Returns:
    The shape, and the mean share of padding in it.
  """
  tried = (row_length,) if row_length else row_lengths(longest)
  tokens = np.mean([lengths.sum() for lengths in sample])
  queries = cut.queries(len(sample[0]))
  best, least = Shape(0, 0), math.inf
  for length in tried:
    rows = max(
      fit(lengths[group].reshape(-1), length).rows
      for lengths in sample
      for group in queries
    )
    padding = 1 - float(tokens) / (cut.groups * rows * length)
    if padding < least:
      best, least = Shape(rows, length), padding
    if padding < PADDING:
      break
  return best, least


def row_lengths(longest: int) -> list[int]:
  """The lengths of row that are tried, multiples of 8, shortest first."""
  return sorted({-(-math.ceil(longest * x) // 8) * 8 for x in _LENGTHS})
