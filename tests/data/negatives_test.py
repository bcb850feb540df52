"""Which columns of a candidate list are trained on."""

import numpy as np
import pytest

from prod_jax.data.negatives import Candidates, choose_columns, first_rank


@pytest.fixture
def lists():
  """Query 0 retrieves its positive third, query 1 misses it."""
  nan = np.nan
  return Candidates(
    query=np.array([4, 9], np.int32),
    ids=np.array([[5, 6, 7, 8, -1], [1, 2, -1, -1, 3]], np.int32),
    label=np.array([[0, 0, 1, 0, 0], [0, 0, 0, 0, 1]], bool),
    rank=np.array([[0, 1, 2, 3, -1], [0, 1, -1, -1, -1]], np.int32),
    score=np.array([[4, 3, 2, 1, nan], [2, 1, nan, nan, 0]], np.float32),
  )


def rng():
  return np.random.default_rng(0)


def test_descend_takes_the_first_negatives_in_ranked_order(lists):
  columns = choose_columns(lists, np.array([0, 1]), 2, "descend", rng())
  assert columns.tolist() == [[2, 0, 1], [4, 0, 1]]


def test_too_few_negatives_are_repeated(lists):
  columns = choose_columns(lists, np.array([0, 1]), 4, "descend", rng())
  assert columns.tolist() == [[2, 0, 1, 3, 0], [4, 0, 1, 0, 1]]


def test_random_draws_every_negative_and_never_the_positive_or_padding(lists):
  generator = rng()
  drawn = [
    choose_columns(lists, np.array([0]), 2, "random", generator)[0]
    for _ in range(100)
  ]
  assert {c[0] for c in drawn} == {2}
  assert all(c[1] != c[2] for c in drawn)
  assert {int(c) for line in drawn for c in line[1:]} == {0, 1, 3}


def test_a_list_without_negatives_gives_no_column(lists):
  alone = lists._replace(label=lists.ids >= 0)
  columns = choose_columns(alone, np.array([1]), 2, "random", rng())
  assert columns.tolist() == [[0, -1, -1]]


def test_first_rank(lists):
  assert first_rank(lists.rank, lists.label).tolist() == [2, -1]


def test_lists_come_back_as_they_were(lists, tmp_path):
  lists.save(tmp_path / "lists")
  loaded = Candidates.load(tmp_path / "lists")
  for ours, theirs in zip(lists, loaded, strict=True):
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype
