"""Running a model over many texts that share rows, with one shape.

Texts of any length are fitted into rows of one length, and a batch is so many
rows: one compilation, and hardly any padding. Results come back in the order
of the texts.
"""

from collections.abc import Iterator

import numpy as np

from prod_jax import config, sharding
from prod_jax.batch import Packed
from prod_jax.data import packing
from prod_jax.data.rows import Joined, padded
from prod_jax.data.tokens import Special
from prod_jax.retrieval import buckets, turns
from prod_jax.retrieval.nearest import power_of_two

_SAMPLE = 16_384  # texts by which the length of a row is chosen


def run(
  forward: turns.Forward,
  texts: Joined,
  special: Special,
  *,
  longest: int,
  data: config.Data,
  batch_tokens: int,
  copies: sharding.Copies,
  width: int | None,
) -> np.ndarray:
  """Applies `forward` to texts 0 … n-1, the batches on each device in turn.

  Args:
    forward: jitted, (parameters, Packed with one group) to float32
      [1, places, width], or [1, places] for None. Where texts do not share
      rows, (parameters, Tokens [R, L]) to [R, width] or [R].
    texts: [n].
    special: ids of the special tokens.
    longest: tokens that a text may have.
    data: says whether texts share rows, and how long these are.
    batch_tokens: about how many tokens a batch holds; it is one device's.
    copies: devices, and the parameters on each.
    width: of a result.

  Returns:
    float32 [n, width] or [n], in the order of the texts.
  """
  if not data.packed:
    return buckets.run(
      forward,
      lambda rows, length: padded(texts.at(rows), length, special),
      texts.lengths,
      longest=longest,
      batch_tokens=batch_tokens,
      copies=copies,
      width=width,
    )
  lengths = texts.lengths
  out = np.empty((len(lengths), *([width] if width else [])), np.float32)
  if not len(lengths):
    return out
  sample = lengths[:: -(-len(lengths) // _SAMPLE)][:, None]
  one_group = packing.Cut(devices=1, splits=1)
  (_, L), _ = packing.shape_for([sample], one_group, longest, data.row_length)
  places = packing.fit(lengths, L)
  # Few texts need few rows: one of the powers of two, not any number of them.
  rows = min(max(batch_tokens // L, 1), power_of_two(places.rows))
  shape = packing.Shape(rows, L)
  return turns.run(
    lambda params, batch: forward(params, batch)[0],
    _batches(texts, places, shape, special),
    copies,
    out,
  )


def _batches(
  texts: Joined,
  places: packing.Places,
  shape: packing.Shape,
  special: Special,
) -> Iterator[turns.Work]:
  """So many rows at once, with the texts that stand in them."""
  order = np.argsort(places.row, kind="stable")
  starts = np.arange(0, places.rows, shape.rows)
  ends = np.searchsorted(places.row[order], starts + shape.rows)
  most = power_of_two(int(np.diff(ends, prepend=0).max()))
  S = packing.texts_a_row(shape.row_length)
  for start, numbers in zip(starts, np.split(order, ends[:-1]), strict=True):
    row, segment, first = (x[numbers] for x in places[:3])
    here = packing.Places(row - start, segment, first, shape.rows)
    laid = packing.lay(texts.at(numbers), here, shape, special)
    place = np.zeros((1, most), np.int32)
    place[0, : len(numbers)] = here.row * S + segment
    packed = Packed(*(x[None] for x in laid), place)
    yield turns.Work(numbers, packed, np.arange(len(numbers)))
