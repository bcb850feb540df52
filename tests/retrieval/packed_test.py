"""Texts through rows that they share, one shape, and back in order."""

import jax
import numpy as np

from prod_jax import config, sharding
from prod_jax.batch import Tokens
from prod_jax.retrieval import buckets, packed

LENGTHS = np.random.default_rng(0).integers(3, 80, 301)
LONGEST = 64


def tokens_of(texts, length):
  """Every token is the number of its text."""
  position = np.broadcast_to(np.arange(length), (len(texts), length))
  there = position < np.minimum(LENGTHS[texts], length)[:, None]
  ids = np.where(there, texts[:, None], 0)
  return Tokens(*(np.asarray(x, np.int32) for x in (ids, there, position, ids)))


def run(shapes, devices, **changes):
  @jax.jit
  def total(weight, texts):
    """Of each place the number that stands at its start, and again."""
    shapes.add(texts.tokens.ids.shape)
    row = texts.place // texts.start_GRS.shape[-1]
    start = texts.start_GRS.reshape(1, -1)[:, texts.place[0]]
    first = texts.tokens.ids[0, row[0], start[0]]
    return weight * np.float32([1, 2])[None, None] * first[None, :, None]

  def forward(weight, texts):
    result = total(weight, texts)
    devices.update(result.devices())
    return result

  return packed.run(
    forward,
    tokens_of,
    **{
      "lengths": LENGTHS,
      "longest": LONGEST,
      "row_length": 0,
      "batch_tokens": 512,
      "copies": sharding.copies(np.float32(1)),
      "width": 2,
      **changes,
    },
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
  out = run(shapes, set(), lengths=LENGTHS[:2], batch_tokens=10_000)
  np.testing.assert_array_equal(out[:, 0], np.arange(2))
  ((_, rows, _),) = shapes
  assert rows <= 2
  assert run(shapes, set(), lengths=np.zeros(0, int)).shape == (0, 2)


def test_the_config_says_whether_rows_are_shared():
  assert packed.runner(config.Data()).func is packed.run
  own = packed.runner(config.Data(packed=False))
  assert own is buckets.run
