"""Which columns of a candidate list are trained on."""

import collections

import numpy as np
import pytest

from prod_jax import strict
from prod_jax.batches import draws
from prod_jax.batches.draws import (
  Balanced,
  Descend,
  Lists,
  Random,
  RankingGroups,
  SimAns,
)


@pytest.fixture
def lists():
  """Query 0 retrieves its positive third, query 1 misses it."""
  nan = np.nan
  return Lists(
    ids=np.array([[5, 6, 7, 8, -1], [1, 2, -1, -1, 3]], np.int32),
    label=np.array([[0, 0, 1, 0, 0], [0, 0, 0, 0, 1]], bool),
    score=np.array([[4, 3, 2, 1, nan], [2, 1, nan, nan, 0]], np.float32),
    teacher=np.array([[1, 4, 3, 2, nan], [0, 5, nan, nan, 9]], np.float32),
    first=None,
  )


def rng():
  return np.random.default_rng(0)


def one(score, teacher=None):
  """A list whose positive, in column 0, scores 10; negatives as given."""
  score = np.array([[10, *score]], np.float32)
  label = np.zeros(score.shape, bool)
  label[0, 0] = True
  ids = np.arange(score.shape[1], dtype=np.int32)[None]
  if teacher is not None:
    teacher = np.array([teacher], np.float32)
  return Lists(ids, label, score, teacher, None)


def shares(draw, lists, times=4000):
  """How often each column of a list is the one negative drawn."""
  generator = rng()
  drawn = [draw(lists, 1, generator)[0, 1] for _ in range(times)]
  count = collections.Counter(int(c) for c in drawn)
  return [count[c] / times for c in range(lists.ids.shape[1])]


def test_descend_takes_the_first_negatives_in_ranked_order(lists):
  assert Descend()(lists, 2, rng()).tolist() == [[2, 0, 1], [4, 0, 1]]


def test_random_ranks_one_random_number_a_column(lists):
  """Another use of the generator would change every run of before."""
  key = np.where(lists.is_negative, rng().random(lists.ids.shape), np.inf)
  negatives = np.argsort(key, axis=1)[:, :2]
  columns = Random()(lists, 2, rng())
  assert columns.tolist() == [[2, *negatives[0]], [4, *negatives[1]]]


def test_too_few_negatives_are_repeated(lists):
  columns = Descend()(lists, 4, rng())
  assert columns.tolist() == [[2, 0, 1, 3, 0], [4, 0, 1, 0, 1]]


@pytest.mark.parametrize(
  "draw", [Random(), SimAns(0.1, 0.0), Balanced(3)], ids=lambda d: str(d)
)
def test_every_negative_is_drawn_and_never_the_positive_or_padding(lists, draw):
  generator = rng()
  drawn = [draw(lists, 2, generator) for _ in range(100)]
  assert {int(c[0, 0]) for c in drawn} == {2}
  assert {int(c[1, 0]) for c in drawn} == {4}
  assert all(c[0, 1] != c[0, 2] for c in drawn)
  assert {int(x) for c in drawn for x in c[0, 1:]} == {0, 1, 3}
  assert {int(x) for c in drawn for x in c[1, 1:]} == {0, 1}


@pytest.mark.parametrize(
  "draw", [Random(), Descend(), SimAns(0.5, 0.0), Balanced(3)]
)
def test_a_list_without_negatives_gives_no_column(lists, draw):
  alone = lists._replace(label=lists.ids >= 0)
  assert draw(alone, 2, rng())[1].tolist() == [0, -1, -1]


def test_columns_that_come_first_are_drawn_first(lists):
  first = np.array([[0, 0, 0, 1, 0], [0, 1, 0, 0, 0]], bool)
  generator = rng()
  for _ in range(50):
    columns = Random()(lists._replace(first=first), 2, generator)
    assert columns[0, 1] == 3
    assert columns[1].tolist() == [4, 1, 0]


def test_simans_draws_by_distance_from_the_positive():
  """METHODS' worked numbers: a = 0.5, b = 0, the positive at 10."""
  wanted = [0.0545, 0.2442, 0.4026, 0.2442, 0.0545]
  lists = one([8, 9, 10, 11, 12])
  log_p = SimAns(0.5, 0.0).log_weight(lists.score[:, 1:], np.array([[10.0]]))
  p = np.exp(log_p) / np.exp(log_p).sum()
  np.testing.assert_allclose(p[0], wanted, atol=5e-5)
  found = shares(SimAns(0.5, 0.0), lists)
  np.testing.assert_allclose(found, [0, *wanted], atol=0.025)


