"""Late interaction against loops, and its masks."""

import jax
import jax.numpy as jnp
import numpy as np

from prod_jax.losses import max_sim

in_batch = jax.jit(max_sim.in_batch_scores)
own_list = jax.jit(max_sim.own_list_scores)
B, N, L, T, D = 3, 2, 4, 5, 6


def texts(seed=0):
  rng = np.random.default_rng(seed)
  q = rng.normal(size=(B, L, D)).astype(np.float32)
  p = rng.normal(size=(B, N, T, D)).astype(np.float32)
  q_where = np.arange(L) < np.array([4, 2, 1])[:, None]
  p_where = np.arange(T) < np.array([[5, 3], [1, 4], [2, 5]])[..., None]
  return tuple(map(jnp.asarray, (q, q_where, p, p_where)))


def loop(q, q_where, p, p_where):
  q, q_where, p, p_where = map(np.array, (q, q_where, p, p_where))
  similar = q[q_where] @ p[p_where].T
  return similar.max(axis=1).sum()


def test_scores_are_a_loop_over_real_tokens():
  q, q_where, p, p_where = texts()
  flat, flat_where = p.reshape(B * N, T, D), p_where.reshape(B * N, T)
  found = in_batch(q, q_where, flat, flat_where)
  own = own_list(q, q_where, p, p_where)
  for b in range(B):
    for i in range(B * N):
      wanted = loop(q[b], q_where[b], flat[i], flat_where[i])
      np.testing.assert_allclose(found[b, i], wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(own[b], found[b, b * N : b * N + N], rtol=1e-5)


def test_padding_never_wins_even_where_every_real_token_is_far():
  """The mask goes with its passage, wherever the passage came from."""
  q, q_where, p, p_where = texts()
  far = -jnp.abs(p) * jnp.sign(q[:, None, :1])
  dirty = jnp.where(p_where[..., None], far, 1e6)
  other = jnp.where(p_where[..., None], far, -1e6)
  np.testing.assert_array_equal(
    own_list(q, q_where, dirty, p_where), own_list(q, q_where, other, p_where)
  )
  noisy = jnp.where(q_where[..., None], q, 1e3)
  np.testing.assert_array_equal(
    own_list(noisy, q_where, p, p_where), own_list(q, q_where, p, p_where)
  )


def test_the_gradient_goes_to_the_best_token_alone():
  q, q_where, p, p_where = texts()
  grad = jax.jit(
    jax.grad(lambda p: max_sim.own_list_scores(q, q_where, p, p_where)[0, 0])
  )(p)
  best = (q[0] @ p[0, 0].T).argmax(axis=1)
  wanted = np.zeros_like(p)
  for token, winner in enumerate(best):
    wanted[0, 0, winner] += q[0, token]
  np.testing.assert_allclose(grad, wanted, rtol=1e-5, atol=1e-6)


def test_texts_without_tokens_score_nothing_with_a_finite_gradient():
  q, q_where, p, p_where = texts()
  none = jnp.zeros_like(p_where)
  score, grad = jax.jit(
    jax.value_and_grad(
      lambda q: max_sim.own_list_scores(q, q_where, p, none).sum()
    )
  )(q)
  assert score == 0 and not grad.any()
  no_query = own_list(q, jnp.zeros_like(q_where), p, p_where)
  assert not no_query.any()
