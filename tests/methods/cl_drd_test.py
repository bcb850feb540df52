"""CL-DRD: labels of groups, and the pooled loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax import strict
from prod_jax.methods import cl_drd, scoring
from prod_jax.methods.scoring import Sources
from tests.methods.batches import DUAL, B, N, batch, no_dropout, rng

OFFERED = Sources(teacher="scores", ranking_groups=2)


def test_labels_are_reciprocal_ranks_and_then_those_of_the_groups():
  ranking_group_BN = np.array(
    [[0, 0, 0, 1, 1, 2], [0, 0, 0, 0, 0, 0]], np.int32
  )
  label_BN = cl_drd.pseudo_labels(
    cl_drd.Settings(), jnp.asarray(ranking_group_BN)
  )
  np.testing.assert_allclose(
    label_BN,
    [[1, 1 / 2, 1 / 3, -0.25, -0.25, -0.5], [1 / i for i in range(1, 7)]],
    rtol=1e-6,
  )


def test_the_loss_pools_the_pairs_of_all_queries():
  """A query with more pairs weighs more; padding has none."""
  ranking_group_BN = np.tile(np.array([0, 0, 1], np.int32), (B, 1))
  data = batch(ranking_group_BN=ranking_group_BN)
  model = no_dropout(DUAL)
  params = model.init(jax.random.key(2))
  loss_fn = cl_drd.make(cl_drd.Settings(), model, OFFERED)
  loss, metrics = jax.jit(loss_fn)(params, {}, data, rng())
  s_BN = np.array(
    jax.jit(lambda x: scoring.score(model, params, x, in_batch=False))(data)
  )
  labels, terms = [1.0, 0.5, -0.25], []
  for s, there in zip(s_BN, data.where_BN, strict=True):
    rank = {j: 1 for j in range(N)}
    for j in range(N):
      rank[j] += sum(there[i] and s[i] > s[j] for i in range(N))
    terms += [
      np.log1p(np.exp(-(s[i] - s[j]))) * abs(1 / rank[i] - 1 / rank[j])
      for i in range(N)
      for j in range(N)
      if there[i] and there[j] and labels[i] > labels[j]
    ]
  assert len(terms) == 3 * B - 2  # batch() has one column of padding
  np.testing.assert_allclose(loss, np.mean(terms), rtol=1e-4)
  np.testing.assert_allclose(metrics["pairs"], len(terms) / B, rtol=1e-6)


@pytest.mark.parametrize("labels", [(-0.5, -0.25), (0.0,), (-0.5, -0.5)])
def test_labels_that_do_not_fall_are_an_error(labels):
  with pytest.raises(strict.ConfigError, match="they fall"):
    cl_drd.Settings(labels=labels)


@pytest.mark.parametrize(
  ("sources", "message"),
  [
    (Sources(teacher="scores"), 'set sampling="groups"'),
    (OFFERED._replace(ranking_groups=4), "4 groups are drawn"),
  ],
)
def test_without_groups_or_their_labels_it_is_an_error(sources, message):
  with pytest.raises(strict.ConfigError, match=message):
    cl_drd.make(cl_drd.Settings(), DUAL, sources)
