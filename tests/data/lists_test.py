"""Candidate lists on disk."""

import numpy as np
import pytest

from prod_jax.data.lists import (
  Candidates,
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


def test_lists_come_back_as_they_were(lists, tmp_path):
  save_lists(lists, tmp_path / "lists")
  loaded = load_lists(Candidates, tmp_path / "lists")
  for ours, theirs in zip(lists, loaded, strict=True):
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype
