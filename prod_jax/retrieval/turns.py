"""Batches handed to devices in turn, and their results put in order.

Two threads a device have a batch each, while the host makes the next one and
stores what was done: neither waits for the other, and memory is that of a few
batches. A TPU takes them one after the other. A CPU asked by two threads works
at both at once, and its cores need not wait for each other behind every
operation. What a batch looks like is packed.py and buckets.py.
"""

import collections
import concurrent.futures
import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from prod_jax import sharding

_THREADS = 2  # of a device

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

  def result(texts: Any, device: jax.Device, params: Any) -> np.ndarray:
    return np.asarray(forward(params, jax.device_put(texts, device)))

  def settle() -> None:
    work, future = pending.popleft()
    out[work.rows] = future.result()[work.places]

  threads = _THREADS * len(copies.devices)
  turns = itertools.cycle(zip(*copies, strict=True))
  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    for work, copy in zip(batches, turns, strict=False):
      pending.append((work, pool.submit(result, work.texts, *copy)))
      if len(pending) > threads:
        settle()
    while pending:
      settle()
  return out
