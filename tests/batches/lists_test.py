"""Candidate lists on disk."""

import numpy as np
import pytest

from prod_jax.batches.lists import (
  Candidates,
  Compared,
  Dark,
  first_rank,
  keep_negatives,
  load_lists,
  relabel,
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


def test_the_first_negatives_are_kept_and_every_positive():
  """A found positive keeps its rank, a missed one its place behind."""
  nan = np.nan
  lists = Candidates(
    query=np.array([4, 9], np.int32),
    ids=np.array([[5, 6, 7, 8, -1, -1], [1, 2, 3, 0, 9, -1]], np.int32),
    label=np.array([[0, 0, 0, 1, 0, 0], [0, 1, 0, 0, 1, 0]], bool),
    rank=np.array([[0, 1, 2, 3, -1, -1], [0, 1, 2, 3, -1, -1]], np.int32),
    score=np.array([[9, 8, 7, 6, nan, nan], [9, 8, 7, 6, 1, nan]], np.float32),
  )
  kept = keep_negatives(lists, 2, 2)
  assert kept.query.tolist() == [4, 9]
  assert kept.ids.tolist() == [[5, 6, 8, -1], [1, 2, 3, 9]]
  assert kept.label.tolist() == [[0, 0, 1, 0], [0, 1, 0, 1]]
  assert kept.rank.tolist() == [[0, 1, 3, -1], [0, 1, 2, -1]]
  np.testing.assert_array_equal(
    kept.score, [[9, 8, 6, nan], [9, 8, 7, 1]], strict=False
  )
  assert [x.dtype for x in kept] == [x.dtype for x in lists]
  for ours, theirs in zip(keep_negatives(lists, 9, 2), lists, strict=True):
    np.testing.assert_array_equal(ours, theirs)


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


def test_relabelled_passages_are_positives_behind_the_gold_one():
  lists = Candidates(
    query=np.array([5, 6], np.int32),
    ids=np.array([[1, 2, 0, -1], [0, 1, 2, -1]], np.int32),
    label=np.array([[0, 0, 1, 0], [1, 0, 0, 0]], bool),
    rank=np.array([[0, 1, -1, -1], [0, 1, 2, -1]], np.int32),
    score=np.array([[3, 2, 1, np.nan], [3, 2, 1, np.nan]], np.float32),
  )
  label = np.array([[1, 0, 0, 0], [0, 0, 0, 0]], bool)
  found = relabel(lists, label, np.array([0, 0]))
  assert found.query.tolist() == [5, 6]
  assert found.ids.tolist() == [[0, 1, 2, -1], [0, 1, 2, -1]]
  assert found.label.tolist() == [
    [True, True, False, False],
    [True, False, False, False],
  ]
  assert found.rank.tolist() == [[-1, 0, 1, -1], [0, 1, 2, -1]]
  np.testing.assert_array_equal(found.score[0], [1, 3, 2, np.nan])
