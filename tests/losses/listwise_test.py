"""What is peculiar to the list losses: papers' numbers, identities, limits."""

import functools

import jax
import numpy as np
import pytest

from prod_jax.losses import listwise

# Compiled whole and fed with numpy: op by op, each new shape would cost a
# dozen compilations.
kl = jax.jit(
  listwise.kl,
  static_argnames=("student_temperature", "teacher_temperature", "scale"),
)
dkd = jax.jit(listwise.dkd, static_argnames=("alpha", "beta", "temperature"))
probability = jax.jit(listwise.probability, static_argnames="temperature")


def array(*rows):
  return np.array(rows, np.float32)


S = array([2, 1, 0], [0.5, 1.5, -1])
Z = array([3, 0, -1], [2, 1, 0])
ANCHOR = array([1, 1, 0], [1, 0, -1])
FIRST = np.zeros(2, np.int32)


def random_scores(n):
  return np.random.default_rng(0).normal(0, 2, (2, 3, n)).astype(np.float32)


def softmax(x, where=True):
  e = np.where(where, np.exp(x - x.max(-1, keepdims=True), dtype=float), 0)
  return e / e.sum(-1, keepdims=True)


def slope(loss, s):
  """(loss, gradient) by the student's scores, summed over queries."""
  return jax.jit(jax.value_and_grad(lambda s: loss(s).sum()))(s)


def square_kl(s, z, T, where=None):
  """T^2 KL at one temperature, as PROD has it."""
  return kl(
    s,
    z,
    where=where,
    student_temperature=T,
    teacher_temperature=T,
    scale=T**2,
  )


@pytest.mark.parametrize(
  ("teacher", "T", "expected"),
  [
    pytest.param(Z, 4.0, 0.4462059570, id="kd"),
    pytest.param(Z, 1.0, 0.3218310016, id="kd at T=1"),
    pytest.param(ANCHOR, 4.0, 0.2558869227, id="lwf"),
  ],
)
def test_kl_of_prod(teacher, T, expected):
  loss = np.mean(square_kl(S, teacher, T))
  assert loss == pytest.approx(expected, abs=5e-6)


def test_kl_has_no_square_of_the_temperature_unless_given():
  loss = kl(S, Z, student_temperature=4.0, teacher_temperature=4.0)
  assert np.mean(loss) == pytest.approx(0.0278878723, abs=1e-6)


def test_kl_of_lead_both_ways():
  z, s = array([3, 0, 0], [0, 2, 0]), array([1, 1, 0], [0, 1, 0])
  assert np.mean(kl(s, z)) == pytest.approx(0.3197826669, abs=1e-6)
  assert np.mean(kl(z, s)) == pytest.approx(0.4612962608, abs=1e-6)


def test_kl_of_pairdistill_at_student_temperature_ten():
  loss = kl(array([3, 2, 1]), array([0, -1, -3]), student_temperature=10.0)
  assert loss[0] == pytest.approx(0.3210505417, abs=1e-6)


def test_kl_of_adam_per_query():
  s = array([2, 0, 1, 0.5], [1, 0.5, 0, 0.2])
  z = array([6, -5, 2, 1], [1, -2, 0.5, 0])
  expected = [0.4444894489, 0.2321202306]
  np.testing.assert_allclose(kl(s, z), expected, atol=1e-6)


@pytest.mark.parametrize("T", [0.5, 4.0, 100.0])
def test_kl_of_itself_is_zero(T):
  s, _ = random_scores(6)
  np.testing.assert_array_equal(square_kl(s, s, T), 0.0)
  loss, grad = slope(lambda x: square_kl(x, s, T), s)
  # Fused with its gradient, the two logarithms may round apart.
  assert loss == pytest.approx(0, abs=1e-6 * T**2)
  np.testing.assert_allclose(grad, 0.0, atol=1e-6 * T)


def test_kl_is_never_negative():
  rng = np.random.default_rng(0)
  z = rng.normal(0, 3, (500, 6)).astype(np.float32)
  near = z + rng.normal(0, 1e-3, z.shape).astype(np.float32)
  assert np.min(kl(near, z)) > -1e-6


@pytest.mark.parametrize(
  ("Ts", "Tt", "scale"), [(1.0, 1.0, 1.0), (4.0, 4.0, 16.0), (0.5, 3.0, 2.0)]
)
def test_kl_gradient_is_the_difference_of_the_softmaxes(Ts, Tt, scale):
  s, z = random_scores(6)
  where = np.arange(6) < np.array([[6], [4], [1]])
  loss = functools.partial(
    kl,
    teacher=z,
    where=where,
    student_temperature=Ts,
    teacher_temperature=Tt,
    scale=scale,
  )
  expected = scale / Ts * (softmax(s / Ts, where) - softmax(z / Tt, where))
  np.testing.assert_allclose(slope(loss, s)[1], expected, rtol=1e-4, atol=1e-6)


