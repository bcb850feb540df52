"""Paired tests, against values that are known."""

import itertools

import numpy as np
import pytest
from scipy import stats

from prod_jax import significance


def by_query(values):
  return {f"q{i}": float(x) for i, x in enumerate(values)}


def test_few_queries_are_tested_by_all_exchanges():
  changes = np.array([0.5, -0.25, 1.0, 0.75, 0.5, -0.125])
  signs = np.array(list(itertools.product((1, -1), repeat=len(changes))))
  as_large = np.abs(signs @ changes) >= abs(changes.sum()) - 1e-12
  found = significance.paired(by_query(np.zeros(6)), by_query(changes))
  assert found.p == pytest.approx(as_large.mean())
  assert (found.wins, found.losses, found.queries) == (4, 2, 6)


def test_the_interval_is_that_of_a_large_sample():
  rng = np.random.default_rng(3)
  first = rng.random(2000)
  second = first + rng.normal(0.02, 0.3, 2000)
  found = significance.paired(by_query(first), by_query(second))
  error = (second - first).std() / np.sqrt(2000)
  assert found.difference == pytest.approx((second - first).mean())
  assert found.low == pytest.approx(found.difference - 1.96 * error, abs=2e-3)
  assert found.high == pytest.approx(found.difference + 1.96 * error, abs=2e-3)


def test_what_is_equal_does_not_differ():
  same = by_query([0.5, 1.0, 0.0])
  found = significance.paired(same, same)
  assert (found.p, found.low, found.difference, found.high) == (1, 0, 0, 0)


def test_only_queries_of_both_count():
  found = significance.paired({"a": 0.0, "b": 1.0}, {"b": 0.5, "c": 1.0})
  assert (found.queries, found.mean_before, found.mean_after) == (1, 1.0, 0.5)
  with pytest.raises(ValueError, match="no query in common"):
    significance.paired({"a": 0.0}, {"b": 1.0})


def test_the_same_seed_gives_the_same_figures():
  rng = np.random.default_rng(5)
  first, second = by_query(rng.random(300)), by_query(rng.random(300))
  found = significance.paired(first, second, seed=1)
  assert found == significance.paired(first, second, seed=1)
  assert found.p != significance.paired(first, second, seed=2).p


def test_a_table_asks_for_no_test_and_once(monkeypatch):
  rng = np.random.default_rng(6)
  first, second = by_query(rng.random(30)), by_query(rng.random(30))
  found = significance.paired(first, second)
  monkeypatch.setattr(stats, "permutation_test", None)
  monkeypatch.setattr(stats, "bootstrap", None)
  same = significance.change(first, second)
  assert same == (found.difference, found.low, found.high)


def test_holm():
  # The textbook's steps: 4 x .01, 3 x .02, 2 x .03 raised to the one before.
  found = significance.holm([0.02, 0.01, 0.3, 0.03])
  assert found == pytest.approx([0.06, 0.04, 0.3, 0.06])
  assert significance.holm([0.9, 0.8]) == [1.0, 1.0]
