"""Losses on the order of two candidates at a time.

Their mean is over all pairs of the batch, so that a query with more pairs
weighs more, as in the code of both sources. They return sums and counts, and
`pooled` makes the mean.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, Bool, Float, Float32, Int


class PairSums(NamedTuple):
  """Sums over the pairs of each query, and how many pairs there are."""

  total: Float32[Array, "*B"]
  pairs: Float32[Array, "*B"]


def pooled(sums: PairSums) -> Float32[Array, ""]:
  """Mean over all pairs of the batch, 0 without any.

  >>> sums = PairSums(jnp.array([1.0, 5.0]), jnp.array([1.0, 3.0]))
  >>> float(pooled(sums))
  1.5
  """
  return jnp.sum(sums.total) / jnp.maximum(jnp.sum(sums.pairs), 1.0)


@jax.named_scope("lambda_rank")
def lambda_rank(
  student: Float[Array, "*B N"],
  label: Float[Array, "*B N"],
  *,
  where: Bool[Array, "*B N"] | None = None,
) -> PairSums:
  """Logistic loss of misordered pairs, weighted by reciprocal ranks.

      sum over i, j with y_i > y_j of
        log(1 + exp(-(s_i - s_j))) * |1 / r_i - 1 / r_j|

  r is the 1-based rank of a column by the student's own scores, ties in the
  order of the columns; the weights are constants. Only the order of the labels
  counts, and every number is a label.

  Source: CL-DRD (arXiv 2204.13679), `losses/lambda_rank.py` of its code.
  Deviation: there a label of -1 means padding, and padding can turn gradients
  to NaN; here `where` says what is padding.

  Args:
    student: scores s of the model that learns.
    label: pseudo-labels y.
    where: False on columns that do not count.

  Returns:
    Sums in nats times reciprocal ranks.

  >>> s = jnp.array([[1.0, 2.0, 0.5, 1.5]])
  >>> y = jnp.array([[1.0, 0.5, -0.25, -0.5]])
  >>> sums = lambda_rank(s, y)
  >>> round(float(pooled(sums)), 4), float(sums.pairs[0])
  (0.299, 6.0)
  """
  if where is None:
    where = jnp.ones(student.shape, bool)
  s = jnp.where(where, student.astype(jnp.float32), 0.0)
  order = jnp.argsort(jnp.where(where, -s, jnp.inf), axis=-1, stable=True)
  rank = 1.0 + jnp.argsort(order, axis=-1)
  weight = jnp.abs(1 / rank[..., :, None] - 1 / rank[..., None, :])
  is_pair = label[..., :, None] > label[..., None, :]
  is_pair &= where[..., :, None] & where[..., None, :]
  # softplus, because exp overflows where a pair is far out of order.
  loss = jax.nn.softplus(s[..., None, :] - s[..., :, None])
  total = jnp.sum(loss * weight, axis=(-2, -1), where=is_pair)
  count = jnp.sum(is_pair, axis=(-2, -1), dtype=jnp.float32)
  return PairSums(total, count)


@jax.named_scope("preference_kl")
def preference_kl(
  student: Float[Array, "*B N"],
  one: Int[Array, "*B J"],
  other: Int[Array, "*B J"],
  prefer: Float[Array, "*B J"],
  *,
  temperature: float = 1.0,
) -> PairSums:
  """Divergence of the student's preferences from a pairwise teacher's.

      sum over pairs (i, j, p) of KL([p, 1 - p] || softmax([s_i, s_j] / T))

  with 0 log 0 = 0. It is 0 where sigmoid((s_i - s_j) / T) = p.

  Source: PairDistill (arXiv 2410.01383), `training.py` of its code, which
  loops over the pairs.

  Args:
    student: scores s of the model that learns.
    one, other: columns i and j, -1 on padding.
    prefer: p, the probability that i is the better one.
    temperature: T > 0, a divisor of the student's scores. No T^2 is in.

  Returns:
    Sums in nats.

  >>> s = jnp.array([[3.0, 2.0, 1.0]])
  >>> i, j = jnp.array([[0, 1, 0]]), jnp.array([[1, 2, 2]])
  >>> p = jnp.array([[0.9, 0.6, 0.99]])
  >>> round(float(pooled(preference_kl(s, i, j, p))), 4)
  0.0731
  """
  there = (one >= 0) & (other >= 0)
  s_one, s_other = (
    jnp.take_along_axis(
      student.astype(jnp.float32), jnp.maximum(column, 0), axis=-1
    )
    for column in (one, other)
  )
  logit = jnp.where(there, s_one - s_other, 0.0) / temperature
  p = jnp.where(there, prefer.astype(jnp.float32), 0.5)
  cross_entropy = -(
    p * jax.nn.log_sigmoid(logit) + (1 - p) * jax.nn.log_sigmoid(-logit)
  )
  loss = cross_entropy + xlogy(p, p) + xlogy(1 - p, 1 - p)
  return PairSums(
    jnp.sum(loss, axis=-1, where=there),
    jnp.sum(there, axis=-1, dtype=jnp.float32),
  )
