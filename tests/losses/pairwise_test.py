"""What is peculiar to the losses on score differences."""

import jax
import numpy as np
import pytest

from prod_jax.losses import listwise, pairwise

logit_mse = jax.jit(pairwise.logit_mse)
margin_mse = jax.jit(pairwise.margin_mse)


def array(*rows):
  return np.array(rows, np.float32)


def test_logit_mse_of_prod():
  s, z = array([2, 1, 0], [0.5, 1.5, -1]), array([3, 0, -1], [2, 1, 0])
  loss = logit_mse(s, z)
  assert np.mean(loss) == pytest.approx(0.5416666667, abs=1e-6)
  grad = jax.jit(jax.grad(lambda s: logit_mse(s, z).sum()))(s)
  np.testing.assert_allclose(grad, (s - z) / 3, rtol=1e-6)


def test_logit_mse_averages_a_query_over_its_own_columns():
  s, z = array([3] * 4, [3] * 4), array([1] * 4, [1] * 4)
  where = np.array([[True] * 4, [True, False, False, False]])
  np.testing.assert_array_equal(logit_mse(s, z, where=where), [2.0, 2.0])


def test_margin_mse_standard():
  loss = margin_mse(array([2, 1], [3, 1.5]), array([2.5, 1.5], [3, 2]))
  assert np.mean(loss) == pytest.approx(0.125, abs=1e-7)


def test_margin_mse_averages_over_negatives():
  where = np.array([[True, True, True, False]])
  loss = margin_mse(array([3, 1, 0, 9]), array([1, 1, 1, 1]), where=where)
  np.testing.assert_allclose(loss, (2.0**2 + 3.0**2) / 2)


@pytest.mark.parametrize(
  "where",
  [
    pytest.param([False, True, True], id="no positive"),
    pytest.param([True, False, False], id="no negative"),
  ],
)
def test_margin_mse_needs_a_positive_and_a_negative(where):
  where = np.array([where])
  s = np.where(where, array([3, 1, 0]), np.float32(np.nan))
  z = array([0, 5, 1])
  loss, grad = jax.jit(
    jax.value_and_grad(lambda s: margin_mse(s, z, where=where)[0])
  )(s)
  assert loss == 0
  np.testing.assert_array_equal(grad, 0.0)


def test_both_margin_losses_on_worked_numbers():
  s, z = array([2, 1, 1], [3, 1.5, 2.5]), array([2.5, 1.5, 2], [3, 2, 2.5])
  every = jax.jit(pairwise.margin_mse_all)(s, z)
  assert np.mean(every) == pytest.approx(0.1111111111, abs=1e-6)
  first = margin_mse(s[:, :2], z[:, :2])
  assert np.mean(first) == pytest.approx(0.125, abs=1e-6)
  kl = jax.jit(listwise.kl)(s, z)
  assert np.mean(kl) == pytest.approx(0.0208978912, abs=1e-6)
