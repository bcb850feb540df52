"""PairDistill's three terms, and the pairwise teacher's training."""

import jax
import numpy as np
import pytest

from prod_jax import strict
from prod_jax.methods import pair_distill, pairwise_ranking, scoring
from prod_jax.methods.scoring import Sources
from tests.methods import batches
from tests.methods.batches import B, N, batch, no_dropout, rng

DUAL, CROSS = no_dropout(batches.DUAL), no_dropout(batches.CROSS)
OFFERED = Sources(teacher="scores", beside=frozenset({"pairs"}))
Z_BN = batches.scores(5, B, N)


def log_softmax(x):
  x = x - x.max()
  return x - np.log(np.exp(x).sum())


def kl(p, q):
  return (np.exp(p) * (p - q)).sum()


def run(set_up, data, sources=OFFERED):
  params = DUAL.init(jax.random.key(2))
  loss_fn = pair_distill.make(set_up, DUAL, sources)
  return jax.jit(loss_fn)(params, {}, data, rng())


def scores(data, in_batch):
  params = DUAL.init(jax.random.key(2))
  return np.array(
    jax.jit(lambda x: scoring.score(DUAL, params, x, in_batch=in_batch))(data)
  )


def test_the_sum_of_the_three_terms_is_the_written_formula():
  tau, alpha, weight = 2.0, 0.5, 3.0
  data = batch(list_scores_BN=Z_BN, **batches.preferences())
  set_up = pair_distill.Settings(
    temperature=tau, teacher_scale=alpha, pairs=weight
  )
  loss, metrics = run(set_up, data)
  s_BN, s_BP = scores(data, False), scores(data, True)
  point, pairs, in_batch = 0.0, [], 0.0
  for b in range(B):
    there = data.where_BN[b]
    point += kl(
      log_softmax(alpha * Z_BN[b][there]), log_softmax(s_BN[b][there] / tau)
    )
    for i, j, p in zip(
      data.first_BJ[b], data.second_BJ[b], data.prefer_BJ[b], strict=True
    ):
      if i >= 0:
        ours = log_softmax(s_BN[b][[i, j]] / tau)
        pairs.append(kl(np.log([p, 1 - p]), ours))
    relevant = {*data.positive_id_BM[b].tolist()} - {-1}
    ids = data.passage_id_BN.reshape(-1)
    columns = [b * N] + [
      c
      for c in range(B * N)
      if c // N != b and ids[c] >= 0 and ids[c] not in relevant
    ]
    in_batch -= log_softmax(s_BP[b][columns])[0]
  wanted = {"kd": point / B, "pair": np.mean(pairs), "in_batch": in_batch / B}
  assert len(pairs) == 2 * B - 3
  for name, value in wanted.items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-4, atol=1e-6)
  total = wanted["kd"] + weight * wanted["pair"] + wanted["in_batch"]
  np.testing.assert_allclose(loss, total, rtol=1e-4)


def test_no_pair_in_the_whole_batch_is_no_loss_and_a_finite_gradient():
  none = {
    "first_BJ": np.full((B, 2), -1, np.int32),
    "second_BJ": np.full((B, 2), -1, np.int32),
    "prefer_BJ": np.zeros((B, 2), np.float32),
  }
  data = batch(list_scores_BN=Z_BN, **none)
  loss_fn = pair_distill.make(pair_distill.Settings(), DUAL, OFFERED)
  (_, metrics), grads = jax.jit(
    jax.value_and_grad(lambda p, x: loss_fn(p, {}, x, rng()), has_aux=True)
  )(DUAL.init(jax.random.key(2)), data)
  assert float(metrics["pair"]) == 0
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


@pytest.mark.parametrize(
  ("sources", "message"),
  [
    (Sources(beside=frozenset({"pairs"})), "needs a teacher"),
    (Sources(teacher="scores"), "needs a pairwise teacher"),
  ],
)
def test_a_term_without_a_source_is_an_error(sources, message):
  with pytest.raises(strict.ConfigError, match=message):
    pair_distill.make(pair_distill.Settings(), DUAL, sources)


def test_the_pairwise_teacher_learns_both_orders_and_no_padding():
  params = CROSS.init(jax.random.key(2))
  data = batch(**batches.triples())
  loss_fn = pairwise_ranking.make(pairwise_ranking.Settings(), CROSS, Sources())
  loss, metrics = jax.jit(loss_fn)(params, {}, data, rng())
  z_BJ2 = np.array(jax.jit(lambda x: CROSS.score(params, x)[0])(data.triple))
  right = (z_BJ2 * [1, -1])[data.where_BJ]
  np.testing.assert_allclose(loss, np.log1p(np.exp(-right)).mean(), rtol=1e-5)
  np.testing.assert_allclose(metrics["accuracy"], (right > 0).mean(), rtol=1e-5)
