"""The contract that every loss of the room keeps, one table of losses.

Each entry has a reference for one row without masks, written in numpy float64
from the formula. What is peculiar to a loss stands in the file of its module.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax.losses import contrastive, listwise, pairwise


class Loss(NamedTuple):
  """One row of the table.

  Attributes:
    fn: (student, teacher, target, where) -> loss.
    row: (student, teacher, target) of one query, no mask -> float.
    uses_teacher: cross-entropy does not.
    shift: adding a constant to all scores of a model changes nothing.
    anchored: the target is always column 0.
  """

  fn: Callable
  row: Callable
  uses_teacher: bool = True
  shift: bool = True
  anchored: bool = False


def softmax(x):
  e = np.exp(x - x.max())
  return e / e.sum()


def kl_row(s, z, Ts, Tt, scale):
  p, q = softmax(z / Tt), softmax(s / Ts)
  return scale * sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))


def dkd_row(s, z, t, alpha, beta, T):
  p, q = softmax(z / T), softmax(s / T)
  two = [(p[t], q[t]), (1 - p[t], 1 - q[t])]
  tckd = sum(a * np.log(a / b) for a, b in two if a > 0)
  rest = [j for j in range(len(s)) if j != t]
  nckd = kl_row(s[rest], z[rest], T, T, 1.0) if rest else 0.0
  return T * T * (alpha * tckd + beta * nckd)


def margin_row(s, z):
  margins = [(s[0] - s[j]) - (z[0] - z[j]) for j in range(1, len(s))]
  return float(np.mean(np.square(margins))) if margins else 0.0


def all_margins_row(s, z):
  d = s - z
  return float(np.mean([(a - b) ** 2 for a in d for b in d]))


LOSSES = {
  "cross_entropy": Loss(
    lambda s, z, t, w: contrastive.cross_entropy(s, t, where=w),
    lambda s, z, t: -np.log(softmax(s)[t]),
    uses_teacher=False,
  ),
  "kl": Loss(
    lambda s, z, t, w: listwise.kl(
      s,
      z,
      where=w,
      student_temperature=2.0,
      teacher_temperature=4.0,
      scale=3.0,
    ),
    lambda s, z, t: kl_row(s, z, 2.0, 4.0, 3.0),
  ),
  "dkd": Loss(
    lambda s, z, t, w: listwise.dkd(
      s, z, target=t, alpha=1.0, beta=8.0, temperature=4.0, where=w
    ),
    lambda s, z, t: dkd_row(s, z, t, 1.0, 8.0, 4.0),
  ),
  "probability": Loss(
    lambda s, z, t, w: listwise.probability(s, z, temperature=4.0, where=w),
    lambda s, z, t: -np.sum(softmax(z / 4.0) * np.log(softmax(s) + 1e-7)),
  ),
  "logit_mse": Loss(
    lambda s, z, t, w: pairwise.logit_mse(s, z, where=w),
    lambda s, z, t: 0.5 * np.mean((s - z) ** 2),
    shift=False,
  ),
  "margin_mse_all": Loss(
    lambda s, z, t, w: pairwise.margin_mse_all(s, z, where=w),
    lambda s, z, t: all_margins_row(s, z),
  ),
  "margin_mse": Loss(
    lambda s, z, t, w: pairwise.margin_mse(s, z, where=w),
    lambda s, z, t: margin_row(s, z),
    anchored=True,
  ),
}

every_loss = pytest.mark.parametrize("name", LOSSES)

B, N = 4, 5
TARGET_B = np.array([0, 0, 2, 4], np.int32)
# Full, ragged, with holes, only the target.
WHERE_BN = np.array(
  [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 1, 0, 1], [0, 0, 0, 0, 1]], bool
)
WHERE_ANCHORED_BN = WHERE_BN | (np.arange(N) == 0)


def scores():
  rng = np.random.default_rng(0)
  return (rng.normal(0, 2, (2, B, N))).astype(np.float32)


def case(name):
  """Student, teacher, target and mask of a batch of four rows."""
  s, z = scores()
  if LOSSES[name].anchored:
    return s, z, np.zeros(B, np.int32), WHERE_ANCHORED_BN
  return s, z, TARGET_B, WHERE_BN


def reference(name, s, z, target, where):
  """The formula on what is left of each row once masked columns are cut."""
  rows = []
  for s_N, z_N, t, keep in zip(s, z, target, where, strict=True):
    t = int(np.flatnonzero(keep).tolist().index(t))
    s_N, z_N = s_N[keep].astype(np.float64), z_N[keep].astype(np.float64)
    rows.append(LOSSES[name].row(s_N, z_N, t))
  return np.array(rows)


@functools.cache
def compiled(name):
  """((student, teacher), target, where) -> (gradients by both, loss)."""

  def total(scores, target, where):
    loss = LOSSES[name].fn(*scores, target, where)
    return loss.sum(), loss

  return jax.jit(jax.grad(total, has_aux=True))


def value(name, s, z, target, where):
  return np.asarray(compiled(name)((s, z), target, where)[1])


def grads(name, s, z, target, where):
  """Gradients of the summed loss by student and teacher scores."""
  ds, dz = compiled(name)((s, z), target, where)[0]
  return np.asarray(ds), np.asarray(dz)


@every_loss
def test_equals_the_written_formula(name):
  s, z, target, where = case(name)
  for mask in (where, np.ones_like(where)):
    loss = value(name, s, z, target, mask)
    expected = reference(name, s, z, target, mask)
    np.testing.assert_allclose(loss, expected, rtol=2e-5, atol=2e-6)


@every_loss
def test_gradient_equals_the_slope_of_the_formula(name):
  s, z, target, where = case(name)
  step = 1e-5
  got = grads(name, s, z, target, where)
  for arg in range(2):
    expected = np.zeros((B, N))
    for b, j in np.ndindex(B, N):
      two = []
      for sign in (1, -1):
        x = [s.astype(np.float64), z.astype(np.float64)]
        x[arg][b, j] += sign * step
        two.append(reference(name, *x, target, where).sum())
      expected[b, j] = (two[0] - two[1]) / (2 * step)
    np.testing.assert_allclose(got[arg], expected, rtol=1e-4, atol=1e-5)


@every_loss
def test_teacher_is_not_cut_from_the_gradient(name):
  _, dz = grads(name, *case(name))
  assert np.any(dz != 0) == LOSSES[name].uses_teacher


@every_loss
@pytest.mark.parametrize("junk", [0.0, 1e4, -np.inf, np.inf, np.nan])
def test_masked_columns_are_as_if_deleted(name, junk):
  s, z, target, where = case(name)
  s, z = (np.where(where, x, np.float32(junk)) for x in (s, z))
  np.testing.assert_allclose(
    value(name, s, z, target, where),
    reference(name, s, z, target, where),
    rtol=2e-5,
    atol=2e-6,
  )
  for grad in grads(name, s, z, target, where):
    assert np.isfinite(grad).all()
    np.testing.assert_array_equal(grad[~where], 0.0)


@every_loss
def test_mask_and_deletion_agree_to_rounding(name):
  s, z, target, _ = case(name)
  keep = np.array([0, 2, 4])  # every target among them
  where = np.broadcast_to(np.isin(np.arange(N), keep), (B, N))
  cut = np.searchsorted(keep, target).astype(np.int32)
  short = (name, s[:, keep], z[:, keep], cut, None)
  masked = (name, s, z, target, where)
  np.testing.assert_allclose(value(*masked), value(*short), rtol=1e-6)
  for got, expected in zip(grads(*masked), grads(*short), strict=True):
    np.testing.assert_allclose(got[:, keep], expected, rtol=1e-5, atol=1e-6)


@every_loss
def test_masked_values_change_no_bit(name):
  s, z, target, where = case(name)
  bits = []
  for junk in (0.0, 1e30, np.nan):
    x = [np.where(where, x, np.float32(junk)) for x in (s, z)]
    args = (name, *x, target, where)
    bits.append(np.concatenate([value(*args)[:, None], *grads(*args)], 1))
  np.testing.assert_array_equal(bits[0], bits[1])
  np.testing.assert_array_equal(bits[0], bits[2])


@every_loss
@pytest.mark.parametrize("junk", [0.0, np.inf, np.nan])
def test_row_without_columns_is_zero(name, junk):
  s, z, target, where = case(name)
  where = where.copy()
  where[1] = False
  s[1], z[1] = junk, junk
  loss = value(name, s, z, target, where)
  ds, dz = grads(name, s, z, target, where)
  assert loss[1] == 0
  np.testing.assert_array_equal(ds[1], 0.0)
  np.testing.assert_array_equal(dz[1], 0.0)
  others = np.array([0, 2, 3])
  assert np.isfinite(loss).all() and np.isfinite(ds).all()
  expected = reference(name, *(x[others] for x in (s, z, target, where)))
  np.testing.assert_allclose(loss[others], expected, rtol=2e-5, atol=2e-6)


@every_loss
@pytest.mark.parametrize("arg", [0, 1])
def test_nan_that_counts_stays_visible(name, arg):
  s, z, target, where = case(name)
  (s, z)[arg][1, 1] = np.nan
  loss = value(name, s, z, target, where)
  read = arg == 0 or LOSSES[name].uses_teacher
  np.testing.assert_array_equal(np.isnan(loss), read & (np.arange(B) == 1))


@every_loss
def test_order_of_columns_is_free(name):
  s, z, target, where = case(name)
  order = np.array(
    [0, 3, 1, 4, 2] if LOSSES[name].anchored else [3, 1, 4, 0, 2]
  )
  place = np.argsort(order)
  moved = (s[:, order], z[:, order], place[target].astype(np.int32))
  np.testing.assert_allclose(
    value(name, *moved, where[:, order]),
    value(name, s, z, target, where),
    rtol=1e-6,
    atol=1e-6,
  )
  got = grads(name, *moved, where[:, order])
  expected = grads(name, s, z, target, where)
  for g, e in zip(got, expected, strict=True):
    np.testing.assert_allclose(g, e[:, order], rtol=1e-5, atol=1e-5)


@every_loss
@pytest.mark.parametrize("arg", [0, 1])
def test_shift_of_a_models_scores(name, arg):
  s, z, target, where = case(name)
  before = value(name, s, z, target, where)
  (s, z)[arg][...] += np.array([[3.0], [-7.0], [50.0], [0.5]], np.float32)
  after = value(name, s, z, target, where)
  same = np.allclose(before, after, rtol=1e-4, atol=1e-5)
  assert same == LOSSES[name].shift


FAR = np.array([1e4, -1e4, 0, 1e4, -1e4])
NEAR = np.array([0.3, -0.2, 0, 1, 2])


@every_loss
@pytest.mark.parametrize(
  ("student", "teacher"),
  [
    pytest.param(np.ones(N), np.ones(N), id="ties"),
    pytest.param(FAR, -FAR, id="far apart"),
    pytest.param(FAR, FAR, id="far and equal"),
    pytest.param(NEAR, FAR, id="sure teacher"),
    pytest.param(FAR, NEAR, id="sure student"),
    pytest.param(NEAR[:1], FAR[:1], id="one candidate"),
  ],
)
def test_corners_are_finite(name, student, teacher):
  s, z = (np.tile(x, (B, 1)).astype(np.float32) for x in (student, teacher))
  row = (name, s, z, np.zeros(B, np.int32), np.ones(s.shape, bool))
  assert np.isfinite(value(*row)).all()
  for grad in grads(*row):
    assert np.isfinite(grad).all()


@every_loss
def test_bfloat16_scores_are_summed_in_float32(name):
  s, z, target, where = case(name)
  s, z = (x.astype(jnp.bfloat16) for x in (s, z))
  wide = (x.astype(np.float32) for x in (s, z))
  loss = jax.jit(LOSSES[name].fn)(s, z, target, where)
  assert loss.dtype == jnp.float32
  np.testing.assert_allclose(
    loss, value(name, *wide, target, where), rtol=1e-6, atol=1e-6
  )
  (ds, _), _ = jax.eval_shape(compiled(name), (s, z), target, where)
  assert ds.dtype == jnp.bfloat16


@every_loss
def test_leading_axes_and_vmap(name):
  args = case(name)
  fn = LOSSES[name].fn
  expected = value(name, *args)
  assert expected.shape == (B,)
  mapped = jax.jit(jax.vmap(fn))(*args)
  np.testing.assert_allclose(mapped, expected, rtol=1e-6, atol=1e-6)
  square = jax.jit(fn)(*(x.reshape(2, 2, *x.shape[1:]) for x in args))
  assert square.shape == (2, 2)
  np.testing.assert_allclose(square.ravel(), expected, rtol=1e-6, atol=1e-6)
