"""Rows of natural length through few shapes, and back in order."""

import jax
import numpy as np
import pytest

from prod_jax import sharding
from prod_jax.batch import Tokens
from prod_jax.retrieval import buckets


def test_results_are_in_order_and_shapes_are_few():
  copies = sharding.copies(np.float32(1))
  lengths = np.random.default_rng(0).integers(3, 65, 101)
  shapes, devices = set(), set()

  @jax.jit
  def total(weight, rows):
    shapes.add(rows.ids.shape)
    return weight * rows.ids.sum(axis=1)

  def forward(weight, rows):
    result = total(weight, rows)
    devices.update(result.devices())
    return result

  def tokens_of(rows, length):
    assert (lengths[rows] <= length).all()
    ids = np.zeros((len(rows), length), np.int32)
    ids[:, 0] = rows
    return Tokens(ids, ids, ids, ids)

  out = buckets.run(
    forward,
    tokens_of,
    lengths,
    longest=64,
    batch_tokens=256,
    copies=copies,
    width=None,
  )
  np.testing.assert_array_equal(out, np.arange(101))
  assert len(shapes) == 4
  # Each device works at batches of its own.
  assert devices == {*jax.local_devices()}


@pytest.mark.parametrize(
  ("longest", "expected"), [(64, [16, 32, 48, 64]), (20, [8, 16, 20]), (4, [4])]
)
def test_lengths_of_shapes(longest, expected):
  assert buckets.lengths_of_shapes(longest) == expected


def test_few_rows_of_a_length_do_not_cost_a_compilation():
  batches = buckets._batches(np.array([5, 9, 60]), 64, 512)
  shapes = [length for _, length in batches]
  assert shapes == [64]
