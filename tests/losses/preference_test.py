"""Losses on pairs: worked numbers, plain loops, and the ugly corners."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax.losses import listwise, preference

lambda_rank = jax.jit(preference.lambda_rank)
preference_kl = jax.jit(preference.preference_kl, static_argnames="temperature")
pooled = jax.jit(preference.pooled)


def array(*rows):
  return jnp.array(rows, jnp.float32)


@pytest.mark.parametrize(
  ("s", "y", "pairs", "mean", "total"),
  [
    (
      array([1, 2, 0.5, 1.5]),
      array([1, 0.5, -0.25, -0.5]),
      6,
      0.2989623739,
      1.7937742435,
    ),
    (
      array([1.23, 2.01, 0.4, 1.02], [0.45, 1.04, 1.02, 3.12]),
      array([1, 0.5, 0, 0], [1, 0.5, 0, 0]),
      10,
      0.4723457993,
      4.7234579934,
    ),
    (
      array([2.01, 1.23, 1.02, 0.4], [3.12, 1.04, 1.02, 0.45]),
      array([1, 0.5, 0, 0], [1, 0.5, 0, 0]),
      10,
      0.1135619216,
      1.135619216,
    ),
  ],
)
def test_lambda_rank_on_worked_numbers(s, y, pairs, mean, total):
  sums = lambda_rank(s, y)
  assert float(sums.pairs.sum()) == pairs
  np.testing.assert_allclose(sums.total.sum(), total, rtol=1e-5)
  np.testing.assert_allclose(pooled(sums), mean, rtol=1e-5)


@pytest.mark.parametrize(
  ("ordered", "hard", "easy", "pairs"),
  [(5, 12, 13, 291), (10, 10, 10, 345), (30, 0, 0, 435)],
)
def test_pair_counts_of_the_three_iterations(ordered, hard, easy, pairs):
  ranks = 1 / np.arange(1, ordered + 1)
  y = array([*ranks, *[-0.25] * hard, *[-0.5] * easy])
  assert float(lambda_rank(jnp.zeros_like(y), y).pairs[0]) == pairs


def test_lambda_rank_is_a_loop_over_pairs_and_its_weights_are_constants():
  rng = np.random.default_rng(0)
  s = rng.normal(size=(3, 6)).astype(np.float32)
  y = rng.integers(-1, 3, size=(3, 6)).astype(np.float32)
  where = rng.random((3, 6)) < 0.7
  wanted, grad = np.zeros(3), np.zeros_like(s)
  for b in range(3):
    kept = np.flatnonzero(where[b])
    rank = {j: 1 + sum(s[b, i] > s[b, j] for i in kept) for j in kept}
    for i in kept:
      for j in kept:
        if y[b, i] > y[b, j]:
          w = abs(1 / rank[i] - 1 / rank[j])
          d = s[b, i] - s[b, j]
          wanted[b] += w * np.log1p(np.exp(-d))
          grad[b, i] -= w / (1 + np.exp(d))
          grad[b, j] += w / (1 + np.exp(d))
  dirty = jnp.where(where, s, jnp.nan)
  found, pull = jax.jit(
    jax.value_and_grad(
      lambda s: preference.lambda_rank(
        s, jnp.asarray(y), where=jnp.asarray(where)
      ).total.sum()
    )
  )(dirty)
  np.testing.assert_allclose(found, wanted.sum(), rtol=1e-5)
  np.testing.assert_allclose(pull, grad, rtol=1e-4, atol=1e-6)


def test_lambda_rank_ignores_a_shift_and_the_size_of_labels():
  s, y = array([1, 2, 0.5, 1.5]), array([1, 0.5, -1, -2])
  base = lambda_rank(s, y).total
  np.testing.assert_allclose(lambda_rank(s + 7, y).total, base, rtol=1e-5)
  np.testing.assert_allclose(lambda_rank(s, 10 * y).total, base, rtol=1e-6)


def test_ties_are_ranked_in_the_order_of_columns():
  sums = lambda_rank(jnp.zeros((1, 3)), array([1, 2, 3]))
  # Ranks 1, 2, 3: |1 - 1/2| + |1 - 1/3| + |1/2 - 1/3|, log 2 each.
  np.testing.assert_allclose(sums.total, [4 / 3 * np.log(2)], rtol=1e-6)


def test_a_label_of_minus_one_is_a_label():
  assert float(lambda_rank(jnp.zeros((1, 3)), array([0, -1, -2])).pairs[0]) == 3


def test_lambda_rank_gives_each_query_its_own_sums():
  """Random masks, with junk behind them, against the columns that are left."""
  rng = np.random.default_rng(3)
  s, y = rng.normal(size=(2, 4, 5)).astype(np.float32)
  where = np.arange(5) != np.array([0, 2, 4, 3])[:, None]
  kept = [jnp.asarray(x[where].reshape(4, 4)) for x in (s, y)]
  wanted = lambda_rank(*kept)
  for junk in (1e30, np.nan, np.inf, -np.inf):
    dirty = [jnp.where(where, x, jnp.float32(junk)) for x in (s, y)]
    found = lambda_rank(*dirty, where=jnp.asarray(where))
    np.testing.assert_allclose(found.total, wanted.total, rtol=1e-5)
    np.testing.assert_array_equal(found.pairs, wanted.pairs)


@pytest.mark.parametrize(
  ("label", "where"),
  [
    ([2.0, 2, 2], [1, 1, 1]),
    ([3.0, 2, 1], [0, 0, 0]),
    ([3.0, 2, 1], [0, 1, 0]),
  ],
  ids=["equal labels", "no column", "one column"],
)
def test_lambda_rank_without_a_pair_is_zero(label, where):
  mask = jnp.array([where], bool)
  s = jnp.where(mask, jnp.array([[1.0, 2.0, 3.0]]), jnp.nan)

  def loss(s):
    sums = preference.lambda_rank(s, jnp.array([label]), where=mask)
    return preference.pooled(sums)

  value, grad = jax.value_and_grad(loss)(s)
  assert value == 0
  np.testing.assert_array_equal(grad, 0.0)


def test_pooled_weighs_pairs_the_same_and_not_queries():
  s, y = array([1, 2, 0.5], [3, 0, 0]), array([3, 2, 1], [1, 0, 0])
  sums = lambda_rank(s, y)
  np.testing.assert_array_equal(sums.pairs, [3, 2])
  wanted = (sums.total[0] + sums.total[1]) / 5
  np.testing.assert_allclose(pooled(sums), wanted, rtol=1e-6)


@pytest.mark.parametrize(
  "s", [[0, 0, 0], [1e4, -1e4, 0], [5, 5, -5]], ids=["ties", "far", "some"]
)
def test_lambda_rank_is_finite_at_the_corners(s):
  s, y = array(s), array([1, 2, 3])
  for where in ([True] * 3, [False] * 3, [True, False, False]):
    loss, grad = jax.jit(
      jax.value_and_grad(
        lambda s, w: preference.pooled(preference.lambda_rank(s, y, where=w))
      )
    )(s, jnp.array([where]))
    assert np.isfinite(loss) and np.isfinite(grad).all()
    if sum(where) < 2:
      assert loss == 0 and not grad.any()


S = array([3, 2, 1])
FIRST, SECOND = jnp.array([[0, 1, 0]]), jnp.array([[1, 2, 2]])
PREFER = array([0.9, 0.6, 0.99])


def test_pairs_of_pairdistill_on_worked_numbers():
  each = [
    preference_kl(
      S, FIRST[:, j : j + 1], SECOND[:, j : j + 1], PREFER[:, j : j + 1]
    )
    for j in range(3)
  ]
  np.testing.assert_allclose(
    [float(x.total[0]) for x in each],
    [0.0881787141, 0.0402500205, 0.0909264767],
    rtol=1e-5,
  )
  sums = preference_kl(S, FIRST, SECOND, PREFER)
  np.testing.assert_allclose(pooled(sums), 0.0731184038, rtol=1e-5)
  z = array([0, -1, -3])
  kd = listwise.kl(S, z)[0]
  np.testing.assert_allclose(kd, 0.0234747207, rtol=1e-4)
  np.testing.assert_allclose(kd + 3 * pooled(sums), 0.2428299320, rtol=1e-5)
  cool = listwise.kl(S, z, student_temperature=10.0)[0]
  np.testing.assert_allclose(cool, 0.3210505417, rtol=1e-5)


def test_a_preference_is_met_by_its_log_odds():
  p = 0.8
  s = array([np.log(p / (1 - p)), 0.0])
  one = jnp.array([[0]]), jnp.array([[1]]), array([p])
  loss, grad = jax.jit(
    jax.value_and_grad(lambda s: preference.preference_kl(s, *one).total[0])
  )(s)
  np.testing.assert_allclose(loss, 0, atol=1e-6)
  np.testing.assert_allclose(grad, 0, atol=1e-6)
  np.testing.assert_allclose(
    preference_kl(2 * s, *one, temperature=2.0).total, 0, atol=1e-6
  )


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("s", [[0, 0], [300, -300], [-300, 300]])
def test_a_sure_teacher_and_far_scores_are_finite(p, s):
  one = jnp.array([[0]]), jnp.array([[1]]), array([p])
  loss, grad = jax.jit(
    jax.value_and_grad(lambda s: preference.preference_kl(s, *one).total[0])
  )(array(s))
  difference = s[0] - s[1] if p else s[1] - s[0]
  wanted = np.logaddexp(0, -difference)
  np.testing.assert_allclose(loss, wanted, rtol=1e-5, atol=1e-30)
  assert np.isfinite(grad).all()


def test_padding_of_pairs_is_nothing_and_no_pair_at_all_is_zero():
  first = jnp.array([[0, 1, 0, -1, 0]])
  second = jnp.array([[1, 2, 2, -1, -1]])
  prefer = array([0.9, 0.6, 0.99, np.nan, np.nan])
  padded = preference_kl(S, first, second, prefer)
  plain = preference_kl(S, FIRST, SECOND, PREFER)
  np.testing.assert_allclose(padded, plain, rtol=1e-6)
  # Padding reads no column, not even the first.
  s_grad, p_grad = jax.jit(
    jax.grad(
      lambda s, p: preference.preference_kl(
        s, jnp.array([[1, -1]]), jnp.array([[2, -1]]), p
      ).total[0],
      argnums=(0, 1),
    )
  )(S.at[0, 0].set(jnp.nan), array([0.9, np.nan]))
  assert s_grad[0, 0] == 0 and np.isfinite(s_grad).all()
  assert p_grad[0, 1] == 0 and np.isfinite(p_grad).all()
  none = jnp.full((1, 2), -1)
  loss, grad = jax.jit(
    jax.value_and_grad(
      lambda s: preference.pooled(
        preference.preference_kl(s, none, none, jnp.full((1, 2), jnp.nan))
      )
    )
  )(S)
  assert loss == 0 and not grad.any()
