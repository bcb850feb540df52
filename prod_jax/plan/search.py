"""The largest batch that fits, by asking as rarely as can be.

A batch that fits is costly to ask about, and what it takes says little: the
compiler uses what memory there is, and computes things twice rather than give
up. One that does not fit is refused early, and what it would have needed is
nearly linear in the batch. So two refusals show where to look.
"""

import functools
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
  probe = functools.cache(probe)
  first = max(first // grain, 1) * grain
  low, high, guess = _bracket(probe, first, grain, available)
  if guess and guess < high:
    low, high = _around(probe, max(guess, low + grain), low, high, grain)
  while high - low > grain:
    middle = (low + high) // 2 // grain * grain
    low, high = (middle, high) if probe(middle).fits else (low, middle)
  return Found(low, high)


def _bracket(
  probe: Callable[[int], Probe], first: int, grain: int, available: int
) -> tuple[int, int, int]:
  """A batch that fits, or 0, one that does not, and where to look."""
  low, high = 0, first
  while (found := probe(high)).fits:
    low = high
    times = math.ceil(4 * available / max(found.bytes, 1))
    high *= min(max(times, 2), 64)
  if high - low == grain:
    return low, high, 0
  more = high + max(high // 4 // grain, 1) * grain
  slope = (probe(more).bytes - found.bytes) / (more - high)
  if not found.bytes or slope <= 0:
    return low, high, 0
  guess = high - (found.bytes - available) / slope
  return low, high, math.floor(guess / grain) * grain


def _around(
  probe: Callable[[int], Probe], guess: int, low: int, high: int, grain: int
) -> tuple[int, int]:
  """Narrows the bracket from a guess, in steps that double."""
  fits, step = probe(guess).fits, max(guess // 32 // grain, 1) * grain
  at = guess
  while low < at < high and probe(at).fits == fits:
    low, high = (at, high) if fits else (low, at)
    at += step if fits else -step
    step *= 2
  if low < at < high:
    return (low, at) if fits else (at, high)
  return low, high
