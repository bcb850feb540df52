"""Several texts in one row: which goes where, and rows filled so.

A row of L tokens holds up to S texts as the segments 1, 2, …, each with
positions of its own. How long a text is, and what its tokens are, is rows.py;
what a batch is made of is assemble.py.
"""

import functools
import heapq
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from prod_jax.batch import Packed
from prod_jax.batches.rows import Joined, write

# A row of L tokens has room for L / 8 texts: queries are about that long.
_TOKENS_A_TEXT, _LEAST = 8, 4
# Rows as long as so many of the longest texts are tried. Attention makes a
# place in a row dearer by L / 2000: at width 384 more (on a CPU twice that), at
# 768 less. Its kernel for TPUs takes no rows of more than 512.
_LENGTHS = (1, 9 / 8, 5 / 4, 4 / 3, 3 / 2, 5 / 3, 2, 5 / 2, 3, 7 / 2, 4)
_LONGEST, _ATTENTION = 512, 2000
_FULLEST = 64  # groups of a sample that are fitted
_SPARE = 100  # rows of a sample's fullest group, for each one more
_WINDOW_TEXTS = 8192  # the mean of so many lengths varies by half a percent


class Places(NamedTuple):
  """Where texts stand, int32 [n] each, and how many rows they take."""

  row: np.ndarray
  segment: np.ndarray  # from 0
  start: np.ndarray
  rows: int


class Grouping(NamedTuple):
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

  grouping: Grouping
  shapes: Mapping[str, Shape]