def test_kl_at_high_temperature_matches_centred_scores():
  s, z = random_scores(6)
  difference = (s - z).astype(float)
  centred = difference - difference.mean(-1, keepdims=True)
  loss, grad = slope(lambda s: square_kl(s, z, 200.0), s)
  expected = 0.5 * (centred**2).mean(-1).sum()
  np.testing.assert_allclose(loss, expected, rtol=0.02)
  np.testing.assert_allclose(grad, centred / 6, atol=0.02)


def test_kl_at_low_teacher_temperature_is_cross_entropy():
  s, z = random_scores(6)
  best = np.argmax(z, axis=-1)
  expected = -np.log(softmax(s))[np.arange(3), best]
  loss = kl(s, z, teacher_temperature=1e-3)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("last", [-2.0, -np.inf])
def test_column_without_teacher_mass_adds_nothing(last):
  s, z = array([0.3, 0.1, last]), array([1, 0.5, -np.inf])
  loss, grad = slope(lambda s: kl(s, z), s)
  p, q = softmax(z), softmax(s)
  expected = (p[0, :2] * np.log(p[0, :2] / q[0, :2])).sum()
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
  np.testing.assert_allclose(grad, q - p, atol=1e-6)


def test_student_without_mass_where_the_teacher_has_some_is_infinite():
  loss = kl(array([1, 0.5, -np.inf]), array([1, 0.5, 0]))
  assert loss[0] == np.inf


@pytest.mark.parametrize(
  ("alpha", "beta", "expected"),
  [
    pytest.param(1.0, 0.0, 0.3674763058, id="target"),
    pytest.param(0.0, 1.0, 0.1355605645, id="rest"),
    pytest.param(1.0, 8.0, 1.4519608220, id="both"),
  ],
)
def test_dkd_of_prod(alpha, beta, expected):
  loss = dkd(S, Z, target=FIRST, alpha=alpha, beta=beta, temperature=4.0)
  assert np.mean(loss) == pytest.approx(expected, abs=1e-5)


def test_dkd_weighted_by_the_rest_is_kl():
  s, z = random_scores(6)
  target = np.array([0, 3, 5])
  where = np.arange(6) != np.array([[1], [2], [0]])
  parts = functools.partial(
    dkd, s, z, target=target, temperature=4.0, where=where
  )
  rest = 1 - softmax(z / 4, where)[np.arange(3), target]
  both = parts(alpha=1.0, beta=0.0) + rest * parts(alpha=0.0, beta=1.0)
  np.testing.assert_allclose(both, square_kl(s, z, 4.0, where), rtol=1e-4)


def test_dkd_of_a_sure_student_is_finite_and_right():
  # In float32 softmax leaves 0 for the rest; its logarithm is about -2000.
  s, z = array([4e3, 2e3, 2e3]), array([1, 1, 0])
  loss, grad = slope(
    lambda s: dkd(s, z, target=FIRST[:1], alpha=1.0, beta=0.0, temperature=1.0),
    s,
  )
  p = softmax(z)[0, 0]
  expected = p * np.log(p) + (1 - p) * (np.log(1 - p) + 2e3 - np.log(2))
  assert loss == pytest.approx(expected, rel=1e-5)
  np.testing.assert_allclose(
    grad, [[1 - p, (p - 1) / 2, (p - 1) / 2]], rtol=1e-4
  )


def test_dkd_leaves_out_a_target_thousands_above_the_rest():
  # Subtracting 1000 from the target would leave it on top.
  s, z = array([5e3, 1, 0]), array([5e3, 0, 2])
  loss = dkd(s, z, target=FIRST[:1], alpha=0.0, beta=1.0, temperature=1.0)
  np.testing.assert_allclose(loss, kl(s[:, 1:], z[:, 1:]), rtol=1e-5)


def test_dkd_without_its_target_compares_the_rest():
  where = np.array([[False, True, True]] * 2)
  loss = dkd(
    np.where(where, S, np.float32(np.nan)),
    Z,
    target=FIRST,
    alpha=1.0,
    beta=8.0,
    temperature=4.0,
    where=where,
  )
  expected = 8 * square_kl(S[:, 1:], Z[:, 1:], 4.0)
  np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-6)


def test_probability_of_prod():
  loss = probability(S, Z, temperature=4.0)
  assert np.mean(loss) == pytest.approx(1.2452815250, abs=1e-6)


def test_probability_is_bounded_by_its_epsilon():
  s, z = array([0, 1e4]), array([1e4, 0])
  loss, grad = slope(lambda s: probability(s, z, temperature=1.0), s)
  assert loss == pytest.approx(-np.log(1e-7), rel=1e-5)
  np.testing.assert_array_equal(grad, 0.0)
