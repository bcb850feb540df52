"""Batches handed to devices in turn, and their results put in order.

Each device has one batch to work at and one to go on with, while the host
makes the next one and stores what was done: neither waits for the other, and
memory is that of a few batches. What a batch looks like is packed.py and
buckets.py.
"""

import collections
import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from prod_jax import sharding

Forward = Callable[[Any, Any], jax.Array]


class Work(NamedTuple):
  """A batch.

  Attributes:
    rows: int [n], numbers of the texts in it; one may stand there twice.
    texts: what a model reads.
    places: int [n], where in the result each of them is.
  """

  rows: np.ndarray
  texts: Any
  places: np.ndarray


def run(
  forward: Forward,
  batches: Iterable[Work],
  copies: sharding.Copies,
  out: np.ndarray,
) -> np.ndarray:
  """Applies `forward` to batches and puts results in the rows of `out`.

  Args:
    forward: jitted, (parameters, texts) to float32 [places, ...].
    batches: made as they are asked for.
    copies: devices, and the parameters on each.
    out: filled, and returned.
  """
  pending: collections.deque = collections.deque()

  def settle() -> None:
    rows, places, result = pending.popleft()
    out[rows] = np.asarray(result)[places]

  turns = itertools.cycle(zip(*copies, strict=True))
  for work, (device, params) in zip(batches, turns, strict=False):
    texts = jax.device_put(work.texts, device)
    pending.append((work.rows, work.places, forward(params, texts)))
    if len(pending) > 2 * len(copies.devices):
      settle()
  while pending:
    settle()
  return out
