"""Dark examples: between a positive and a negative, and neither."""

import numpy as np
import pytest

from prod_jax import kinds
from prod_jax.batches import dark

POSITIVE = np.arange(100, 110, dtype=np.int32)
NEGATIVE = np.arange(20, dtype=np.int32)
MASK = 7777


def rng(seed=0):
  return np.random.default_rng(seed)


@pytest.mark.parametrize(
  ("rate", "size"), [(0.3, 6), (0.01, 1), (0.99, 10)], ids=str
)
def test_a_strengthened_negative_holds_one_span_of_the_positive(rate, size):
  starts = set()
  for seed in range(40):
    made = dark.strengthen(NEGATIVE, POSITIVE, rate, rng(seed))
    taken = np.flatnonzero(made >= 100)
    assert len(made) == len(NEGATIVE)
    assert len(taken) == size
    assert (np.diff(taken) == 1).all()
    assert (np.diff(made[taken]) == 1).all()
    kept = np.setdiff1d(np.arange(20), taken)
    assert (made[kept] == NEGATIVE[kept]).all()
    starts.add((int(taken[0]), int(made[taken[0]])))
  assert len(starts) > 5
  assert NEGATIVE.max() < 100  # the source is as it was


@pytest.mark.parametrize(("rate", "size"), [(0.3, 3), (0.01, 1), (1.0, 10)])
def test_a_masked_positive_keeps_its_other_tokens_in_place(rate, size):
  made = dark.mask(POSITIVE, rate, rng(), MASK)
  masked = made == MASK
  assert masked.sum() == size
  assert (made[~masked] == POSITIVE[~masked]).all()
  assert (POSITIVE != MASK).all()


def make(negatives, seed=0, positive=POSITIVE, strengthened=3, masked=2):
  return dark.make_dark(
    positive,
    negatives,
    kinds.Darken(
      kind="darken",
      params="",
      candidates="",
      strengthened=strengthened,
      strengthen_rate=0.3,
      masked=masked,
      mask_rate=0.3,
    ),
    MASK,
    rng(seed),
  )


def test_a_query_gets_what_was_asked_for_from_several_negatives():
  negatives = [NEGATIVE, NEGATIVE + 30, NEGATIVE + 60]
  made = make(negatives, seed=5)
  assert len(made) == 5
  assert sum(MASK in text for text in made) == 2
  own = [{int(t) // 30 for t in text if t < 100} for text in made[:3]]
  assert sorted(map(min, own)) == [0, 1, 2]  # each negative once
  again = make(negatives, seed=5)
  assert all((a == b).all() for a, b in zip(made, again, strict=True))
  other = make(negatives, seed=1)
  assert any(
    a.tobytes() != b.tobytes() for a, b in zip(made, other, strict=True)
  )


def test_none_is_a_copy_of_a_source_or_of_another():
  """Of one token there is one way to mask it, and a span is all of it."""
  positive, negative = np.array([5], np.int32), np.array([9], np.int32)
  made = make([negative], positive=positive)
  assert [text.tolist() for text in made] == [[MASK]]


def test_none_is_another_negative_of_the_list():
  """Any span of this positive turns the first negative into the second."""
  positive = np.array([5, 5, 5], np.int32)
  negatives = [np.array([9], np.int32), np.array([5], np.int32)]
  assert make(negatives, positive=positive, masked=0) == []


def test_empty_texts_make_nothing_and_stop_nothing():
  empty = np.empty(0, np.int32)
  assert make([NEGATIVE], positive=empty) == []
  assert len(make([empty], strengthened=3, masked=1)) == 1
  assert len(make([], strengthened=3, masked=1)) == 1
