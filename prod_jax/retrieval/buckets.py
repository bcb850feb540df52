"""Running a model over many texts in rows of their own, with few shapes.

For what cannot share rows (packed.py). Rows are sorted by length and cut into
batches of about the same number of tokens, each padded to one of at most four
lengths, so that a corpus costs few compilations and little padding. Results
come back in the order of the rows.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from prod_jax import sharding
from prod_jax.retrieval import turns

SHAPES = 4


def lengths_of_shapes(longest: int) -> list[int]:
  """The padded lengths: quarters of `longest`, rounded up to multiples of 8."""
  quarters = [-(-longest * i // SHAPES) for i in range(1, SHAPES + 1)]
  return sorted({min(-(-q // 8) * 8, longest) for q in quarters})


def rows_of(length: int, batch_tokens: int) -> int:
  """Rows of a batch of this length."""
  return max(batch_tokens // length, 1)


def run(
  forward: turns.Forward,
  tokens_of: Callable[[np.ndarray, int], Any],
  lengths: np.ndarray,
  *,
  longest: int,
  batch_tokens: int,
  copies: sharding.Copies,
  width: int | None,
) -> np.ndarray:
  """Applies `forward` to rows 0 … n-1, the batches on each device in turn.

  Args:
    forward: jitted, (parameters, what `tokens_of` makes) to float32
      [R, width], or [R] for None.
    tokens_of: (row numbers [R], L) to Tokens [R, L], or several of them.
    lengths: tokens of each row, special ones included.
    longest: that a row may have.
    batch_tokens: about how many tokens a batch holds; it is one device's.
    copies: devices, and the parameters on each.
    width: of a result row.

  Returns:
    float32 [n, width] or [n], in the order of the rows.
  """
  out = np.empty((len(lengths), *([width] if width else [])), np.float32)
  batches = (
    turns.Work(rows, tokens_of(rows, length), np.arange(len(rows)))
    for rows, length in _batches(lengths, longest, batch_tokens)
  )
  return turns.run(forward, batches, copies, out)


def _batches(
  lengths: np.ndarray, longest: int, batch_tokens: int
) -> Iterator[tuple[np.ndarray, int]]:
  """Yields (rows, length) with as many rows for a length as fit."""
  shapes = np.array(lengths_of_shapes(longest))
  shape_of = np.searchsorted(shapes, lengths)
  rows = np.empty(0, np.int64)
  for i, length in enumerate(shapes.tolist()):
    rows = np.concatenate([rows, np.flatnonzero(shape_of == i)])
    if length < longest and len(rows) * length < batch_tokens:
      continue  # not worth a compilation: they go with the next length
    rows = rows[np.argsort(lengths[rows], kind="stable")]
    size = rows_of(length, batch_tokens)
    for start in range(0, len(rows), size):
      batch = rows[start : start + size]
      # The last row stands in for what is missing of a full batch.
      yield np.pad(batch, (0, size - len(batch)), mode="edge"), length
    rows = rows[:0]
