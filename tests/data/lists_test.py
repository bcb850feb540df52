"""Candidate lists on disk."""

import numpy as np
import pytest

from prod_jax.data.lists import (
  Candidates,
  Compared,
  Dark,
  first_rank,
  load_lists,
  save_lists,
)


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


def test_first_rank(lists):
  assert first_rank(lists.rank, lists.label).tolist() == [2, -1]


COMPARED = Compared(
  first=np.array([[0, 2], [1, -1]], np.int32),
  second=np.array([[1, 0], [4, -1]], np.int32),
  prefer=np.array([[0.9, 0.2], [0.5, 0]], np.float32),
)
DARK = Dark(
  ids=np.array([[[7, 8, -1]], [[-1, -1, -1]]], np.int32),
  score=np.array([[1.5], [np.nan]], np.float32),
)


def test_lists_come_back_as_they_were(lists, tmp_path):
  for saved in (lists, COMPARED, DARK):
    folder = tmp_path / type(saved).__name__
    save_lists(saved, folder)
    loaded = load_lists(type(saved), folder)
    assert isinstance(loaded, type(saved))
    for ours, theirs in zip(saved, loaded, strict=True):
      np.testing.assert_array_equal(ours, theirs)
      assert ours.dtype == theirs.dtype
