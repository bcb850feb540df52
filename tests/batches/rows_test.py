"""Rows of a batch against plain loops."""

import numpy as np
import pytest

from prod_jax.batches import rows
from prod_jax.batches.special import Special
from prod_jax.batches.store import store_of


def random_rows(rng, count: int, longest: int) -> list[np.ndarray]:
  lengths = [0, longest, *rng.integers(longest + 1, size=count - 2)]
  return [rng.integers(5, 99, size=n).astype(np.int32) for n in lengths]


SPECIAL = Special((2,), (3,), (3,), pad=0, mask=4)


def sliced(texts):
  """All texts of a list, as a batch takes them from a store."""
  return store_of(texts).slices(np.arange(len(texts)))


def single(texts, length):
  return rows.padded(rows.single(sliced(texts), length, SPECIAL), length)


def pair(queries, passages, query_length, length):
  both = sliced(queries), sliced(passages)
  joined = rows.pair(*both, query_length, length, SPECIAL)
  return rows.padded(joined, length)


def triple(texts, query_length, passage_length, length):
  joined = rows.triple(
    *map(sliced, texts), (query_length, passage_length), SPECIAL
  )
  return rows.padded(joined, length)


def test_single_is_what_a_loop_writes():
  texts = random_rows(np.random.default_rng(0), 50, 12)
  length = 9
  found = single(texts, length)
  for i, row in enumerate(texts):
    real = [2, *row[: length - 2], 3]
    pads = [0] * (length - len(real))
    assert found.ids[i].tolist() == real + pads
    assert found.segment[i].tolist() == [1] * len(real) + pads
    assert found.position[i].tolist() == list(range(length))
    assert not found.type[i].any()
  assert {x.dtype for x in found} == {np.dtype(np.int32)}
  assert {x.shape for x in found} == {(50, length)}


def test_pair_is_what_a_loop_writes():
  rng = np.random.default_rng(1)
  queries, passages = random_rows(rng, 60, 8), random_rows(rng, 60, 14)
  length = 15
  found = pair(queries, passages[::-1], 6, length)
  for i, (query, passage) in enumerate(
    zip(queries, passages[::-1], strict=True)
  ):
    first = [2, *query[:4], 3]
    second = [*passage[: length - len(first) - 1], 3]
    pads = [0] * (length - len(first) - len(second))
    assert found.ids[i].tolist() == first + second + pads
    assert found.segment[i].tolist() == [1] * (len(first) + len(second)) + pads
    assert found.position[i].tolist() == list(range(length))
    assert found.type[i].tolist() == [0] * len(first) + [1] * len(second) + pads
  assert {x.dtype for x in found} == {np.dtype(np.int32)}
  assert {x.shape for x in found} == {(60, length)}


def test_shortest_lengths_and_no_rows():
  row = np.array([7, 8], np.int32)
  assert single([row], 2).ids.tolist() == [[2, 3]]
  assert pair([row], [row], 2, 3).ids.tolist() == [[2, 3, 3]]
  assert single([], 5).ids.shape == (0, 5)
  assert pair([], [], 3, 5).ids.shape == (0, 5)
  with pytest.raises(ValueError, match="length is 1"):
    single([row], 1)
  for query_length, length in ((1, 5), (5, 5)):
    with pytest.raises(ValueError, match="2 <= query_length <= length - 1"):
      pair([row], [row], query_length, length)


def test_a_query_goes_with_all_passages_of_its_list():
  query, passage = np.array([7], np.int32), np.array([8, 9], np.int32)
  stored = store_of([query, passage])
  joined = rows.pair(
    stored.slices(np.array([[0], [1]])),
    stored.slices(np.array([[1, -1]])),
    9,
    20,
    SPECIAL,
  )
  found = rows.padded(joined, 8)
  assert found.ids.tolist() == [
    [[2, 7, 3, 8, 9, 3, 0, 0], [2, 7, 3, 3, 0, 0, 0, 0]],
    [[2, 8, 9, 3, 8, 9, 3, 0], [2, 8, 9, 3, 3, 0, 0, 0]],
  ]
  assert joined.lengths.tolist() == [[6, 4], [7, 5]]
  assert joined.first_length.tolist() == [[3, 3], [4, 4]]
  again = rows.padded(joined.at(np.array([1])), 8)
  np.testing.assert_array_equal(again.ids, found.ids[1:])


def test_triple_is_what_a_loop_writes():
  rng = np.random.default_rng(1)
  texts = [random_rows(rng, 40, longest) for longest in (8, 14, 12)]
  length = 6 + 2 * (9 - 1)
  found = triple(texts, 6, 9, length)
  for i, (query, first, second) in enumerate(zip(*texts, strict=True)):
    front = [2, *query[:4], 3]
    back = [*first[:7], 3, *second[:7], 3]
    pads = [0] * (length - len(front) - len(back))
    assert found.ids[i].tolist() == front + back + pads
    assert found.segment[i].tolist() == [1] * len(front + back) + pads
    assert found.type[i].tolist() == [0] * len(front) + [1] * len(back) + pads
    assert found.position[i].tolist() == list(range(length))
  assert {x.dtype for x in found} == {np.dtype(np.int32)}


def test_a_triple_of_no_room_is_special_tokens_and_of_less_an_error():
  row = np.array([7, 8], np.int32)
  found = triple([[row]] * 3, 2, 2, 4)
  assert found.ids.tolist() == [[2, 3, 3, 3]]
  for query_length, passage_length in ((1, 5), (5, 1)):
    with pytest.raises(ValueError, match="they need 2 and 2 or more"):
      triple([[row]] * 3, query_length, passage_length, 9)
