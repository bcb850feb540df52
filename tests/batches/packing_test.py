"""Packed rows: each token where its text says, and little wasted."""

import numpy as np
import pytest

from prod_jax.batches import packing, rows
from prod_jax.batches.special import Special
from prod_jax.batches.store import store_of

SPECIAL = Special((-2,), (-3,), (-3,), pad=-1, mask=-4)


def lengths(n, seed=0, longest=40):
  return np.random.default_rng(seed).integers(2, longest + 1, n)


def joined(lengths):
  """Texts [...] of so many tokens, 2 or more; ids tell text and position."""
  content = lengths.reshape(-1) - 2
  ids = [1000 * n + np.arange(size) for n, size in enumerate(content)]
  numbers = np.arange(lengths.size).reshape(lengths.shape)
  return rows.single(store_of(ids).slices(numbers), 1000, SPECIAL)


@pytest.mark.parametrize("row_length", [40, 64, 160])
def test_texts_never_overlap_and_never_leave_their_row(row_length):
  found = lengths(200)
  places = packing.fit(found, row_length)
  taken = np.zeros((places.rows, row_length), int)
  for row, start, length in zip(places.row, places.start, found, strict=True):
    assert start + length <= row_length
    taken[row, start : start + length] += 1
  assert taken.max() == 1
  assert taken.sum() == found.sum()
  slots = places.row * 1000 + places.segment
  assert len(np.unique(slots)) == len(found)
  assert places.segment.max() < packing.texts_a_row(row_length)


def test_best_fit_of_long_and_short_texts():
  places = packing.fit(np.array([24, 80, 48, 56, 32]), 80)
  # 80 | 56 and 24 | 48 and 32
  assert places.rows == 3
  assert places.row.tolist() == [1, 0, 2, 1, 2]
  assert places.segment.tolist() == [1, 0, 0, 0, 1]
  assert places.start.tolist() == [56, 0, 0, 0, 48]


def test_a_row_holds_at_most_so_many_texts():
  assert packing.fit(np.full(9, 2), 32).rows == 3  # 4 places of 8 tokens
  assert packing.fit(np.zeros(0, int), 32).rows == 0


def test_natural_lengths_leave_less_than_a_twentieth_empty():
  """Like passages of MS MARCO: 77 tokens in the mean, 144 at most."""
  rng = np.random.default_rng(1)
  texts = np.clip(rng.gamma(6, 77 / 6, (512, 16)), 4, 144).astype(int)
  cut = packing.Grouping(devices=2, splits=1)
  order = packing.balanced(texts.sum(axis=1), 64, cut)
  texts = texts[order].reshape(8, 64, 16)
  shape, padding = packing.shape_for(list(texts), cut, 144, 0)
  assert padding < 0.05
  assert shape.row_length < 2 * 144
  for batch in texts:
    for group in cut.queries(64):
      places = packing.fit(batch[group].reshape(-1), shape.row_length)
      assert places.rows <= shape.rows


def test_texts_that_fill_no_row_get_longer_rows():
  """Of 100 of 144 tokens one fits, so that a third would be wasted."""
  sample = [np.full((16, 8), 96)]
  shape, padding = packing.shape_for(sample, packing.Grouping(1, 1), 144, 0)
  assert (shape.row_length, padding) == (192, 0.0)
  fixed, padding = packing.shape_for(sample, packing.Grouping(1, 1), 144, 144)
  assert fixed == (128, 144)
  assert padding == pytest.approx(1 / 3)


def test_a_little_padding_is_cheaper_than_long_rows():
  """A twelfth of rows of 144; rows four times as long would waste nothing."""
  sample = [np.full((16, 8), 132)]
  shape, padding = packing.shape_for(sample, packing.Grouping(1, 1), 144, 0)
  assert shape == (128, 144)
  assert padding == pytest.approx(1 / 12)


def test_the_fullest_groups_count_and_one_in_a_hundred_rows_is_spare():
  """Of 100 batches one is fuller; its 400 texts of 60 take 200 rows of 120."""
  sample = [np.full((1, 100), 60)] * 99 + [np.full((1, 400), 60)]
  shape, _ = packing.shape_for(sample, packing.Grouping(1, 1), 120, 120)
  assert shape == (202, 120)


