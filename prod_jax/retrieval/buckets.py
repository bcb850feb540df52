"""Running a model over many rows of natural length, with few shapes.

Rows are sorted by length and cut into batches of about the same number of
tokens, each padded to one of at most four lengths, so that a corpus costs few
compilations and little padding. Results come back in the order of the rows.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from prod_jax import sharding
from prod_jax.batch import Tokens

SHAPES = 4


def lengths_of_shapes(longest: int) -> list[int]:
  """The padded lengths: quarters of `longest`, rounded up to multiples of 8."""
  quarters = [-(-longest * i // SHAPES) for i in range(1, SHAPES + 1)]
  return sorted({min(-(-q // 8) * 8, longest) for q in quarters})


def rows_of(length: int, batch_tokens: int, parts: int) -> int:
  """Rows of a batch of this length: a multiple of the devices it is cut to."""
  return max(batch_tokens // length // parts, 1) * parts


def run(
  forward: Callable[[Tokens], jax.Array],
  tokens_of: Callable[[np.ndarray, int], Tokens],
  lengths: Sequence[int] | np.ndarray,
  *,
  longest: int,
  batch_tokens: int,
  mesh: jax.sharding.Mesh,
  width: int | None,
) -> np.ndarray:
  """Applies `forward` to rows 0 … n-1.

  Args:
    forward: jitted, Tokens [R, L] to float32 [R, width], or [R] for None.
    tokens_of: (row numbers [R], L) to Tokens [R, L].
    lengths: tokens of each row, special ones included; may exceed `longest`.
    longest: rows are cut there.
    batch_tokens: about how many tokens a batch holds.
    mesh: rows of a batch are cut over its data and fsdp axes.
    width: of a result row.

  Returns:
    float32 [n, width] or [n], in the order of the rows.
  """
  lengths = np.minimum(np.asarray(lengths), longest)
  out = np.empty((len(lengths), *([width] if width else [])), np.float32)
  pending: tuple[np.ndarray, jax.Array] | None = None
  with jax.set_mesh(mesh):
    for rows, length in _batches(lengths, longest, batch_tokens, mesh):
      result = forward(sharding.put_batch(tokens_of(rows, length), mesh))
      if pending:
        out[pending[0]] = np.asarray(pending[1])
      pending = (rows, result)
    if pending:
      out[pending[0]] = np.asarray(pending[1])
  return out


def _batches(
  lengths: np.ndarray, longest: int, batch_tokens: int, mesh: jax.sharding.Mesh
):
  """Yields (rows, length) with as many rows for a length as fit."""
  shapes = np.array(lengths_of_shapes(longest))
  shape_of = np.searchsorted(shapes, lengths)
  parts = sharding.batch_devices(mesh)
  rows = np.empty(0, np.int64)
  for i, length in enumerate(shapes.tolist()):
    rows = np.concatenate([rows, np.flatnonzero(shape_of == i)])
    if length < longest and len(rows) * length < batch_tokens:
      continue  # not worth a compilation: they go with the next length
    rows = rows[np.argsort(lengths[rows], kind="stable")]
    size = rows_of(length, batch_tokens, parts)
    for start in range(0, len(rows), size):
      batch = rows[start : start + size]
      # The last row stands in for what is missing of a full batch.
      yield np.pad(batch, (0, size - len(batch)), mode="edge"), length
    rows = rows[:0]
