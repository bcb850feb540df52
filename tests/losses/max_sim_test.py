"""Late interaction against loops, and its masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
  q, q_where, p, p_where = texts()
  q, p = jnp.abs(q), jnp.where(p_where[..., None], -1e4 * jnp.abs(p), 1e6)
  found = own_list(q, q_where, p, p_where)
  assert (found < -1e3).all()
  for b, n in np.ndindex(B, N):
    wanted = loop(q[b], q_where[b], p[b, n], p_where[b, n])
    np.testing.assert_allclose(found[b, n], wanted, rtol=1e-5)


def both(q, q_where, p, p_where):
  """Own-list and in-batch scores in one sum, no term twice the same."""
  flat, flat_where = p.reshape(B * N, T, D), p_where.reshape(B * N, T)
  own = max_sim.own_list_scores(q, q_where, p, p_where)
  every = max_sim.in_batch_scores(q, q_where, flat, flat_where)
  return own.sum() + (every @ jnp.arange(1.0, 1.0 + B * N)).sum()


def test_masked_vectors_reach_neither_score_nor_gradient():
  rng = np.random.default_rng(1)
  q, _, p, _ = texts()
  q_where = jnp.asarray(rng.random((B, L)) < 0.6)
  p_where = jnp.asarray(rng.random((B, N, T)) < 0.6)
  p_where = p_where.at[1, 1].set(False)
  call = jax.jit(jax.value_and_grad(both, argnums=(0, 2)))
  clean = None
  for junk in (0.0, 1e30, np.nan, np.inf, -np.inf):
    dirty_q = jnp.where(q_where[..., None], q, junk)
    dirty_p = jnp.where(p_where[..., None], p, junk)
    found = call(dirty_q, q_where, dirty_p, p_where)
    clean = clean or found
    jax.tree.map(np.testing.assert_array_equal, found, clean)
  _, (q_grad, p_grad) = clean
  assert q_grad[q_where].any() and not q_grad[~q_where].any()
  assert p_grad[p_where].any() and not p_grad[~p_where].any()


@pytest.mark.parametrize("of", ["query", "passage"])
def test_nan_that_counts_stays_visible(of):
  q, q_where, p, p_where = texts()
  if of == "query":
    q = q.at[0, 0, 0].set(jnp.nan)
  else:
    p = p.at[0, 1, 0, 0].set(jnp.nan)
  wanted = np.zeros((B, N), bool)
  wanted[0, 1] = True
  wanted[0, 0] = of == "query"
  np.testing.assert_array_equal(
    np.isnan(own_list(q, q_where, p, p_where)), wanted
  )


def test_padding_of_one_row_changes_no_other():
  """LEAD's code masks gathered passages with the mask of other passages."""
  q, q_where, p, p_where = texts()
  flat, flat_where = p.reshape(B * N, T, D), p_where.reshape(B * N, T)
  before = in_batch(q, q_where, flat, flat_where)
  after = in_batch(q, q_where, flat, flat_where.at[0].set(False))
  np.testing.assert_array_equal(after[:, 0], 0)
  np.testing.assert_array_equal(after[:, 1:], before[:, 1:])


def test_order_of_tokens_and_of_passages_is_free():
  q, q_where, p, p_where = texts()
  order = np.array([3, 0, 4, 2, 1])
  found = own_list(q, q_where, p[:, ::-1, order], p_where[:, ::-1, order])
  wanted = own_list(q, q_where, p, p_where)
  np.testing.assert_allclose(found, wanted[:, ::-1], rtol=1e-5, atol=1e-6)


def test_bfloat16_vectors_are_summed_in_float32():
  q, q_where, p, p_where = texts()
  q, p = (x.astype(jnp.bfloat16) for x in (q, p))
  found = own_list(q, q_where, p, p_where)
  assert found.dtype == jnp.float32
  wide_q, wide_p = (x.astype(jnp.float32) for x in (q, p))
  wanted = own_list(wide_q, q_where, wide_p, p_where)
  np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


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
