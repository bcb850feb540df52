"""The division rules of PROD, on the cases of the official code."""

import numpy as np
import pytest

from prod_jax import kinds
from prod_jax.batches.lists import Candidates
from prod_jax.retrieval import divide

MISS = -1


def stage(rule, teacher_to):
  return kinds.Divide(
    kind="divide",
    scores="s",
    candidates="c",
    rule=rule,
    student_from=1,
    student_to=14,
    teacher_to=teacher_to,
  )


@pytest.mark.parametrize(
  ("student", "teacher", "kept"),
  [
    (0, 0, False),
    (3, 0, True),
    (14, 0, True),
    (15, 0, False),
    (MISS, 0, False),
    (3, 1, False),
    (3, MISS, False),
  ],
)
def test_marco_keeps_student_2nd_to_15th_teacher_1st(student, teacher, kept):
  result = divide.keep(
    np.array([student]), np.array([teacher]), stage("marco", 0)
  )
  assert result.tolist() == [kept]


@pytest.mark.parametrize(
  ("student", "teacher", "kept"),
  [
    (3, 2, True),
    (15, 14, True),
    (16, 15, False),
    (MISS, 0, True),
    (3, 3, False),
    (MISS, MISS, False),
  ],
)
def test_nq_keeps_what_the_teacher_ranks_better(student, teacher, kept):
  result = divide.keep(
    np.array([student]), np.array([teacher]), stage("nq", 14)
  )
  assert result.tolist() == [kept]


def test_the_teacher_reorders_only_what_the_student_retrieved():
  lists = Candidates(
    query=np.arange(3, dtype=np.int32),
    ids=np.array([[1, 2, 3], [1, 2, 3], [1, 2, -1]], np.int32),
    label=np.array([[0, 0, 1], [0, 0, 1], [0, 1, 0]], bool),
    rank=np.array([[0, 1, 2], [0, 1, -1], [0, 1, -1]], np.int32),
    score=np.zeros((3, 3), np.float32),
  )
  scores = np.array([[1, 2, 9], [1, 2, 9], [5, 5, np.nan]], np.float32)
  assert divide.student_ranks(lists).tolist() == [2, MISS, 1]
  # Query 1 missed its positive; query 2 ties, and keeps the student's order.
  assert divide.teacher_ranks(lists, scores).tolist() == [0, MISS, 1]


def test_of_equal_scores_the_student_decides_whatever_stands_first():
  """As in lists whose gold passage was put in front."""
  lists = Candidates(
    query=np.zeros(1, np.int32),
    ids=np.array([[7, 8, 9]], np.int32),
    label=np.array([[True, False, False]]),
    rank=np.array([[2, 0, 1]], np.int32),
    score=np.zeros((1, 3), np.float32),
  )
  scores = np.array([[5, 4, 5]], np.float32)
  assert divide.teacher_ranks(lists, scores).tolist() == [1]


def test_without_labels_the_teachers_first_passage_is_right():
  nan = np.nan
  lists = Candidates(
    query=np.arange(3, dtype=np.int32),
    ids=np.array([[5, 6, 7], [1, 2, 9], [3, 4, -1]], np.int32),
    label=np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0]], bool),
    rank=np.array([[0, 1, 2], [0, 1, -1], [0, 1, -1]], np.int32),
    score=np.array([[3, 2, 1], [2, 1, 0], [2, 1, nan]], np.float32),
  )
  scores = np.array([[1, 1, 5], [1, 7, 9], [2, 2, nan]], np.float32)
  made = divide.with_teachers_first(lists, scores)
  assert made.label.tolist() == [
    [False, False, True],
    [False, False, True],  # as labelled, and not what was never retrieved
    [True, False, False],  # of equals the student's first
  ]
  assert divide.student_ranks(made).tolist() == [2, -1, 0]
  assert divide.teacher_ranks(made, scores).tolist() == [0, -1, 0]


def test_how_sure_a_teacher_is_of_its_first_passage():
  lists = Candidates(
    query=np.arange(2, dtype=np.int32),
    ids=np.array([[5, 6, 7], [3, 4, -1]], np.int32),
    label=np.zeros((2, 3), bool),
    rank=np.array([[0, 1, -1], [0, 1, -1]], np.int32),
    score=np.zeros((2, 3), np.float32),
  )
  # What the student missed does not count, though the teacher likes it.
  scores = np.array([[1000, 1000, 9999], [np.log(9), 0, np.nan]], np.float32)
  np.testing.assert_allclose(
    divide.confidence(lists, scores), [0.5, 0.9], rtol=1e-6
  )


def test_of_a_list_of_which_nothing_was_retrieved_nothing_is_known():
  """It is missed by both, and the teacher is sure of nothing."""
  lists = Candidates(
    query=np.arange(2, dtype=np.int32),
    ids=np.array([[5, -1], [-1, -1]], np.int32),
    label=np.array([[True, False], [False, False]]),
    rank=np.full((2, 2), -1, np.int32),
    score=np.full((2, 2), np.nan, np.float32),
  )
  scores = np.array([[3, np.nan], [np.nan, np.nan]], np.float32)
  assert divide.student_ranks(lists).tolist() == [MISS, MISS]
  assert divide.teacher_ranks(lists, scores).tolist() == [MISS, MISS]
  with np.errstate(all="raise"):
    assert divide.confidence(lists, scores).tolist() == [0, 0]
  made = divide.with_teachers_first(lists, scores)
  assert made.label.tolist() == lists.label.tolist()


def test_the_teacher_need_not_be_asked_of_what_the_student_settles():
  """Lists of up to three positives, some of them missed, and of none."""
  rng = np.random.default_rng(0)
  shape = 900, 30
  label = np.argsort(rng.random(shape), axis=1) < rng.integers(0, 4, (900, 1))
  missed = label & (rng.random(shape) < 0.3)
  lists = Candidates(
    query=np.arange(900),
    ids=np.broadcast_to(np.arange(30), shape),
    label=label,
    rank=np.where(missed, MISS, np.arange(30)),
    score=np.zeros(shape, np.float32),
  )
  scores = rng.normal(size=shape) + 2 * label

  def kept(lists, scores_QC):
    lists = divide.with_teachers_first(lists, scores_QC)
    ranks = divide.student_ranks(lists), divide.teacher_ranks(lists, scores_QC)
    return lists.query[divide.keep(*ranks, stage("marco", 0))].tolist()

  asked_Q = divide.worth_asking(lists, 1, 14)
  assert 300 < asked_Q.sum() < 800
  some = Candidates(*(field[asked_Q] for field in lists))
  whole = kept(lists, scores)
  assert len(whole) > 100 and (~label[whole].any(axis=1)).any()
  assert kept(some, scores[asked_Q]) == whole
  # Of each that is not asked, some other teacher could not have kept it.
  best = np.where(label, 9.0, scores)
  assert {*kept(lists, best)} <= {*some.query.tolist()}
  assert {*some.query[some.label.any(axis=1)].tolist()} <= {*kept(lists, best)}
