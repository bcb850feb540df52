"""Our formulation of ADAM: METHODS' worked numbers, and the pace."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax import strict
from prod_jax.losses import listwise
from prod_jax.methods import adam
from prod_jax.methods.scoring import Sources
from tests.methods import batches
from tests.methods.batches import B, G, N, batch, no_dropout, rng

DUAL = no_dropout(batches.DUAL)
OFFERED = Sources(teacher="scores", beside=frozenset({"dark"}))
# Columns: the positive, a negative, two dark examples.
S = jnp.array([[2.0, 0.0, 1.0, 0.5], [1.0, 0.5, 0.0, 0.2]])
Z = jnp.array([[6.0, -5.0, 2.0, 1.0], [1.0, -2.0, 0.5, 0.0]])
ALL = jnp.ones((2, 2), bool)


def entropy(z):
  p = jax.nn.softmax(z)
  return -(p * jnp.log(p)).sum(-1)


def test_worked_numbers():
  np.testing.assert_allclose(
    listwise.kl(S, Z), [0.4444894489, 0.2321202306], rtol=1e-5
  )
  np.testing.assert_allclose(
    adam.confidence(Z[:, :2], ALL), [0.9999832986, 0.9525741268], rtol=1e-6
  )
  np.testing.assert_allclose(
    adam.confidence(Z, jnp.ones((2, 4), bool)),
    [0.9755428644, 0.4940230238],
    rtol=1e-6,
  )
  # What dark examples are for: the teacher's distribution says more.
  np.testing.assert_allclose(
    entropy(Z[:, :2]), [0.0002004218, 0.1908649682], rtol=1e-3
  )
  np.testing.assert_allclose(
    entropy(Z), [0.1292769504, 1.1105220128], rtol=1e-5
  )


@pytest.mark.parametrize(
  ("threshold", "wanted"),
  [(0.96, 0.4444894489), (0.0, 0.3383048398), (2.0, 0.0)],
)
def test_the_threshold_decides_whose_dark_examples_count(threshold, wanted):
  set_up = adam.Settings(pace="threshold", start=threshold, end=threshold)
  kept_B = adam.keep(set_up, adam.confidence(Z[:, :2], ALL), jnp.int32(0))
  found = adam.mean_of_kept(listwise.kl(S, Z), kept_B)
  np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_the_share_grows_and_the_confident_come_first():
  set_up = adam.Settings(pace="fraction", start=0.25, end=1.0, over=10)
  confidence_B = jnp.array([0.1, 0.9, 0.5, 0.7])
  kept = {
    step: np.flatnonzero(adam.keep(set_up, confidence_B, jnp.int32(step)))
    for step in (0, 4, 10, 99)
  }
  assert {k: v.tolist() for k, v in kept.items()} == {
    0: [1],
    4: [1, 3],
    10: [0, 1, 2, 3],
    99: [0, 1, 2, 3],
  }


def test_the_level_stays_where_it_ends():
  set_up = adam.Settings(pace="threshold", start=0.2, end=0.6, over=10)
  confidence_B = jnp.array([0.1, 0.9, 0.5, 0.7])
  for step, wanted in ((0, 3), (5, 3), (10, 2), (99, 2)):
    kept_B = adam.keep(set_up, confidence_B, jnp.int32(step))
    assert int(kept_B.sum()) == wanted, step


def test_the_loss_is_the_written_formula():
  z_BN, extra = batches.scores(5, B, N), batches.dark()
  data = batch(list_scores_BN=z_BN, **extra)
  set_up = adam.Settings(
    temperature=2.0, hard=0.1, soft=0.7, dark=3.0, start=0.5, end=0.5
  )
  params = DUAL.init(jax.random.key(2))
  loss_fn = adam.make(set_up, DUAL, OFFERED)
  loss, metrics = jax.jit(loss_fn)(params, {}, data, rng())
  s_BX = np.array(
    jax.jit(lambda x, key: adam.score_with_dark(DUAL, params, x, key))(
      data, rng().dropout
    )
  )
  assert s_BX.shape == (B, N + G)

  def log_softmax(x):
    x = x - x.max()
    return x - np.log(np.exp(x).sum())

  def kl(z, s):
    p, q = log_softmax(z / 2.0), log_softmax(s / 2.0)
    return (np.exp(p) * (p - q)).sum()

  rows = []
  for b in range(B):
    own, dark = data.where_BN[b], extra["where_BA"][b]
    s, z = s_BX[b, :N][own], z_BN[b][own]
    with_dark = (
      np.r_[z, extra["dark_scores_BA"][b][dark]],
      np.r_[s, s_BX[b, N:][dark]],
    )
    rows.append(
      (-log_softmax(s)[0], kl(z, s), kl(*with_dark), np.exp(log_softmax(z))[0])
    )
  ce_B, kd_B, dark_B, confidence_B = np.array(rows).T
  kept = np.argsort(-confidence_B)[: B // 2]
  np.testing.assert_allclose(metrics["dark"], dark_B[kept].mean(), rtol=1e-4)
  np.testing.assert_allclose(metrics["kept"], 0.5)
  wanted = 0.1 * ce_B.mean() + 0.7 * kd_B.mean() + 3 * dark_B[kept].mean()
  np.testing.assert_allclose(loss, wanted, rtol=1e-4)


def test_what_is_missing_is_an_error():
  for sources in (
    Sources(teacher="scores"),
    Sources(teacher="step", beside=frozenset({"dark"})),
  ):
    with pytest.raises(strict.ConfigError, match="set scores to a score stage"):
      adam.make(adam.Settings(), DUAL, sources)