def test_simans_refuses_a_positive_without_a_score():
  lists = one([8, 10])
  lacking = lists._replace(score=np.where(lists.label, np.nan, lists.score))
  with pytest.raises(strict.ConfigError, match="has none of its positive"):
    SimAns(0.5, 0.0)(lacking, 1, rng())


def test_simans_b_moves_the_likeliest_negative_up():
  found = shares(SimAns(2.0, 2.0), one([8, 10, 12, 14]), times=500)
  assert np.argmax(found) == 3  # the one that scores 12


def test_balanced_gives_each_range_of_margins_the_same_share():
  """Three negatives near the positive and one far away: half and half."""
  lists = one([1, 1, 1, 1], teacher=[9, 8.0, 7.9, 8.1, -4])
  found = shares(Balanced(4), lists)
  np.testing.assert_allclose(found, [0, 1 / 6, 1 / 6, 1 / 6, 1 / 2], atol=0.03)
  assert max(shares(Balanced(1), lists)) < 0.3


def test_equal_margins_are_one_range():
  lists = one([1, 1], teacher=[9, 2, 2])
  np.testing.assert_allclose(
    shares(Balanced(5), lists), [0, 0.5, 0.5], atol=0.03
  )


def test_groups_follow_the_teacher_and_not_the_labels():
  teacher = [[3, 9, 1, 8, 7, 5, 2, 6]]  # ranking: 1 3 4 7 5 0 6 2
  lists = one([0] * 7)._replace(teacher=np.array(teacher, np.float32))
  draw = RankingGroups(sizes=(2, 1, 2), depths=(2, 4, 8))
  generator = rng()
  drawn = [draw(lists, 0, generator)[0].tolist() for _ in range(200)]
  assert draw.group_N.tolist() == [0, 0, 1, 2, 2]
  assert {tuple(c[:2]) for c in drawn} == {(1, 3)}
  assert {c[2] for c in drawn} == {4, 7}
  later = [5, 0, 6, 2]
  assert {(a, b) for *_, a, b in drawn} == {
    (a, b) for i, a in enumerate(later) for b in later[i + 1 :]
  }


def test_groups_of_a_short_list_end_in_padding():
  ids = np.array([[0, 1, 2, -1, -1]], np.int32)
  lists = Lists(
    ids, ids == 0, ids.astype(np.float32), np.array([[1.0, 3, 2, 9, 9]]), None
  )
  draw = RankingGroups(sizes=(2, 2), depths=(2, 5))
  generator = rng()
  for _ in range(50):  # the one passage that is there is always drawn
    assert draw(lists, 0, generator).tolist() == [[1, 2, 0, -1]]
  every = RankingGroups(sizes=(7,), depths=(7,))
  assert every(lists, 0, rng()).tolist() == [[1, 2, 0, -1, -1, -1, -1]]


@pytest.mark.parametrize(
  ("sizes", "depths"),
  [((), ()), ((2, 3), (2,)), ((2,), (3,)), ((2, 4), (2, 5)), ((2, 0), (2, 5))],
)
def test_groups_that_do_not_fit_are_an_error(sizes, depths):
  with pytest.raises(strict.ConfigError, match="do not fit"):
    RankingGroups(sizes, depths)


@pytest.mark.parametrize(
  ("sampling", "settings", "message"),
  [
    ("simans", {"a": 0.5}, "stage.draw.b is not set"),
    ("random", {"a": 0.5}, "stage.draw has no key 'a'"),
  ],
)
def test_settings_of_a_draw_are_strict(sampling, settings, message):
  with pytest.raises(strict.ConfigError, match=message):
    draws.make_sampling(sampling, settings, "stage.draw")


@pytest.fixture
def unlabelled(lists):
  """The same where nobody labelled the first query."""
  label = lists.label.copy()
  label[0] = False
  return lists._replace(label=label)


def test_a_list_without_labels_has_one_more_of_its_passages(unlabelled):
  columns = Descend()(unlabelled, 2, rng())
  assert columns.tolist() == [[0, 1, 2], [4, 0, 1]]
  assert Descend()(unlabelled, 5, rng())[0].tolist() == [0, 1, 2, 3, 0, 1]


def test_random_draws_of_it_are_of_all_its_passages(unlabelled):
  generator = rng()
  drawn = [Random()(unlabelled, 2, generator)[0] for _ in range(100)]
  assert {int(c) for columns in drawn for c in columns} == {0, 1, 2, 3}
  assert all(len(set(columns.tolist())) == 3 for columns in drawn)
