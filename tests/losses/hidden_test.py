"""LEAD's layer losses and PROD's bi-logit on worked numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax.losses import contrastive, hidden, listwise

# METHODS' numbers for LEAD: two layers, two queries, three passages.
TEACHER = jnp.array([[[2.0, 0, 1], [0, 1, 0]], [[3.0, 0, 0], [0, 2, 0]]])
STUDENT = jnp.array([[[1.0, 0, 0], [0, 1, 1]], [[1.0, 1, 0], [0, 1, 0]]])
TARGET = jnp.array([0, 1])

layer_weights = jax.jit(hidden.layer_weights, static_argnames="temperature")
layer_kl = jax.jit(hidden.layer_kl, static_argnames="temperature")


@pytest.mark.parametrize(
  ("tau", "weights", "loss"),
  [
    (10.0, [0.4921933517, 0.5078066483], 0.1998970107),
    (1.0, [0.42255551, 0.57744449], 0.2168589981),
    (1e6, [0.5, 0.5], (0.0762083544 + 0.3197826669) / 2),
  ],
)
def test_layers_on_worked_numbers(tau, weights, loss):
  found = layer_weights(TEACHER, TARGET, temperature=tau)
  np.testing.assert_allclose(found, weights, rtol=1e-5)
  np.testing.assert_allclose(found.sum(), 1, rtol=1e-6)
  np.testing.assert_allclose(
    layer_kl(STUDENT, TEACHER, found).mean(), loss, rtol=1e-5
  )


def test_the_whole_of_lead_on_worked_numbers():
  s, z = STUDENT[1], TEACHER[1]
  terms = [
    contrastive.cross_entropy(z, TARGET).mean(),
    contrastive.cross_entropy(s, TARGET).mean(),
    listwise.kl(s, z).mean(),
    listwise.kl(z, s).mean(),
  ]
  np.testing.assert_allclose(
    terms, [0.1672338613, 0.7067197590, 0.3197826669, 0.4612962608], rtol=1e-5
  )
  w = layer_weights(TEACHER, TARGET, temperature=10.0)
  total = sum(terms) + layer_kl(STUDENT, TEACHER, w).mean()
  np.testing.assert_allclose(total, 1.8549295587, rtol=1e-5)


def test_weights_are_constants_and_the_divergence_is_not():
  w_grad = jax.jit(
    jax.grad(lambda z: layer_weights(z, TARGET, temperature=10.0)[0])
  )(TEACHER)
  assert not w_grad.any()
  w = jnp.array([0.5, 0.5])
  s_grad, z_grad = jax.jit(
    jax.grad(lambda s, z: layer_kl(s, z, w).sum(), argnums=(0, 1))
  )(STUDENT, TEACHER)
  assert s_grad.any() and z_grad.any()


def test_a_temperature_divides_the_teacher_alone():
  w = jnp.array([1.0, 1.0])
  np.testing.assert_allclose(
    layer_kl(STUDENT, TEACHER, w, temperature=2.0),
    layer_kl(STUDENT, TEACHER / 2, w),
    rtol=1e-6,
  )


def test_masked_columns_are_deleted_from_weights_and_loss():
  where = jnp.array([[True, True, False], [True, True, False]])
  dirty = TEACHER.at[..., 2].set(jnp.nan)
  kept = (STUDENT[..., :2], TEACHER[..., :2])
  w = layer_weights(dirty, TARGET, temperature=1.0, where=where)
  np.testing.assert_allclose(
    w, layer_weights(kept[1], TARGET, temperature=1.0), rtol=1e-6
  )
  found = layer_kl(STUDENT, dirty, w, where=where)
  np.testing.assert_allclose(found, layer_kl(*kept, w), rtol=1e-5)


@pytest.mark.parametrize("junk", [1e30, np.nan, np.inf, -np.inf])
def test_masked_columns_reach_no_gradient(junk):
  where = jnp.array([[True, True, False], [False, True, False]])
  w = jnp.array([0.25, 0.75])
  pull = jax.jit(
    jax.grad(lambda s, z: layer_kl(s, z, w, where=where).sum(), argnums=(0, 1))
  )
  found = pull(*(jnp.where(where, x, junk) for x in (STUDENT, TEACHER)))
  wanted = pull(STUDENT, TEACHER)
  jax.tree.map(np.testing.assert_array_equal, found, wanted)
  # One candidate left, and columns that are not there, have no slope.
  assert all(not x[:, 1].any() and not x[:, 0, 2].any() for x in found)
  assert all(x[:, 0].any() for x in found)


def test_a_batch_without_columns_weighs_layers_the_same():
  none = jnp.zeros((2, 3), bool)
  w = layer_weights(TEACHER * jnp.nan, TARGET, temperature=1.0, where=none)
  np.testing.assert_array_equal(w, [0.5, 0.5])
  found = layer_kl(STUDENT, TEACHER * jnp.nan, w, where=none)
  np.testing.assert_array_equal(found, [0, 0])


def test_rows_without_a_label_do_not_even_the_weights_out():
  z = jnp.concatenate([TEACHER, TEACHER[:, ::-1]], axis=1)
  target = jnp.array([0, 1, -1, -1])
  found = layer_weights(z, target, temperature=1.0)
  wanted = layer_weights(TEACHER, TARGET, temperature=1.0)
  np.testing.assert_array_equal(found, wanted)
  none = layer_weights(TEACHER, jnp.array([-1, -1]), temperature=1.0)
  np.testing.assert_array_equal(none, [0.5, 0.5])


def test_embeddings_on_worked_numbers():
  q_s, q_t = jnp.eye(2), jnp.array([[1.0, 1.0], [0.0, 0.0]])
  p_s = jnp.array([[[1.0, 0], [0, 1]], [[1.0, 1], [0, 0]]])
  p_t = jnp.array([[[1.0, 0], [0, 1]], [[0.0, 0], [0, 2]]])
  where = jnp.ones((2, 2), bool)
  embedding_mse = jax.jit(hidden.embedding_mse)
  found = embedding_mse(q_s, p_s, q_t, p_t, where=where)
  np.testing.assert_allclose(found.mean(), 0.625, rtol=1e-6)
  # A passage of padding is not there: neither in the sum nor in the count.
  where = where.at[1, 0].set(False)
  found = embedding_mse(q_s, p_s.at[1, 0].set(jnp.nan), q_t, p_t, where=where)
  np.testing.assert_allclose(found, [0.25, 0.25 + 1.0], rtol=1e-6)


def test_masked_embeddings_reach_no_gradient_and_a_query_stands_alone():
  rng = np.random.default_rng(0)
  q_s, q_t = jnp.asarray(rng.normal(size=(2, 2, 3)).astype(np.float32))
  p_s, p_t = jnp.asarray(rng.normal(size=(2, 2, 4, 3)).astype(np.float32))
  where = jnp.array([[True, False, True, True], [False] * 4])
  loss, grads = jax.jit(
    jax.value_and_grad(
      lambda s, t: hidden.embedding_mse(q_s, s, q_t, t, where=where).sum(),
      argnums=(0, 1),
    )
  )(*(jnp.where(where[..., None], x, jnp.nan) for x in (p_s, p_t)))
  d = np.asarray(p_s - p_t)[0, [0, 2, 3]]
  query = 0.5 * np.mean(np.asarray(q_s - q_t) ** 2, axis=-1)
  wanted = query.sum() + 0.5 * np.mean(d**2)
  np.testing.assert_allclose(loss, wanted, rtol=1e-5)
  slope = np.zeros((2, 4, 3), np.float32)
  slope[0, [0, 2, 3]] = d / d.size
  np.testing.assert_allclose(grads[0], slope, rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(grads[1], -slope, rtol=1e-5, atol=1e-7)
