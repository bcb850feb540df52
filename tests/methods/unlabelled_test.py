"""Queries without labels in a batch: terms of the label are 0 there."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax import strict
from prod_jax.losses import contrastive
from prod_jax.methods import (
  adam,
  cl_drd,
  lead,
  margin_mse,
  pair_distill,
  prod,
  ranking,
  rocketqa_v2,
  scoring,
)
from prod_jax.methods.scoring import Sources
from tests.methods.batches import (
  CROSS,
  DUAL,
  B,
  N,
  batch,
  no_dropout,
  preferences,
  rng,
  scores,
)

BARE = np.array([1, 3, 6])  # queries without labels
MODEL = no_dropout(DUAL)
CACHED = Sources(teacher="scores", beside=frozenset({"pairs"}))


def params():
  return MODEL.init(jax.random.key(2))


def mixed(**cached):
  """A batch with labels throughout, and the same without some of them."""
  whole = jax.tree.map(
    jnp.asarray, batch(list_scores_BN=scores(3, B, N), **cached)
  )
  positives = whole.positive_id_BM.at[BARE].set(-1)
  return whole, whole._replace(positive_id_BM=positives)


def without_any(data):
  return data._replace(positive_id_BM=jnp.full_like(data.positive_id_BM, -1))


def loss_of(method, settings, data, sources=CACHED):
  made = method.make(settings, MODEL, sources)
  step = jax.jit(jax.value_and_grad(made, has_aux=True))
  (loss, metrics), gradient = step(params(), {}, data, rng())
  assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(gradient))
  return float(loss), {name: float(x) for name, x in metrics.items()}


@functools.partial(jax.jit, static_argnames="in_batch")
def cross_entropies(data, *, in_batch):
  s = scoring.score(MODEL, params(), data, in_batch=in_batch)
  columns = scoring.columns(data, in_batch=in_batch)
  return contrastive.cross_entropy(s, columns.target_B, where=columns.where_BX)


@pytest.mark.parametrize("in_batch", [False, True])
def test_they_have_no_cross_entropy_and_others_keep_theirs(in_batch):
  whole, some = mixed()
  before = cross_entropies(whole, in_batch=in_batch)
  after = cross_entropies(some, in_batch=in_batch)
  there = np.setdiff1d(np.arange(B), BARE)
  np.testing.assert_array_equal(after[BARE], 0)
  np.testing.assert_array_equal(after[there], before[there])
  assert (np.asarray(before) > 0).all()


def test_no_passage_of_the_batch_is_masked_for_them():
  _, some = mixed()
  where = scoring.columns(some, in_batch=True).where_BX
  passages = some.passage_id_BN.reshape(-1) >= 0
  np.testing.assert_array_equal(where[BARE], np.tile(passages, (len(BARE), 1)))


def test_of_prod_what_is_left_is_the_teacher():
  whole, some = mixed()
  settings = prod.Settings(in_batch=False, temperature=4.0, hard=0.1, soft=0.9)
  loss, metrics = loss_of(prod, settings, whole)
  less, of_some = loss_of(prod, settings, some)
  ce_B = cross_entropies(whole, in_batch=False)
  wanted = loss - 0.1 * float(ce_B[BARE].sum()) / B
  assert less == pytest.approx(wanted, rel=1e-5)
  assert of_some["kd"] == metrics["kd"] > 0
  assert of_some["ce"] < metrics["ce"]


def test_column_0_is_a_candidate_as_the_others():
  """Exchanged with another one, teacher's scores and all, nothing changes."""
  _, some = mixed()
  bare = without_any(some)
  order = np.array([1, 0, 2])
  moved = bare._replace(
    passage=jax.tree.map(lambda x: x[:, order], bare.passage),
    where_BN=bare.where_BN[:, order],
    passage_id_BN=bare.passage_id_BN[:, order],
    list_scores_BN=bare.list_scores_BN[:, order],
  )
  settings = prod.Settings(in_batch=False, temperature=4.0, hard=0.5, soft=0.5)
  first, _ = loss_of(prod, settings, bare)
  second, _ = loss_of(prod, settings, moved)
  assert first == pytest.approx(second, rel=1e-5)
  all_pairs = margin_mse.Settings(margins="all")
  first, _ = loss_of(margin_mse, all_pairs, bare)
  second, _ = loss_of(margin_mse, all_pairs, moved)
  assert first == pytest.approx(second, rel=1e-5)


def test_the_in_batch_term_of_pair_distill_is_0_without_labels():
  _, some = mixed(**preferences())
  bare = without_any(some)
  _, metrics = loss_of(pair_distill, pair_distill.Settings(), bare)
  assert metrics["in_batch"] == 0 and metrics["kd"] > 0 and metrics["pair"] > 0


def log_softmax(x):
  return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def test_a_cross_encoder_learns_from_a_teacher_where_labels_lack():
  _, some = mixed()
  model = no_dropout(CROSS)
  own = model.init(jax.random.key(4))
  hard, soft, T = 0.25, 0.75, 2.0
  made = ranking.make(
    ranking.Settings(hard=hard, soft=soft, temperature=T),
    model,
    Sources(teacher="scores"),
  )
  loss, metrics = jax.jit(made)(own, {}, some, rng())
  s, _ = jax.jit(model.score)(own, some.pair)
  wanted = {"ce": 0.0, "kd": 0.0}
  for query in range(B):
    there = np.asarray(some.where_BN[query])
    s_n, z_n = (
      np.asarray(x[query], np.float64)[there] for x in (s, some.list_scores_BN)
    )
    p, log_p, log_q = (
      np.exp(log_softmax(z_n / T)),
      log_softmax(z_n / T),
      log_softmax(s_n / T),
    )
    wanted["kd"] += T * T * (p * (log_p - log_q)).sum() / B
    if query not in BARE:
      wanted["ce"] -= log_softmax(s_n)[0] / B
  assert float(metrics["ce"]) == pytest.approx(wanted["ce"], rel=1e-4)
  assert float(metrics["kd"]) == pytest.approx(wanted["kd"], rel=1e-4)
  both = hard * wanted["ce"] + soft * wanted["kd"]
  assert float(loss) == pytest.approx(both, rel=1e-4)


def test_without_a_teacher_a_weight_for_it_is_an_error():
  with pytest.raises(strict.ConfigError, match="ranking: it needs a teacher"):
    ranking.make(ranking.Settings(soft=0.5), CROSS, Sources())


@pytest.mark.parametrize(
  ("method", "settings", "learns"),
  [
    (prod, dict(in_batch=False, temperature=1.0, hard=0.1, soft=0.9), True),
    (prod, dict(in_batch=False, temperature=1.0, hard=1.0, soft=0.0), False),
    (
      prod,
      dict(in_batch=False, temperature=1.0, hard=0.0, soft=1.0, kd="dkd"),
      False,
    ),
    (lead, dict(in_batch=False), True),
    (cl_drd, {}, True),
    (pair_distill, {}, True),
    (margin_mse, dict(margins="all"), True),
    (margin_mse, {}, False),
    (ranking, {}, False),
    (ranking, dict(soft=0.5), True),
  ],
)
def test_which_methods_learn_from_them(method, settings, learns):
  made = method.Settings(**settings)
  assert method.learns_unlabelled(made) is learns


@pytest.mark.parametrize("method", [adam, rocketqa_v2])
def test_which_methods_never_do(method):
  assert not hasattr(method, "learns_unlabelled")
