"""Worked totals of the methods, from their written formulas in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from prod_jax.losses import contrastive, listwise
from prod_jax.methods import pair_distill
from tests.methods.batches import batch

S = jnp.array([[2.0, 1.0, 0.0], [0.5, 1.5, -1.0]])
Z = jnp.array([[3.0, 0.0, -1.0], [2.0, 1.0, 0.0]])
O = jnp.array([[1.0, 1.0, 0.0], [1.0, 0.0, -1.0]])  # noqa: E741
FIRST = jnp.zeros(2, jnp.int32)


def kd(student, teacher, T=4.0):
  return listwise.kl(
    student,
    teacher,
    student_temperature=T,
    teacher_temperature=T,
    scale=T * T,
  ).mean()


def test_a_stage_of_prod():
  ce = contrastive.cross_entropy(S, FIRST).mean()
  total = 0.1 * ce + 0.9 * kd(S, Z)
  np.testing.assert_allclose(total, 0.4905426111, rtol=1e-5)
  np.testing.assert_allclose(total + kd(S, O), 0.7464295338, rtol=1e-5)
  np.testing.assert_allclose(kd(S, S), 0, atol=1e-7)
  np.testing.assert_allclose(kd(S, Z, T=1.0), 0.3218310016, rtol=1e-5)


def test_several_teachers_as_one_are_the_mean_of_their_distributions():
  """The official `MultiTeacherLoss`, as a teacher whose scores are log p.

  Its `UniKDLoss` is not to be had: it takes a probability for its logarithm,
  so that its weight is below 0 for good teachers.
  """
  teachers = jnp.array([[2.0, 1, 0], [3.0, 1, 0], [5.0, 0, -1]])
  mean = jax.nn.softmax(teachers / 4).mean(axis=0)
  found = kd(jnp.array([[1.0, 1.0, 0.0]]), 4 * jnp.log(mean)[None])
  np.testing.assert_allclose(found, 0.8608941856, rtol=1e-5)
  p = jax.nn.softmax(teachers)[:, 0]
  np.testing.assert_allclose(1 / (0.1 - p.mean()), -1.3636963893, rtol=1e-5)


def test_kl_without_the_square_of_the_temperature():
  """CL-DRD's KLDiv at T = 1, and the first layer's label loss in LEAD."""
  s = jnp.array([[2.0, 1, 1], [3.0, 1.5, 2.5]])
  z = jnp.array([[2.5, 1.5, 2], [3.0, 2, 2.5]])
  np.testing.assert_allclose(listwise.kl(s, z).mean(), 0.0208978912, rtol=1e-4)
  layer = jnp.array([[2.0, 0, 1], [0.0, 1, 0]])
  nll = contrastive.cross_entropy(layer, jnp.array([0, 1])).mean()
  np.testing.assert_allclose(nll, 0.4795253392, rtol=1e-5)


def test_the_in_batch_term_of_pairdistill():
  """Two queries of two passages; a query's own negative does not count."""
  ids = jnp.array([[10, 11], [20, 21]])
  two = batch()._replace(passage_id_BN=ids, positive_id_BM=ids[:, :1])
  target_B, where_BP = pair_distill.others_columns(two)
  s_BP = jnp.array([[5.0, 99, 2, 0], [1.0, 0, 4, 99]])
  found = contrastive.cross_entropy(s_BP, target_B, where=where_BP).mean()
  np.testing.assert_allclose(found, 0.0604345696, rtol=1e-5)
