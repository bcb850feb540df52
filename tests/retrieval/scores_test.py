"""Figures of lists' scores, by hand."""

import numpy as np
import pytest
from scipy import stats

from prod_jax.retrieval import scores

NAN = np.nan
# Probabilities 3/4 and 1/4 at temperature 1; three alike; one passage; none.
SCORES = np.array(
  [[np.log(3), 0, NAN], [5, 5, 5], [2, NAN, NAN], [NAN] * 3], np.float32
)


def test_log_probabilities_at_a_temperature():
  found = np.exp(scores.log_softmax(SCORES, 1.0))
  expected = [[0.75, 0.25, NAN], [1 / 3] * 3, [1, NAN, NAN], [NAN] * 3]
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  # At 1/2 odds of 3 are odds of 9.
  halved = np.exp(scores.log_softmax(SCORES, 0.5))
  np.testing.assert_allclose(halved[0], [0.9, 0.1, NAN], rtol=1e-6)


def test_entropy_is_a_share_of_that_of_an_even_list():
  binary = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
  found = scores.entropy(SCORES, 1.0)
  np.testing.assert_allclose(found, [binary, 1, NAN, NAN], rtol=1e-6)
  np.testing.assert_allclose(
    scores.entropy(SCORES, np.inf), [1, 1, NAN, NAN], rtol=1e-6
  )


def test_one_hot_and_flat_lists():
  # Odds of 3 are odds of 81 at 1/4 and of 243 at 1/5.
  assert scores.one_hot(SCORES, 0.25)[0] == 0
  np.testing.assert_array_equal(scores.one_hot(SCORES, 0.2), [1, 0, NAN, NAN])
  np.testing.assert_array_equal(scores.flat(SCORES, 1.0), [0, 1, NAN, NAN])
  np.testing.assert_array_equal(scores.flat(SCORES, 9.0), [1, 1, NAN, NAN])


def test_extent_and_deviation():
  rows = np.array([[1, 3, NAN], [2, 2, 5], [7, NAN, NAN], [NAN] * 3])
  np.testing.assert_array_equal(scores.extent(rows), [2, 3, 0, NAN])
  np.testing.assert_allclose(scores.deviation(rows), [1, 2**0.5, 0, NAN])


def test_negatives_above_the_best_positive():
  rows = np.array([[2, 1, 3, 4], [5, 5, 1, NAN], [1, 2, 3, 4], [1, 2, NAN, 0]])
  label = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0] * 4, [1, 1, 0, 1]], bool)
  # Both; a tie is not above; nothing is labelled; nothing is a negative.
  found = scores.above_positive(rows, label)
  np.testing.assert_array_equal(found, [1, 0, NAN, NAN])
  # The same where the best positive has no score.
  alone = scores.above_positive(
    np.array([[NAN, 1.0]]), np.array([[True, False]])
  )
  assert np.isnan(alone).all()


def test_agreement_is_kendalls_over_what_both_have_scored():
  one = np.array([[1, 2, 3, NAN], [1, 2, 3, 4], [1, 1, 1, 1], [1, NAN, 2, 2]])
  other = np.array([[1, 3, 2, 4], [8, 6, 4, 2], [1, 2, 3, 4], [NAN, 1, 3, NAN]])
  found = scores.agreement(one, other)
  # Of three pairs two agree and one does not; all are turned; no order at all;
  # one passage in common.
  np.testing.assert_allclose(found, [1 / 3, -1, NAN, NAN])
  tied = np.array([[1, 1, 2, 3]]), np.array([[1, 2, 3, 3]])
  expected = stats.kendalltau(*(x[0] for x in tied)).statistic
  np.testing.assert_allclose(scores.agreement(*tied), [expected])


def test_the_temperature_that_evens_out():
  found = scores.even_temperature(SCORES[:1])
  # p log p is .5 bits where p is .11.
  p = 1 / (1 + np.exp(np.log(3) / found))
  assert p == pytest.approx(0.1100279, abs=1e-5)
  assert scores.mean(scores.entropy(SCORES[:1], found)) == pytest.approx(0.5)
  wide = scores.even_temperature(1000 * SCORES[:1])
  assert wide == pytest.approx(1000 * found, rel=1e-4)


@pytest.mark.parametrize("rows", [SCORES[1:], [[1.0, 1, 1, 0]], SCORES[3:]])
def test_no_temperature_evens_out_what_is_equal(rows):
  assert scores.even_temperature(np.array(rows)) is None


def test_a_mean_over_no_list_is_none():
  assert np.isnan(scores.mean(np.full(2, NAN)))
  assert scores.mean(np.array([1, NAN, 2])) == 1.5
