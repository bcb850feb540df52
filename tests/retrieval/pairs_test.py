"""Pairs of a ranking for a pairwise model."""

import numpy as np
import pytest

from prod_jax.retrieval import pairs

SCORES = np.array([0.5, np.nan, 3.0, 1.0, 2.0, -1.0])  # ranking: 2 4 3 0 5


def near(count=99, depth=0, window=5, scores=SCORES, seed=0):
  return pairs.near_pairs(
    scores,
    depth=depth,
    window=window,
    count=count,
    rng=np.random.default_rng(seed),
  )


@pytest.mark.parametrize(
  ("window", "depth", "wanted"),
  [
    (1, 0, [(2, 4), (4, 3), (3, 0), (0, 5)]),
    (2, 3, [(2, 4), (2, 3), (4, 3)]),
    (1, 2, [(2, 4)]),
    (9, 1, []),
  ],
)
def test_pairs_are_near_and_the_higher_ranked_one_is_first(
  window, depth, wanted
):
  found = near(window=window, depth=depth)
  assert sorted(map(tuple, found.tolist())) == sorted(wanted)
  assert found.dtype == np.int32


def test_all_pairs_within_a_window_of_the_official_size():
  """20 passages and a window of 5: 85 pairs, fewer than the default of 100."""
  scores = np.random.default_rng(1).normal(size=20)
  found = near(count=100, scores=scores)
  assert len(found) == 85
  assert (scores[found[:, 0]] > scores[found[:, 1]]).all()
  rank = np.argsort(np.argsort(-scores))
  gap = rank[found[:, 1]] - rank[found[:, 0]]
  assert gap.min() == 1 and gap.max() == 5


def test_a_draw_is_without_repeats_and_by_its_seed():
  every = {tuple(p) for p in near().tolist()}
  drawn = near(count=4).tolist()
  assert len({tuple(p) for p in drawn}) == 4
  assert {tuple(p) for p in drawn} <= every
  assert near(count=4).tolist() == drawn
  assert any(near(count=4, seed=s).tolist() != drawn for s in range(1, 5))


def test_a_list_of_padding_has_no_pairs():
  assert near(scores=np.full(4, np.nan)).shape == (0, 2)
