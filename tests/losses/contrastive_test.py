"""Cross-entropy, dot products and the in-batch mask by papers' numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax.losses import contrastive, listwise

# Compiled whole and fed with numpy: op by op, each new shape would cost a
# dozen compilations.
cross_entropy = jax.jit(contrastive.cross_entropy)
in_batch_scores = jax.jit(contrastive.in_batch_scores)
own_list_scores = jax.jit(contrastive.own_list_scores)
in_batch_where = jax.jit(contrastive.in_batch_where)


def array(*rows):
  return np.array(rows, np.float32)


S = array([2, 1, 0], [0.5, 1.5, -1])

# Two queries, N = 2 passages each: columns 0 and 2 are the positives.
QUERY = array([1, 0], [0, 2])
PASSAGE = array([2, 0], [0, 1], [1, 1], [-1, 0])
TEACHER_QUERY = array([1, 1], [1, 2])
TEACHER_PASSAGE = array([1, 1], [0, 0], [0, 2], [1, 0])
TARGET = np.array([0, 2])


def test_cross_entropy_of_prod():
  loss = cross_entropy(S, np.array([0, 0]))
  assert np.mean(loss) == pytest.approx(0.8895724981, abs=1e-6)


def test_in_batch_stage_of_prod():
  s = in_batch_scores(QUERY, PASSAGE)
  z = in_batch_scores(TEACHER_QUERY, TEACHER_PASSAGE)
  np.testing.assert_array_equal(s, [[2, 0, 1, -1], [0, 2, 2, 0]])
  np.testing.assert_array_equal(z, [[2, 0, 2, 1], [3, 0, 4, 1]])
  ce = np.mean(cross_entropy(s, TARGET))
  kd = np.mean(
    listwise.kl(
      s, z, student_temperature=4.0, teacher_temperature=4.0, scale=16.0
    )
  )
  assert ce == pytest.approx(0.6301324451, abs=1e-6)
  assert kd == pytest.approx(0.9011165164, abs=5e-6)
  assert 0.1 * ce + 0.9 * kd == pytest.approx(0.8740181092, abs=5e-6)


def test_gradient_is_the_softmax_minus_the_label():
  target = np.array([2, 1])
  grad = jax.jit(jax.grad(lambda s: cross_entropy(s, target).sum()))(S)
  softmax = np.exp(S) / np.exp(S).sum(-1, keepdims=True)
  np.testing.assert_allclose(
    grad, softmax - np.eye(3)[target], rtol=1e-5, atol=1e-6
  )


def test_row_with_a_deleted_target_has_no_label():
  where = np.array([[False, True, True], [True, True, True]])
  s = np.where(where, S, np.float32(np.nan))

  def total(s):
    loss = cross_entropy(s, np.array([0, 0]), where=where)
    return loss.sum(), loss

  grad, loss = jax.jit(jax.grad(total, has_aux=True))(s)
  assert loss[0] == 0 and loss[1] > 0
  np.testing.assert_array_equal(grad[0], 0.0)
  assert np.all(grad[1] != 0)


@pytest.mark.parametrize("where", [None, np.ones((2, 3), bool)])
def test_target_beyond_the_list_is_nan(where):
  loss = cross_entropy(S, np.array([3, 0]), where=where)
  np.testing.assert_array_equal(np.isnan(loss), [True, False])


def test_scores_are_dot_products():
  rng = np.random.default_rng(0)
  B, N, D = 3, 4, 8
  query = rng.normal(size=(B, D)).astype(np.float32)
  passage = rng.normal(size=(B, N, D)).astype(np.float32)
  own = np.asarray(own_list_scores(query, passage))
  every = np.asarray(in_batch_scores(query, passage.reshape(B * N, D)))
  for a, b, n in np.ndindex(B, B, N):
    expected = pytest.approx(query[a] @ passage[b, n], abs=1e-5)
    assert every[a, b * N + n] == expected
    assert a != b or own[b, n] == expected


def test_dot_products_sum_bfloat16_in_float32():
  D = 1024  # bfloat16 cannot count beyond 256
  query = np.ones((2, D), jnp.bfloat16)
  passage = np.ones((3, D), jnp.bfloat16)
  passage[:, 0] = 2

  def both(query):
    return (
      contrastive.in_batch_scores(query, jnp.asarray(passage)),
      contrastive.own_list_scores(query, jnp.asarray([passage, passage])),
    )

  # Not compiled: the compiler may drop a rounding to bfloat16 in between.
  for scores in both(jnp.asarray(query)):
    assert scores.dtype == jnp.float32
    np.testing.assert_array_equal(scores, D + 1)
  grad = jax.jit(jax.grad(lambda q: sum(x.sum() for x in both(q))))(query)
  assert grad.dtype == jnp.bfloat16
  np.testing.assert_array_equal(
    np.asarray(grad, float)[:, :2], [[12, 6], [12, 6]]
  )


def test_in_batch_where_by_hand():
  where = in_batch_where(
    # Query 0 has positives 7 and 9; query 1 has 8; query 2 lists none, yet
    # its target column counts as one.
    np.array([[7, 9], [8, -1], [-1, -1]]),
    np.array([7, 9, 8, 7, 5, -1, 5]),
    np.array([0, 2, 4]),
  )
  expected = [
    [1, 0, 1, 0, 1, 0, 1],  # without 9, the copy of 7, and padding
    [1, 1, 1, 1, 1, 0, 1],
    [1, 1, 1, 1, 1, 0, 0],  # without the copy of 5
  ]
  np.testing.assert_array_equal(where, np.array(expected, bool))


def test_in_batch_where_equals_the_sets_of_random_ids():
  rng = np.random.default_rng(0)
  B, N, M = 6, 4, 3
  P = B * N
  positive_id = rng.integers(-1, 12, (B, M))
  passage_id = rng.integers(-1, 12, P)
  target = np.arange(B) * N
  passage_id[target[1:]] = np.maximum(positive_id[1:, 0], 0)
  passage_id[target[0]] = -1  # a query that is padding itself
  got = np.asarray(in_batch_where(positive_id, passage_id, target))
  for b, p in np.ndindex(B, P):
    relevant = {*positive_id[b], passage_id[target[b]]}
    keep = p == target[b] or passage_id[p] not in relevant
    assert got[b, p] == (keep and passage_id[p] >= 0), (b, p)


def test_copy_of_the_positive_is_no_negative():
  where = in_batch_where(np.array([[7], [8]]), np.array([7, 5, 8, 7]), TARGET)
  passage = np.concatenate([PASSAGE[:3], PASSAGE[:1]])
  s = np.asarray(in_batch_scores(QUERY, passage))
  loss = cross_entropy(s, TARGET, where=where)
  short = cross_entropy(s[:1, :3], TARGET[:1])
  np.testing.assert_allclose(loss[0], short[0], rtol=1e-6)
