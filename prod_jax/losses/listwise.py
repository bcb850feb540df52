"""Losses that compare two distributions over one list of candidates.

The contract, shared by all losses of this room but those of `preference`:

  loss(student, teacher, *, where=None, ...) -> float32 [...], one number a
  query; whoever calls it reduces over queries.

Scores are `[..., N]`. A column where `where` is False counts as deleted: what
it holds, inf and NaN included, reaches neither value nor gradient. A NaN in
any other column stays visible. A row without columns is 0 with zero gradient.

Scores come in any float type and are cast to float32 first: bfloat16 keeps 8
bits, and a softmax over thousands of columns adds terms smaller than that.

No loss cuts a gradient. Some methods train the teacher through its scores;
the others apply `stop_gradient` where the teacher's scores are made.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int

PROBABILITY_EPSILON = 1e-7  # of PROD's code; keeps log finite at q = 0


@jax.named_scope("kl")
def kl(
  student: Float[Array, "*B N"],
  teacher: Float[Array, "*B N"],
  *,
  where: Bool[Array, "*B N"] | None = None,
  student_temperature: float = 1.0,
  teacher_temperature: float = 1.0,
  scale: float = 1.0,
) -> Float32[Array, "*B"]:
  """Divergence of the student's distribution from the teacher's.

      scale * KL(p || q),  p = softmax(teacher / Tt),  q = softmax(student / Ts)

  with 0 log 0 = 0. The gradient with respect to the student's scores is
  `scale / Ts * (q - p)`, so at Ts = Tt = T a `scale` of T^2 keeps its size
  when T changes (Hinton et al., arXiv 1503.02531, section 2).

    | use                          | Ts  | Tt        | scale |
    |------------------------------|-----|-----------|-------|
    | PROD, soft labels and LwF    | T   | T         | T^2   |
    | LEAD                         | 1   | T         | 1     |
    | CL-DRD's code, KLDiv         | T   | T         | 1     |
    | PairDistill, pointwise term  | tau | 1 / alpha | 1     |

  Source: PROD (arXiv 2209.13335), `CrossBERTKDLoss.kd_loss` of its code, where
  the mean over queries is taken inside. For LwF the teacher is the student as
  the stage began.

  Args:
    student: scores of the model that learns.
    teacher: scores of the model that is learnt from, in units of their own.
    where: False on columns that do not count.
    student_temperature: Ts > 0, a divisor of the student's scores.
    teacher_temperature: Tt > 0, a divisor of the teacher's scores.
    scale: factor of the result. No T^2 is in unless it is given here.

  Returns:
    The loss of each query in nats times `scale`, at least 0 up to rounding.

  >>> s = jnp.array([[2.0, 1.0, 0.0], [0.5, 1.5, -1.0]])
  >>> z = jnp.array([[3.0, 0.0, -1.0], [2.0, 1.0, 0.0]])
  >>> T = 4.0
  >>> kd = kl(
  ...   s, z, student_temperature=T, teacher_temperature=T, scale=T**2
  ... )
  >>> round(float(kd.mean()), 4)
  0.4462
  >>> o = jnp.array([[1.0, 1.0, 0.0], [1.0, 0.0, -1.0]])
  >>> lwf = kl(
  ...   s, o, student_temperature=T, teacher_temperature=T, scale=T**2
  ... )
  >>> round(float(lwf.mean()), 4)
  0.2559
  """
  log_p = _log_softmax(teacher, teacher_temperature, where)
  log_q = _log_softmax(student, student_temperature, where)
  p = jnp.exp(log_p)
  absent = p == 0  # where both logs may be -inf, and 0 * (inf - inf) is NaN
  log_ratio = jnp.where(absent, 0.0, log_p) - jnp.where(absent, 0.0, log_q)
  return scale * jnp.sum(p * log_ratio, axis=-1)


@jax.named_scope("dkd")
def dkd(
  student: Float[Array, "*B N"],
  teacher: Float[Array, "*B N"],
  *,
  target: Int[Array, "*B"],
  alpha: float,
  beta: float,
  temperature: float,
  where: Bool[Array, "*B N"] | None = None,
) -> Float32[Array, "*B"]:
  """Decoupled KL: the target against the rest, and the rest by itself.

      T^2 * (alpha * TCKD + beta * NCKD)
      TCKD = KL([p_t, 1 - p_t] || [q_t, 1 - q_t]),  t the target column
      NCKD = KL(softmax(z / T) || softmax(s / T)) over the columns but t

  with p = softmax(z / T), q = softmax(s / T), z the teacher's and s the
  student's scores. With alpha = 1 and beta = 1 - p_t it is T^2 KL(p || q).

  Source: Zhao et al. (arXiv 2203.08679); PROD's `KD_type` DKD,
  `CrossBERTKDLoss.dkd_loss` of its code, is the mean over queries of this.
  In another form than there: 1 - p_t stays a logit, the logsumexp of the rest,
  so that a sure model costs no log 0, and the target is masked, not lowered by
  1000, so that scores in the thousands are right too.

  Args:
    student: scores of the model that learns.
    teacher: scores of the model that is learnt from.
    target: column of the positive, 0 <= target < N.
    alpha, beta: weights of TCKD and NCKD.
    temperature: T > 0, a divisor of both scores. T^2 is in the result.
    where: False on columns that do not count. TCKD needs both its sides.

  Returns:
    The loss of each query in nats times T^2.

  >>> s = jnp.array([[2.0, 1.0, 0.0], [0.5, 1.5, -1.0]])
  >>> z = jnp.array([[3.0, 0.0, -1.0], [2.0, 1.0, 0.0]])
  >>> target = jnp.array([0, 0])
  >>> loss = dkd(s, z, target=target, alpha=1.0, beta=8.0, temperature=4.0)
  >>> round(float(loss.mean()), 4)
  1.452
  """
  if where is None:
    where = jnp.ones(student.shape, bool)
  is_target = jax.nn.one_hot(target, student.shape[-1], dtype=bool)
  sides = (where & is_target, where & ~is_target)
  target_kl = kl(
    _logits(student, temperature, sides),
    _logits(teacher, temperature, sides),
    where=jnp.stack([side.any(-1) for side in sides], axis=-1),
  )
  rest_kl = kl(
    student,
    teacher,
    where=sides[1],
    student_temperature=temperature,
    teacher_temperature=temperature,
  )
  return temperature**2 * (alpha * target_kl + beta * rest_kl)


@jax.named_scope("probability")
def probability(
  student: Float[Array, "*B N"],
  teacher: Float[Array, "*B N"],
  *,
  temperature: float,
  where: Bool[Array, "*B N"] | None = None,
) -> Float32[Array, "*B"]:
  """Cross-entropy of the student under the teacher's softened distribution.

      -sum_j softmax(z / T)_j * log(softmax(s)_j + 1e-7)

  Only the teacher's scores z are divided by T, and no T^2 is in. The smallest
  value is about the entropy of the teacher, not 0. The epsilon bounds what one
  column can cost by 16.1 nats, and fades the gradient of columns whose student
  probability is far below it.

  Source: PROD's `KD_type` prob_loss, in `CrossBERTKDLoss.calc` of its code
  (arXiv 2209.13335); it is the mean over queries of this.

  Args:
    student: scores s of the model that learns.
    teacher: scores z of the model that is learnt from.
    temperature: T > 0, a divisor of the teacher's scores.
    where: False on columns that do not count.

  Returns:
    The loss of each query in nats.

  >>> s = jnp.array([[2.0, 1.0, 0.0], [0.5, 1.5, -1.0]])
  >>> z = jnp.array([[3.0, 0.0, -1.0], [2.0, 1.0, 0.0]])
  >>> round(float(probability(s, z, temperature=4.0).mean()), 4)
  1.2453
  """
  p = jnp.exp(_log_softmax(teacher, temperature, where))
  q = jnp.exp(_log_softmax(student, 1.0, where))
  return -jnp.sum(p * jnp.log(q + PROBABILITY_EPSILON), axis=-1)


def _log_softmax(
  scores: Float[Array, "*B N"],
  temperature: float,
  where: Bool[Array, "*B N"] | None,
) -> Float32[Array, "*B N"]:
  """Log-probabilities, -inf where deleted."""
  return jax.nn.log_softmax(
    scores.astype(jnp.float32) / temperature, where=where
  )


def _logits(
  scores: Float[Array, "*B N"],
  temperature: float,
  sides: tuple[Bool[Array, "*B N"], Bool[Array, "*B N"]],
) -> Float32[Array, "*B 2"]:
  """One logit for each set of columns; their softmax is the sets' mass."""
  scores = scores.astype(jnp.float32) / temperature
  return jnp.stack(
    [jax.nn.logsumexp(scores, axis=-1, where=side) for side in sides], axis=-1
  )
