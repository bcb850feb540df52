"""Texts through rows that they share, one shape, and back in order."""

import jax
import numpy as np

from prod_jax import config, sharding
from prod_jax.data import rows
from prod_jax.data.store import store_of
from prod_jax.data.tokens import Special
from prod_jax.retrieval import packed

SPECIAL = Special(cls=0, sep=-1, pad=-2, mask=-3)
LENGTHS = np.random.default_rng(0).integers(3, 80, 301)
LONGEST = 64


def numbered(count):
  """The first token of each text behind [CLS] is its number."""
  ids = [np.full(n - 2, text) for text, n in enumerate(LENGTHS[:count])]
  texts = store_of(ids or [np.zeros(0, int)]).slices(np.arange(count))
  return rows.single(texts, LONGEST)


def run(shapes, devices, count=301, row_length=0, batch_tokens=512):
  @jax.jit
  def total(weight, texts):
    """Of each place the number behind its [CLS], and again."""
    shapes.add(texts.ids.shape)
    row = texts.place[0] // texts.start_GRS.shape[-1]
    start = texts.start_GRS.reshape(-1)[texts.place[0]]
    first = texts.ids[0, row, start + 1]
    return weight * np.float32([1, 2])[None, None] * first[None, :, None]

  def forward(weight, texts):
    result = total(weight, texts)
    devices.update(result.devices())
    return result

  return packed.run(
    forward,
    numbered(count),
    SPECIAL,
    longest=LONGEST,
    data=config.Data(row_length=row_length),
    batch_tokens=batch_tokens,
    copies=sharding.copies(np.float32(1)),
    width=2,
  )


def test_results_are_in_order_and_there_is_one_shape():
  shapes, devices = set(), set()
  out = run(shapes, devices)
  wanted = np.arange(301)[:, None] * [1, 2]
  np.testing.assert_array_equal(out, wanted)
  assert len(shapes) == 1
  ((_, rows, length),) = shapes
  assert rows == 512 // length
  assert devices == {*jax.local_devices()}


def test_a_given_length_of_rows_is_taken():
  shapes = set()
  out = run(shapes, set(), row_length=100)
  np.testing.assert_array_equal(out[:, 0], np.arange(301))
  assert shapes == {(1, 5, 100)}


def test_few_texts_make_few_rows_and_none_none():
  shapes = set()
  out = run(shapes, set(), count=2, batch_tokens=10_000)
  np.testing.assert_array_equal(out[:, 0], np.arange(2))
  ((_, rows, _),) = shapes
  assert rows <= 2
  assert run(shapes, set(), count=0).shape == (0, 2)


def test_without_shared_rows_each_text_is_padded():
  seen = []

  @jax.jit
  def second(weight, tokens):
    seen.append(tokens.ids.shape)
    return weight * tokens.ids[:, 1]

  out = packed.run(
    second,
    numbered(40),
    SPECIAL,
    longest=LONGEST,
    data=config.Data(packed=False),
    batch_tokens=128,
    copies=sharding.copies(np.float32(1)),
    width=None,
  )
  np.testing.assert_array_equal(out, np.arange(40))
  assert {length for _, length in seen} == {16, 32, 48, 64}
