"""Rankers held against each other, and the course of each query."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats

from prod_jax import strict
from prod_jax.report import changes, record
from tests.report.conftest import QRELS

VALUES = {
  name: {f"q{i}": float(value) for i, value in enumerate(values)}
  for name, values in {
    "first": [0, 0.5, 0.2, 0.25, 1, 0, 0, 1],
    "second": [1, 1, 1, 0.5, 1, 1, 0.5, 1],
    "third": [0, 0.5, 0.2, 0.5, 1, 0, 0, 0],
  }.items()
}


def by_hand(before: str, after: str) -> float:
  """P of all ways in which the values of queries could change places."""
  moved = np.array(
    [VALUES[after][q] - value for q, value in VALUES[before].items()]
  )
  ways = np.array(list(itertools.product([1, -1], repeat=len(moved)))) @ moved
  return float((np.abs(ways) >= abs(moved.sum()) - 1e-12).mean())


def test_each_is_held_against_the_first():
  second, third = changes.against_first(VALUES)
  assert (second.name, second.before) == ("second", "first")
  assert (third.name, third.before) == ("third", "first")
  assert (second.paired.wins, second.paired.losses) == (6, 0)
  assert (third.paired.wins, third.paired.losses) == (1, 1)
  p_second, p_third = (by_hand("first", n) for n in ("second", "third"))
  assert p_second < p_third
  assert second.paired.p == pytest.approx(p_second)
  assert second.p == pytest.approx(2 * p_second)  # the least of two
  assert third.p == pytest.approx(p_third)
  moved = [VALUES["second"][q] - v for q, v in VALUES["first"].items()]
  assert second.paired.difference == pytest.approx(np.mean(moved))
  low, high = stats.bootstrap(
    (moved,), np.mean, method="percentile", rng=np.random.default_rng(1)
  ).confidence_interval
  assert second.paired.low == pytest.approx(low, abs=0.02)
  assert second.paired.high == pytest.approx(high, abs=0.02)


IN_A_ROW = {"second": "first", "third": "second"}


def test_a_stage_is_held_against_where_it_began():
  found = changes.against_start(VALUES, IN_A_ROW)
  assert [(c.before, c.name) for c in found] == [
    ("first", "second"),
    ("second", "third"),
  ]
  assert (found[1].paired.wins, found[1].paired.losses) == (0, 6)
  assert found[1].paired.p == pytest.approx(by_hand("second", "third"))


def test_what_changed_most_comes_first():
  found = changes.most_changed(VALUES, "first", "second", 4)
  # Of equal ones by id; q4 and q7 did not change.
  assert found == [("q0", 0, 1), ("q5", 0, 1), ("q2", 0.2, 1), ("q1", 0.5, 1)]
  assert len(changes.most_changed(VALUES, "first", "second", 99)) == 6


def test_the_course_of_a_query_has_its_best_and_its_worst_stage():
  courses = changes.courses(VALUES, IN_A_ROW)
  found = {course.query: course for course in courses}
  assert found["q0"].values == {"first": 0, "second": 1, "third": 0}
  assert found["q0"].won == ("second", 1)
  assert found["q0"].lost == ("third", -1)
  assert (found["q3"].won, found["q3"].lost) == (("second", 0.25), None)
  assert (found["q7"].won, found["q7"].lost) == (None, ("third", -1))
  assert (found["q4"].won, found["q4"].lost) == (None, None)
  several = {
    n: {"q": v} for n, v in zip("abcde", [0.0, 0.1, 0.5, 0.4, 0.2], strict=True)
  }
  (course,) = changes.courses(several, dict(zip("bcde", "abcd", strict=True)))
  assert course.won == ("c", pytest.approx(0.4))
  assert course.lost == ("e", pytest.approx(-0.2))
  assert len(found) == 8
  # Arms from one start do not follow each other.
  arms = {"second": "first", "third": "first"}
  (first, *_) = changes.courses(VALUES, arms)
  assert (first.won, first.lost) == (("second", 1), None)


def test_the_students_of_a_run_are_measured(workdir):
  run = record.load(workdir)
  found = changes.of_students(run, QRELS, ["mrr@10", "recall@2"])
  assert list(found) == ["student_warm", "student_de"]
  assert found["student_warm"]["mrr@10"] == {"q1": 0.5, "q2": 1, "q3": 1}
  assert found["student_de"]["mrr@10"] == {"q1": 1, "q2": 1 / 3, "q3": 1}
  assert found["student_de"]["recall@2"] == {"q1": 1, "q2": 0, "q3": 1}
  # q3 alone has a passage of grade 2.
  strict_ones = changes.of_students(run, QRELS, ["mrr@10"], relevant=2)
  assert strict_ones["student_de"]["mrr@10"] == {"q3": 1}
  with pytest.raises(strict.ConfigError, match="lower --relevant"):
    changes.of_students(run, QRELS, ["mrr@10"], relevant=3)
  with pytest.raises(strict.ConfigError, match="split test has a label to"):
    changes.of_students(run, {"q1": {}}, ["mrr@10"])


def test_the_student_as_it_is_is_where_the_first_stage_began(workdir):
  run = record.load(workdir)
  warm = run.measured["student_warm"]
  run = dataclasses.replace(run, measured=run.measured | {"student": warm})
  found = changes.of_students(run, QRELS, ["mrr@10"])
  assert list(found) == ["student", "student_warm", "student_de"]
  assert changes.starts(run, found) == {
    "student_warm": "student",
    "student_de": "student_warm",
  }


def test_it_takes_two_stages_with_a_run(workdir):
  next(workdir.glob("*-evaluate_de/run.trec")).unlink()
  with pytest.raises(strict.ConfigError, match="to compare, and 1 has one"):
    changes.of_students(record.load(workdir), QRELS, ["mrr@10"])


def test_a_stage_began_with_the_student_that_was_accepted(refused):
  run = record.load(refused)
  measured = ["student_warm", "student_de", "student_final"]
  assert changes.starts(run, measured) == {
    "student_de": "student_warm",
    "student_final": "student_warm",
  }
  # What lies between was not measured.
  assert changes.starts(run, ["student_warm", "after_final"]) == {
    "after_final": "student_warm"
  }