@pytest.mark.parametrize("part", [range(12), range(6, 12), range(3)])
def test_every_text_is_found_at_its_place(part):
  """4 devices with 3 queries each; a process holds some of them."""
  cut, part = packing.Grouping(devices=4, splits=3), np.array(part)
  texts = joined(lengths(24, longest=20).reshape(12, 2))
  packed = packing.pack(texts, part, cut, packing.Shape(1, 40))
  G, _, L = packed.ids.shape
  assert (len(part), 40) == (G, L)
  S = packed.start_GRS.shape[-1]
  wanted = rows.padded(texts, 20)
  for b, query in enumerate(part):
    # Query 3 d + r of device d is alone in group 3 d + r.
    for n, place in enumerate(packed.place[b]):
      at = (b, *divmod(place, S))
      start, length = packed.start_GRS[at], packed.length_GRS[at]
      found = packed.ids[b, place // S, start : start + length]
      assert length == texts.lengths[query, n]
      np.testing.assert_array_equal(found, wanted.ids[query, n, :length])
      assert packed.first_length_GRS[at] == length
  real = packed.ids != SPECIAL.pad
  assert real.sum() == packed.length_GRS.sum() == texts.lengths[part].sum()


def test_a_device_takes_each_of_its_queries_in_turn():
  order = packing.Grouping(devices=2, splits=2).queries(8)
  assert order.tolist() == [[0, 2], [1, 3], [4, 6], [5, 7]]


def test_groups_are_evened_out():
  """One long query for each group, and short ones to match."""
  tokens_B = np.array([90, 80, 10, 70, 20, 60, 40, 30])
  cut = packing.Grouping(devices=2, splits=2)
  order = packing.balanced(tokens_B, 8, cut)
  assert sorted(order) == list(range(8))
  sums = tokens_B[order][cut.queries(8)].sum(axis=1)
  assert sums.tolist() == [100, 100, 100, 100]


def test_batches_are_evened_out_whatever_they_are_cut_into():
  """Sixteen batches of four queries of very different lengths."""
  rng = np.random.default_rng(3)
  tokens_Q = rng.integers(1, 100, 64)
  orders = [
    packing.balanced(tokens_Q, 4, packing.Grouping(*cut)).reshape(16, 4)
    for cut in ((1, 1), (2, 1), (2, 2))
  ]
  assert sorted(orders[0].reshape(-1)) == list(range(64))
  sums = tokens_Q[orders[0]].sum(axis=1)
  assert sums.min() >= 0.9 * sums.max()
  assert sums.max() - sums.min() < tokens_Q.reshape(16, 4).sum(axis=1).std()
  for order in orders[1:]:
    np.testing.assert_array_equal(np.sort(order), np.sort(orders[0]))


def test_a_window_holds_many_texts_and_a_part_of_an_epoch():
  assert packing.window(texts=64, batches=10_000) == 128
  assert packing.window(texts=64, batches=33) == 8
  assert packing.window(texts=100_000, batches=100) == 1
  assert packing.window(texts=64, batches=0) == 1


def test_all_processes_get_the_rows_of_the_fullest_group(caplog):
  caplog.set_level("INFO")
  packing._say_larger.cache_clear()
  whole = np.full((4, 3), 4)
  whole[3] = 16
  cut, shape = packing.Grouping(devices=2, splits=1), packing.Shape(2, 16)
  packed = packing.pack(joined(whole), np.arange(2), cut, shape)
  needed = packing.fit(whole[2:].reshape(-1), 16).rows
  assert needed == 4
  assert packed.ids.shape == (1, packing.grown(2, needed), 16)
  packing.pack(joined(whole), np.arange(2), cut, shape)
  said = [x.message for x in caplog.records if "a batch needs" in x.message]
  assert said == [
    "a batch needs more than the 2 rows of 16 tokens that its step was "
    "compiled for; one for 4 is compiled unless it was before"
  ]


def test_rows_grow_by_tenths():
  assert packing.grown(100, 90) == 100
  assert packing.grown(100, 101) == 110
  assert packing.grown(100, 115) == 121  # 110, and a tenth of it
