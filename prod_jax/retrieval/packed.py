"""Running a model over many texts that share rows, with one shape.

Texts of any length are fitted into rows of one length, and a batch is so many
rows: one compilation, and hardly any padding. Results come back in the order
of the texts.
"""

import functools
from collections.abc import Callable, Iterator

import numpy as np

from prod_jax import config, sharding
from prod_jax.batch import Packed, Tokens
from prod_jax.data import packing
from prod_jax.retrieval import buckets, turns

_SAMPLE = 16_384  # texts by which the length of a row is chosen


def run(
  forward: turns.Forward,
  tokens_of: Callable[[np.ndarray, int], Tokens],
  lengths: np.ndarray,
  *,
  longest: int,
  row_length: int,
  batch_tokens: int,
  copies: sharding.Copies,
  width: int | None,
) -> np.ndarray:
  """Applies `forward` to texts 0 … n-1, the batches on each device in turn.

  Args:
    forward: jitted, (parameters, Packed with one group) to float32
      [1, places, width], or [1, places] for None.
    tokens_of: (numbers of texts [n], `longest`) to Tokens [n, longest].
    lengths: int [n], tokens of each, special ones too; may exceed `longest`.
    longest: texts are cut there.
    row_length: tokens of a row; 0 takes the shortest with which little is
      padding.
    batch_tokens: about how many tokens a batch holds; it is one device's.
    copies: devices, and the parameters on each.
    width: of a result.

  Returns:
    float32 [n, width] or [n], in the order of the texts.
  """
  out = np.empty((len(lengths), *([width] if width else [])), np.float32)
  if not len(lengths):
    return out
  lengths = np.minimum(lengths, longest)
  sample = lengths[:: -(-len(lengths) // _SAMPLE)][:, None]
  one_group = packing.Cut(devices=1, splits=1)
  shape, _ = packing.shape_for([sample], one_group, longest, row_length)
  places = packing.fit(lengths, shape.row_length)
  rows = min(max(batch_tokens // shape.row_length, 1), places.rows)
  shape = packing.Shape(rows, shape.row_length)
  batches = _batches(places, shape, lambda texts: tokens_of(texts, longest))
  return turns.run(
    lambda params, texts: forward(params, texts)[0], batches, copies, out
  )


def runner(data: config.Data) -> Callable[..., np.ndarray]:
  """`run` in rows as the config has them: shared, or each text its own."""
  if data.packed:
    return functools.partial(run, row_length=data.row_length)
  return buckets.run


def _batches(
  places: packing.Places,
  shape: packing.Shape,
  tokens_of: Callable[[np.ndarray], Tokens],
) -> Iterator[turns.Work]:
  """So many rows at once, with the texts that stand in them."""
  order = np.argsort(places.row, kind="stable")
  starts = np.arange(0, places.rows, shape.rows)
  ends = np.searchsorted(places.row[order], starts + shape.rows)
  S = packing.texts_a_row(shape.row_length)
  everywhere = np.arange(shape.rows * S, dtype=np.int32)[None]
  for start, texts in zip(starts, np.split(order, ends[:-1]), strict=True):
    row, segment, first = (x[texts] for x in places[:3])
    row = row - start
    here = packing.Places(row, segment, first, shape.rows)
    tokens, start_RS = packing.lay(tokens_of(texts), here, shape)
    packed = Packed(
      Tokens(*(x[None] for x in tokens)), start_RS[None], everywhere
    )
    yield turns.Work(texts, packed, row * S + segment)
