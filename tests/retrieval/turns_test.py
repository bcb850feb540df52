"""Batches in turn: at once on a device, few at a time, results in order."""

import threading

import jax
import numpy as np
import pytest

from prod_jax import sharding
from prod_jax.retrieval import turns

ONE_DEVICE = sharding.Copies(jax.local_devices()[:1], [np.float32(10)])


def work(i):
  """Texts 2i and 2i + 1, whose results stand in the places 1 and 0."""
  rows = np.array([2 * i, 2 * i + 1])
  return turns.Work(rows, np.float32(rows[::-1]), np.array([1, 0]))


def test_a_device_is_given_two_batches_at_once():
  both = threading.Barrier(2)

  def forward(params, texts):
    both.wait(timeout=20)
    return params * texts

  out = np.empty(8, np.float32)
  found = turns.run(forward, map(work, range(4)), ONE_DEVICE, out)
  assert found is out
  np.testing.assert_array_equal(out, 10 * np.arange(8))


def test_batches_are_made_when_there_is_room_for_them():
  began, ahead = [], []

  def forward(params, texts):
    began.append(texts)
    return params * texts

  def batches():
    for i in range(20):
      ahead.append(i - len(began))
      yield work(i)

  turns.run(forward, batches(), ONE_DEVICE, np.empty(40, np.float32))
  assert len(began) == 20 and max(ahead) <= 2


def test_an_error_of_a_batch_is_that_of_the_run():
  def forward(params, texts):
    raise FloatingPointError(f"of {texts.size} texts")

  out = np.empty(8, np.float32)
  with pytest.raises(FloatingPointError, match="of 2 texts"):
    turns.run(forward, map(work, range(4)), ONE_DEVICE, out)