def window(texts: int, batches: int) -> int:
  """How many batches exchange queries, so that all have about as many tokens.

  Enough of them for the mean length to be about the same in all windows, and
  no more than a quarter of an epoch, whose order is to stay random.

  Args:
    texts: of a batch.
    batches: of an epoch.
  """
  return max(min(_WINDOW_TEXTS // texts, batches // 4), 1)


def balanced(
  tokens_Q: np.ndarray, batch_size: int, grouping: Grouping
) -> np.ndarray:
  """An order of the queries of some batches in which no group is fuller.

  Rows are made for the fullest group of all batches. Which queries share a
  batch does not depend on how it is cut.

  Args:
    tokens_Q: int, of all texts of each query; Q is some batches.
    batch_size: B.
    grouping: of a batch.

  Returns:
    int [Q], the query for each place.
  """
  places = np.arange(len(tokens_Q)).reshape(-1, batch_size)
  order = _evened(tokens_Q, places)
  groups = grouping.queries(batch_size)
  return np.concatenate(
    [here[_evened(tokens_Q[here], groups)] for here in order[places]]
  )


def _evened(tokens_Q: np.ndarray, places_GB: np.ndarray) -> np.ndarray:
  """An order in which all groups of places have about as many tokens.

  The longest go first, each to the group that has the fewest tokens so far, so
  that each group has its share of long queries and of short ones.
  """
  open_groups = [(0, g) for g in range(len(places_GB))]  # tokens, group: a heap
  filled = [0] * len(places_GB)
  order = np.empty(len(tokens_Q), np.int64)
  for query in np.argsort(-tokens_Q, kind="stable"):
    tokens, g = heapq.heappop(open_groups)
    order[places_GB[g, filled[g]]] = query
    filled[g] += 1
    if filled[g] < places_GB.shape[1]:
      heapq.heappush(open_groups, (tokens + int(tokens_Q[query]), g))
  return order


def texts_a_row(row_length: int) -> int:
  """S, the most texts of a row."""
  return max(row_length // _TOKENS_A_TEXT, _LEAST)


def fit(text_lengths: np.ndarray, row_length: int) -> Places:
  """Places of texts by best fit, the longest first.

  Args:
    text_lengths: int [n], none above `row_length`.
    row_length: L.
  """
  most = texts_a_row(row_length)
  row, segment, start = np.zeros((3, len(text_lengths)), np.int32)
  texts: list[int] = []  # of each row
  with_room: list[list[int]] = [[] for _ in range(row_length + 1)]
  rooms = 0  # bit r is set where there is a row with room for r tokens
  order = np.argsort(-text_lengths, kind="stable")
  for text, length in zip(order, text_lengths[order].tolist(), strict=True):
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


def lay(texts: Joined, places: Places, shape: Shape) -> tuple[np.ndarray, ...]:
  """Texts in the rows of one group: all fields of Packed but `place`.

  Args:
    texts: in the order of `places`.
    places: where they stand.
    shape: of the group.
  """
  S = texts_a_row(shape.row_length)
  ids = np.full(shape, texts.special.pad, np.int32)
  begin = places.row.astype(np.int64) * shape.row_length + places.start
  write(texts, begin, ids)
  laid = np.zeros((3, shape.rows, S), np.int32)
  for out, values in zip(
    laid, (places.start, texts.lengths, texts.first_length), strict=True
  ):
    out[places.row, places.segment] = values.reshape(-1)
  return ids, *laid


@functools.cache  # of a long run many batches do
def _say_larger(shape: Shape, rows: int) -> None:
  logging.info(
    "a batch needs more than the %d rows of %d tokens that its step was "
    "compiled for; one for %d is compiled unless it was before",
    shape.rows,
    shape.row_length,
    rows,
  )


def pack(
  texts: Joined,
  local_rows: np.ndarray,
  grouping: Grouping,
  shape: Shape,
) -> Packed:
  """The texts of some queries of a batch in the rows of their groups.

  Args:
    texts: of the whole batch, [B, ...]: all processes need as many rows.
    local_rows: int [b], the queries whose texts are read: all those of some
      groups, in ascending order.
    grouping: of the batch.
    shape: for which the step is compiled; a batch that needs more gets more.
  """
  lengths = texts.lengths
  groups = grouping.queries(len(lengths))
  placed = [
    fit(lengths[queries].reshape(-1), shape.row_length) for queries in groups
  ]
  needed = max(places.rows for places in placed)
  rows = grown(shape.rows, needed)
  if rows > shape.rows:
    _say_larger(shape, rows)
  shape = Shape(rows, shape.row_length)
  S = texts_a_row(shape.row_length)
  laid = []
  place = np.empty((len(local_rows), *lengths.shape[1:]), np.int32)
  for queries, places in zip(groups, placed, strict=True):
    if not np.isin(queries[0], local_rows):
      continue
    own = texts.at(queries)
    at = np.searchsorted(local_rows, queries)
    numbers = places.row * S + places.segment
    place[at] = numbers.reshape(own.lengths.shape)
    laid.append(lay(own, places, shape))
  ids, start, length, first = (np.stack(x) for x in zip(*laid, strict=True))
  return Packed(ids, start, length, first, place)


def grown(rows: int, needed: int) -> int:
  """`rows`, or as many tenths more as `needed` takes: few sizes to compile."""
  while rows < needed:
    rows += -(-rows // 10)
  return rows


def shape_for(
  sample: Sequence[np.ndarray],
  grouping: Grouping,
  longest: int,
  row_length: int,
) -> tuple[Shape, float]:
  """A shape that all batches of a sample fit, and what of it is padding.

  A hundredth more rows than they need keep a fuller batch from a compilation.

  Args:
    sample: lengths [B, ...] of the texts of some batches.
    grouping: of a batch.
    longest: tokens of the longest text.
    row_length: 0 takes the length with which a batch costs least: with longer
      rows less is padding, and attention costs more.

  Returns:
    The shape, and the mean share of padding in it.
  """
  tried = (row_length,) if row_length else row_lengths(longest)
  tokens = np.mean([lengths.sum() for lengths in sample])
  queries = grouping.queries(len(sample[0]))
  groups = [x[group].reshape(-1) for x in sample for group in queries]
  # The emptier ones need no more rows, or one at the most.
  fullest = sorted(groups, key=np.sum)[-_FULLEST:]
  costs = {}
  for length in tried:
    rows = max(fit(group, length).rows for group in fullest)
    rows = min(rows + rows // _SPARE, len(fullest[-1]))
    costs[Shape(rows, length)] = rows * length * (1 + length / _ATTENTION)
  best = min(costs, key=lambda shape: costs[shape])
  places = grouping.groups * best.rows * best.row_length
  return best, 1 - float(tokens) / places


def row_lengths(longest: int) -> list[int]:
  """The lengths of row that are tried, multiples of 8, shortest first."""
  rounded = {-(-math.ceil(longest * x) // 8) * 8 for x in _LENGTHS}
  return sorted(x for x in rounded if x <= max(_LONGEST, min(rounded)))
