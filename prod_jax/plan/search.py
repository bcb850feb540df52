"""The largest batch that fits, by asking as rarely as can be.

A batch that fits is costly to ask about, and what it takes says little: the
compiler uses what memory there is, and computes things twice rather than give
up. One that does not fit is refused early, and what it would have needed is
nearly linear in the batch. So two refusals show where to look.
"""

import math
from collections.abc import Callable
from typing import NamedTuple


class Probe(NamedTuple):
  """Attributes:
  fits: the batch does.
  bytes: it needs; 0 where that is not known.
  """

  fits: bool
  bytes: int


class Found(NamedTuple):
  """Attributes:
  largest_batch: that fits, 0 for none.
  refused_batch: the next larger one, which does not.
  """

  largest_batch: int
  refused_batch: int


def largest(
  probe: Callable[[int], Probe], first: int, grain: int, available: int
) -> Found:
  """The largest multiple of `grain` that fits; the next one was refused.

  Args:
    probe: whether a batch fits; more never fits where less does not.
    first: where to begin, such as the batch that is known already.
    grain: batches are multiples of this.
    available: bytes.
  """
  first = max(first // grain, 1) * grain
  low, refused = _bracket(probe, first, grain, available)
  near = False
  while (high := min(refused)) - low > grain:
    middle = (low + high) // 2 // grain * grain
    guess = low + grain if near else _boundary(refused, grain, available)
    at = guess if low < guess < high else middle
    found = probe(at)
    if found.fits:
      # Just below the boundary, the next one should be refused.
      near, low = at == guess and not near, at
    else:
      near, refused[at] = False, found.bytes
  return Found(low, high)


def _bracket(
  probe: Callable[[int], Probe], first: int, grain: int, available: int
) -> tuple[int, dict[int, int]]:
  """A batch that fits, or 0, and two that do not with what they need."""
  low, at, refused = 0, first, {}
  while not refused:
    found = probe(at)
    if found.fits:
      low = at
      times = max(2, math.ceil(4 * available / max(found.bytes, 1)))
      at *= min(times, 64)
    else:
      refused[at] = found.bytes
  other = at + max(at // 4 // grain, 1) * grain
  refused[other] = probe(other).bytes
  return low, refused


def _boundary(refused: dict[int, int], grain: int, available: int) -> int:
  """Where the line through the two smallest refused batches says."""
  (a, need_a), (b, need_b) = sorted(refused.items())[:2]
  if not 0 < need_a < need_b:
    return 0
  slope = (need_b - need_a) / (b - a)
  return int(a - (need_a - available) / slope) // grain * grain
