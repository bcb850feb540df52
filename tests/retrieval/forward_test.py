"""A frozen model over many texts: shapes, order, and batches in turn."""

import dataclasses
import threading

import jax
import numpy as np
import pytest

from prod_jax import config, profiling, sharding
from prod_jax.batch import Tokens
from prod_jax.batches import rows
from prod_jax.batches.special import Special
from prod_jax.batches.store import store_of
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.transformer import TransformerConfig
from prod_jax.retrieval import forward
from prod_jax.retrieval.forward import FrozenModel

BERT = TransformerConfig(
  vocab_size=8, width=4, depth=1, heads=1, mlp_width=4, max_positions=8
)
MODEL = CrossEncoder(transformer=BERT, pooling="cls")
SPECIAL = Special((0,), (-1,), (-1,), pad=-2, mask=-3)
LENGTHS = np.random.default_rng(0).integers(3, 80, 301)
LONGEST = 64


def frozen(batch_tokens, **data):
  """A model whose only parameter is 1: a test brings what it computes."""
  copies = sharding.copies(np.float32(1))
  return FrozenModel(MODEL, copies, SPECIAL, config.Data(**data), batch_tokens)


def numbered(count):
  """The first token of each text behind [CLS] is its number."""
  ids = [np.full(n - 2, text) for text, n in enumerate(LENGTHS[:count])]
  texts = store_of(ids or [np.zeros(0, int)]).slices(np.arange(count))
  return rows.single(texts, LONGEST, SPECIAL)


def run(shapes, devices, count=301, row_length=0, batch_tokens=512):
  @jax.jit
  def total(weight, texts):
    """Of each place the number behind its [CLS], and again."""
    shapes.add(texts.ids.shape)
    row = texts.place[0] // texts.start_GRS.shape[-1]
    start = texts.start_GRS.reshape(-1)[texts.place[0]]
    first = texts.ids[0, row, start + 1]
    return weight * np.float32([1, 2])[None, None] * first[None, :, None]

  def double(weight, texts):
    result = total(weight, texts)
    devices.update(result.devices())
    return result

  model = frozen(batch_tokens, row_length=row_length)
  return forward.over_texts(model, double, numbered(count), LONGEST, 2)


@pytest.mark.parametrize(
  ("longest", "most", "rows"),
  [(144, 20, 144), (512, 20, 512), (8192, 20, 512), (8192, 700, 1024)],
)
def test_rows_are_as_long_as_long_texts_need(longest, most, rows):
  """Of a model of 8,192 tokens: attention is by the square."""
  assert forward.needed(longest, np.array([7, most])) == rows
  assert forward.needed(600, np.array([600])) == 600
  assert forward.needed(8192, np.array([], int)) == 512


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

  model = frozen(128, packed=False)
  out = forward.over_texts(model, second, numbered(40), LONGEST)
  np.testing.assert_array_equal(out, np.arange(40))
  assert {length for _, length in seen} == {16, 32, 48, 64}


def test_rows_of_their_own_come_back_in_order_and_shapes_are_few():
  lengths = np.random.default_rng(0).integers(3, 65, 101)
  shapes, devices = set(), set()

  @jax.jit
  def total(weight, rows):
    shapes.add(rows.ids.shape)
    return weight * rows.ids.sum(axis=1)

  def summed(weight, rows):
    result = total(weight, rows)
    devices.update(result.devices())
    return result

  def tokens_of(rows, length):
    assert (lengths[rows] <= length).all()
    ids = np.zeros((len(rows), length), np.int32)
    ids[:, 0] = rows
    return Tokens(ids, ids, ids, ids)

  out = forward.over_rows(frozen(256), summed, tokens_of, lengths, 64)
  np.testing.assert_array_equal(out, np.arange(101))
  assert len(shapes) == 4
  shapes.clear()
  forward.over_rows(frozen(256), summed, tokens_of, lengths, 8192)
  assert max(length for _, length in shapes) <= 512
  # Each device works at batches of its own.
  assert devices == {*jax.local_devices()}


@pytest.mark.parametrize(
  ("longest", "expected"), [(64, [16, 32, 48, 64]), (20, [8, 16, 20]), (4, [4])]
)
def test_lengths_of_shapes(longest, expected):
  assert forward.lengths_of_shapes(longest) == expected


def test_few_rows_of_a_length_do_not_cost_a_compilation():
  batches = forward._by_length(np.array([5, 9, 60]), 64, 512)
  shapes = [length for _, length in batches]
  assert shapes == [64]


ONE_DEVICE = dataclasses.replace(
  frozen(64),
  copies=sharding.Copies(jax.local_devices()[:1], [np.float32(10)]),
)


def work(i):
  """Texts 2i and 2i + 1, whose results stand in the places 1 and 0."""
  rows = np.array([2 * i, 2 * i + 1])
  return forward.Work(rows, np.float32(rows[::-1]), np.array([1, 0]))


def test_a_device_is_given_two_batches_at_once():
  both = threading.Barrier(2)

  def times(params, texts):
    both.wait(timeout=20)
    return params * texts

  out = np.empty(8, np.float32)
  found = forward._in_turns(ONE_DEVICE, times, map(work, range(4)), out)
  assert found is out
  np.testing.assert_array_equal(out, 10 * np.arange(8))


def test_batches_are_made_when_there_is_room_for_them():
  began, ahead = [], []

  def times(params, texts):
    began.append(texts)
    return params * texts

  def batches():
    for i in range(20):
      ahead.append(i - len(began))
      yield work(i)

  forward._in_turns(ONE_DEVICE, times, batches(), np.empty(40, np.float32))
  assert len(began) == 20 and max(ahead) <= 2


def test_a_batch_is_a_step_of_a_profile(monkeypatch):
  told = []
  monkeypatch.setattr(
    jax.profiler, "start_trace", lambda to, **_: told.append("start")
  )
  monkeypatch.setattr(
    jax.profiler, "stop_trace", lambda: told.append(f"{len(began)} begun")
  )
  began = []

  def times(params, texts):
    began.append(texts)
    return params * texts

  profile = profiling.Profile(profiling.Asked("encode", 2, 3))
  model = dataclasses.replace(ONE_DEVICE, profile=profile)
  out = np.empty(8, np.float32)
  forward._in_turns(model, times, map(work, range(4)), out)
  # Batches are counted on where the next work over texts begins.
  forward._in_turns(model, times, map(work, range(4)), out)
  assert told[0] == "start" and told[1] in ("3 begun", "4 begun")
  assert len(told) == 2 and profile.begin() == 9


def test_an_error_of_a_batch_is_that_of_the_run():
  def times(params, texts):
    raise FloatingPointError(f"of {texts.size} texts")

  out = np.empty(8, np.float32)
  with pytest.raises(FloatingPointError, match="of 2 texts"):
    forward._in_turns(ONE_DEVICE, times, map(work, range(4)), out)
