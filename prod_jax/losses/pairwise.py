"""Losses on score differences, without a softmax.

They compare the scores themselves, so the student has to reach the teacher's
scale. The contract of `listwise` holds: `[..., N]` scores to float32 `[...]`,
masked columns as if deleted, no gradient cut.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32


@jax.named_scope("logit_mse")
def logit_mse(
  student: Float[Array, "*B N"],
  teacher: Float[Array, "*B N"],
  *,
  where: Bool[Array, "*B N"] | None = None,
) -> Float32[Array, "*B"]:
  """Half the mean squared difference of student and teacher scores.

      1/2 * mean_j (s_j - z_j)^2

  It has no temperature. For scores centred in each row, T^2 KL at equal
  temperatures tends to it as T grows (arXiv 1503.02531, section 2.1).

  Source: PROD's `KD_type` KD_logit, `CrossBERTKDLoss.kd_loss` of its code
  (arXiv 2209.13335). Deviation: the code has no masks and takes one mean over
  all queries and columns. Here each query is averaged over its own columns, so
  that a short list weighs as much as a long one; lists of one length agree.

  Args:
    student: scores s of the model that learns.
    teacher: scores z of the model that is learnt from, in the same units.
    where: False on columns that do not count.

  Returns:
    The loss of each query in squared score units.

  >>> s = jnp.array([[2.0, 1.0, 0.0], [0.5, 1.5, -1.0]])
  >>> z = jnp.array([[3.0, 0.0, -1.0], [2.0, 1.0, 0.0]])
  >>> round(float(logit_mse(s, z).mean()), 4)
  0.5417
  """
  if where is None:
    where = jnp.ones(student.shape, bool)
  difference = _difference(student, teacher, where)
  return 0.5 * _mean(difference**2, where)


@jax.named_scope("margin_mse")
def margin_mse(
  student: Float[Array, "*B N"],
  teacher: Float[Array, "*B N"],
  *,
  where: Bool[Array, "*B N"] | None = None,
) -> Float32[Array, "*B"]:
  """Mean squared difference of the margins of the positive, column 0.

      mean_{j > 0} ((s_0 - s_j) - (z_0 - z_j))^2

  Source: Hofstätter et al. (arXiv 2010.02666), where a query has one negative
  in each training triple. Deviation: the mean over a query's own negatives
  comes first, so that all queries weigh the same. The loss of that name in
  CL-DRD's code averages over all N^2 column pairs and is not this one.

  Args:
    student: scores s of the model that learns.
    teacher: scores z of the model that is learnt from, in the same units.
    where: False on columns that do not count. A row is 0 where its positive or
      all its negatives are deleted.

  Returns:
    The loss of each query in squared score units.

  >>> s = jnp.array([[2.0, 1.0], [3.0, 1.5]])
  >>> z = jnp.array([[2.5, 1.5], [3.0, 2.0]])
  >>> margin_mse(s, z).tolist()
  [0.0, 0.25]
  """
  if where is None:
    where = jnp.ones(student.shape, bool)
  difference = _difference(student, teacher, where)
  margin = difference[..., :1] - difference[..., 1:]
  return _mean(margin**2, where[..., :1] & where[..., 1:])


@jax.named_scope("margin_mse_all")
def margin_mse_all(
  student: Float[Array, "*B N"],
  teacher: Float[Array, "*B N"],
  *,
  where: Bool[Array, "*B N"] | None = None,
) -> Float32[Array, "*B"]:
  """Mean squared difference of the margins of all ordered pairs of columns.

      mean_{i, j} ((s_i - s_j) - (z_i - z_j))^2

  over all N^2 pairs, those of a column with itself included. That is twice
  the variance of s - z over the columns, which is how it is computed.

  Source: `losses/margin_mse.py` of CL-DRD's code (arXiv 2204.13679).

  Args:
    student: scores s of the model that learns.
    teacher: scores z of the model that is learnt from, in the same units.
    where: False on columns that do not count.

  Returns:
    The loss of each query in squared score units.

  >>> s = jnp.array([[2.0, 1.0, 1.0], [3.0, 1.5, 2.5]])
  >>> z = jnp.array([[2.5, 1.5, 2.0], [3.0, 2.0, 2.5]])
  >>> round(float(margin_mse_all(s, z).mean()), 4)
  0.1111
  """
  if where is None:
    where = jnp.ones(student.shape, bool)
  difference = _difference(student, teacher, where)
  centred = difference - _mean(difference, where)[..., None]
  return 2 * _mean(centred**2, where)


def _difference(
  student: Float[Array, "*B N"],
  teacher: Float[Array, "*B N"],
  where: Bool[Array, "*B N"],
) -> Float32[Array, "*B N"]:
  """Student minus teacher, 0 where deleted."""
  student = jnp.where(where, student.astype(jnp.float32), 0.0)
  teacher = jnp.where(where, teacher.astype(jnp.float32), 0.0)
  return student - teacher


def _mean(
  x: Float32[Array, "*B N"], where: Bool[Array, "*B N"]
) -> Float32[Array, "*B"]:
  """Mean over the columns that count, 0 without any."""
  count = jnp.sum(where, axis=-1)
  return jnp.sum(x, axis=-1, where=where) / jnp.maximum(count, 1)
