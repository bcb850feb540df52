"""Any method's loss at several widths of the student's vectors, summed.

  loss = sum_w loss(first w coordinates of each vector)

Source: Matryoshka representation learning (arXiv 2205.13147), whose weights c_m
of the widths are 1, as are those of sentence-transformers' `MatryoshkaLoss`,
which sums too. A teacher is not cut: where it is trained too, what it learns
from labels is in the sum once for each width, so `teacher` of LEAD is a weight
per width.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from prod_jax.batch import Batch
from prod_jax.methods import Method, S
from prod_jax.methods.scoring import Sources
from prod_jax.models import Encoder
from prod_jax.models.dual import DualEncoder
from prod_jax.models.matryoshka import cut
from prod_jax.train.step import Loss, LossFn, Rng


def student_of(student: Encoder, widths: Sequence[int]) -> Encoder:
  """The student as a method has to know it: cut where the widths cut it."""
  if not widths:
    return student
  assert isinstance(student, DualEncoder)  # as the stage has checked
  if tuple(widths) == (student.width,):
    return student
  return cut(student, jnp.ones(student.width, bool))


def make(
  method: Method[S],
  settings: S,
  student: DualEncoder,
  sources: Sources,
  widths: Sequence[int],
) -> LossFn:
  """The loss of a method over the first w coordinates for w in `widths`.

  There is one forward pass of each encoder: `vmap` goes over masks, on which
  nothing before an embedding depends, and so maps only what is behind it.

  Returns:
    A loss whose metrics are those at the first width, and `loss@w` of each.

  Raises:
    ConfigError: what `method.make` raises.
  """
  whole = method.make(settings, student_of(student, widths), sources)
  if student_of(student, widths) is student:
    return whole

  def loss_fn(params: Any, frozen: Any, batch: Batch, rng: Rng) -> Loss:
    def at(where_D: jax.Array) -> Loss:
      loss_at = method.make(settings, cut(student, where_D), sources)
      return loss_at(params, frozen, batch, rng)

    column_D = jnp.arange(student.width)
    where_WD = jnp.stack([column_D < width for width in widths])
    loss_W, metrics = jax.vmap(at)(where_WD)
    first = {name: values[0] for name, values in metrics.items()}
    each = {f"loss@{w}": loss_W[i] for i, w in enumerate(widths)}
    return loss_W.sum(), {**first, **each}

  return loss_fn
