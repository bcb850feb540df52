"""PROD's stage loss."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prod_jax import strict
from prod_jax.methods import prod, scoring
from prod_jax.methods.scoring import Sources
from tests.methods.batches import (
  CROSS,
  DUAL,
  LATE,
  B,
  N,
  batch,
  no_dropout,
  rng,
)
from tests.methods.batches import scores as random_scores

IN_STEP = Sources(teacher="step", beside=frozenset({"anchor"}))
EMBEDDED = Sources(teacher="embeddings", width=16)
CACHED = Sources(teacher="scores", beside=frozenset({"anchor"}))


def settings(**changes):
  fields = dict(in_batch=False, temperature=4.0, hard=0.1, soft=0.9, lwf=1.0)
  return prod.Settings(**{**fields, **changes})


def student():
  return DUAL.init(jax.random.key(2))


def log_softmax(x):
  x = x - x.max()
  return x - np.log(np.exp(x).sum())


def kl(teacher, student, T):
  p, q = log_softmax(teacher / T), log_softmax(student / T)
  return T * T * (np.exp(p) * (p - q)).sum()


def run(
  set_up,
  model=DUAL,
  teacher=None,
  frozen=None,
  data=None,
  params=None,
  sources=CACHED,
):
  if teacher is not None:
    sources = sources._replace(teacher="step", model=teacher)
  if not set_up.lwf:
    sources = sources._replace(beside=sources.beside - {"anchor"})
  loss_fn = prod.make(set_up, no_dropout(model), sources)
  params = student() if params is None else params
  return jax.jit(loss_fn)(params, frozen or {}, data, rng())


def scores(model, params, data):
  """Own-list scores, without dropout."""
  model = no_dropout(model)
  return np.array(
    jax.jit(lambda p, x: scoring.score(model, p, x, in_batch=False))(
      params, data
    )
  )


def test_the_sum_of_the_three_terms_is_the_written_formula():
  draw = np.random.default_rng(5)
  z_BN = draw.normal(size=(B, N)).astype(np.float32)
  o_BN = draw.normal(size=(B, N)).astype(np.float32)
  data = batch(list_scores_BN=z_BN, anchor_BN=o_BN)
  loss, metrics = run(settings(), data=data)
  s_BN = scores(DUAL, student(), data)
  terms = np.zeros(3)
  for b in range(B):
    there = data.where_BN[b]
    s, z, o = s_BN[b][there], z_BN[b][there], o_BN[b][there]
    terms += [-log_softmax(s)[0], kl(z, s, 4.0), kl(o, s, 4.0)]
  ce, kd, lwf = terms / B
  found = [metrics["ce"], metrics["kd"], metrics["lwf"]]
  np.testing.assert_allclose(found, [ce, kd, lwf], rtol=1e-4)
  np.testing.assert_allclose(loss, 0.1 * ce + 0.9 * kd + lwf, rtol=1e-4)


@pytest.mark.parametrize("teacher", [DUAL, CROSS], ids=["dual", "cross"])
def test_cached_scores_and_a_teacher_in_the_step_give_the_same_loss(teacher):
  teacher = no_dropout(teacher)
  params = teacher.init(jax.random.key(9))
  cached = scores(teacher, params, batch())
  anchor = scores(DUAL, student(), batch())
  in_step, _ = run(
    settings(),
    teacher=teacher,
    frozen={"teacher": params, "anchor": student()},
    data=batch(),
    params=DUAL.init(jax.random.key(3)),
  )
  read, _ = run(
    settings(),
    data=batch(list_scores_BN=cached, anchor_BN=anchor),
    params=DUAL.init(jax.random.key(3)),
  )
  np.testing.assert_allclose(in_step, read, rtol=1e-5)


def test_cached_embeddings_are_the_in_batch_teacher():
  teacher = no_dropout(DUAL)
  params = teacher.init(jax.random.key(9))
  embed = jax.jit(
    lambda x, tower: teacher.embed(params, x, tower)[0], static_argnums=1
  )
  query_BD = embed(batch().query, "query")
  passage_BND = embed(batch().passage, "passage")
  set_up = settings(in_batch=True, lwf=0.0)
  in_step, _ = run(
    set_up, teacher=teacher, frozen={"teacher": params}, data=batch()
  )
  data = batch(
    teacher_query_BD=np.array(query_BD),
    teacher_passage_BND=np.array(passage_BND),
  )
  read, _ = run(set_up, data=data, sources=Sources(teacher="embeddings"))
  np.testing.assert_allclose(in_step, read, rtol=1e-5)


def test_no_gradient_reaches_teacher_or_anchor():
  teacher = no_dropout(CROSS)
  frozen = {"teacher": teacher.init(jax.random.key(9)), "anchor": student()}
  loss_fn = prod.make(
    settings(), no_dropout(DUAL), IN_STEP._replace(model=teacher)
  )
  grads = jax.jit(jax.grad(lambda f, x: loss_fn(student(), f, x, rng())[0]))(
    frozen, batch()
  )
  assert all((g == 0).all() for g in jax.tree.leaves(grads))


def test_the_anchor_of_the_start_is_no_loss_and_no_pull():
  data = batch(list_scores_BN=np.zeros((B, N), np.float32))
  loss_fn = prod.make(
    settings(hard=0.0, soft=1e-9),  # next to nothing beside lwf
    no_dropout(DUAL),
    CACHED,
  )
  loss, grads = jax.jit(
    jax.value_and_grad(
      lambda p, x: loss_fn(p, {"anchor": student()}, x, rng())[0]
    )
  )(student(), data)
  np.testing.assert_allclose(loss, 0.0, atol=1e-6)
  assert optax.tree.norm(grads) < 1e-4


def test_in_batch_columns_leave_out_other_positives():
  data = jax.tree.map(jnp.asarray, batch())
  target_B, where_BP = scoring.columns(data, in_batch=True)
  assert target_B.tolist() == [b * N for b in range(B)]
  # Queries 0 and 1 share passage 1: each sees only its own copy.
  assert not where_BP[0, N]
  assert where_BP[0, 0]
  # Padding counts for nobody; a hard negative of query 4 is query 3's positive.
  assert not where_BP[:, 2 * N + 2].any()
  assert not where_BP[3, 4 * N + 1]
  assert where_BP[4, 4 * N + 1]


@pytest.mark.parametrize("kd", ["logit", "dkd", "prob"])
def test_the_other_distances_are_finite_and_positive(kd):
  data = batch(list_scores_BN=np.ones((B, N), np.float32))
  _, metrics = run(settings(kd=kd, lwf=0.0, alpha=1.0, beta=8.0), data=data)
  assert 0 < float(metrics["kd"]) < 1e4


@pytest.mark.parametrize(
  ("changes", "sources", "message"),
  [
    ({}, Sources(beside=frozenset({"anchor"})), "needs a teacher"),
    ({}, Sources(teacher="scores"), "needs an anchor"),
    ({"lwf": 0.0, "in_batch": True}, CACHED, "own list"),
    ({"kd": "bi_logit"}, CACHED, "embeddings of two"),
    ({"lwf": 0.0, "in_batch": True, "larger": True}, EMBEDDED, "go together"),
    ({}, CACHED._replace(beside=frozenset({"second"})), "go together"),
  ],
)
def test_a_term_without_a_source_is_an_error(changes, sources, message):
  with pytest.raises(strict.ConfigError, match=message):
    prod.make(settings(**changes), DUAL, sources)


def test_lwf_in_batch_is_an_error():
  with pytest.raises(strict.ConfigError, match="set lwf=0"):
    settings(in_batch=True)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"larger": True}, "set in_batch=True"),
    (
      {"in_batch": True, "lwf": 0.0, "larger": True, "kd": "bi_logit"},
      "set another kd",
    ),
  ],
)
def test_the_larger_of_two_teachers_has_its_own_needs(changes, message):
  with pytest.raises(strict.ConfigError, match=message):
    settings(**changes)


def embedded(seed=4):
  """Cached embeddings of a dual-encoder teacher."""
  query_BD = random_scores(seed, B, DUAL.transformer.width)
  passage_BND = random_scores(seed + 1, B, N, DUAL.transformer.width)
  return {"teacher_query_BD": query_BD, "teacher_passage_BND": passage_BND}


def test_the_teacher_with_the_larger_loss_teaches():
  set_up = settings(in_batch=True, lwf=0.0, larger=True)
  own_list = settings(lwf=0.0)
  sources = Sources(teacher="embeddings", beside=frozenset({"second"}))
  for size in (0.0, 40.0):
    z_BN = (size * random_scores(3, B, N)).astype(np.float32)
    data = batch(list_scores_BN=z_BN, **embedded())
    both, metrics = run(set_up, data=data, sources=sources)
    first, _ = run(
      settings(in_batch=True, lwf=0.0), data=data, sources=EMBEDDED
    )
    second, _ = run(own_list, data=data)
    np.testing.assert_allclose(metrics["first"], first, rtol=1e-5)
    np.testing.assert_allclose(metrics["second"], second, rtol=1e-5)
    np.testing.assert_allclose(both, max(first, second), rtol=1e-5)
    assert (second > first) == (size > 0)


def test_only_the_larger_loss_has_a_gradient():
  """A switch, not a sum: the other teacher's gradient is not mixed in."""
  z_BN = 40 * random_scores(3, B, N)
  data = batch(list_scores_BN=z_BN, **embedded())

  def grads(set_up, sources):
    loss_fn = prod.make(set_up, no_dropout(DUAL), sources)
    return jax.jit(jax.grad(lambda p, x: loss_fn(p, {}, x, rng())[0]))(
      student(), data
    )

  larger = settings(in_batch=True, lwf=0.0, larger=True)
  found = grads(
    larger, Sources(teacher="embeddings", beside=frozenset({"second"}))
  )
  wanted = grads(settings(lwf=0.0), Sources(teacher="scores"))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
    found,
    wanted,
  )


def test_embeddings_follow_a_teacher_of_the_same_width():
  set_up = settings(kd="bi_logit", hard=0.0, soft=1.0, lwf=0.0)
  own = no_dropout(DUAL)
  query_BD, passage_BND, _ = jax.jit(
    lambda x: scoring.embed(own, student(), x)
  )(batch())
  shifted = {
    "teacher_query_BD": np.array(query_BD) + 1,
    "teacher_passage_BND": np.array(passage_BND) + 2,
  }
  loss, _ = run(set_up, data=batch(**shifted), sources=EMBEDDED)
  np.testing.assert_allclose(loss, 0.5 * 1 + 0.5 * 4, rtol=1e-5)


def test_without_the_square_kd_is_weaker_by_it():
  data = batch(list_scores_BN=random_scores(3, B, N))
  figures = [
    run(settings(squared=squared, lwf=0.0), data=data)[1]["kd"]
    for squared in (True, False)
  ]
  np.testing.assert_allclose(figures[0], 16 * figures[1], rtol=1e-5)


def test_a_late_interaction_teacher_in_the_step():
  """Its scores over either candidate set, by hand, token by token."""
  model = no_dropout(LATE)
  params = model.init(jax.random.key(9))
  data = batch()
  (q, q_where), (p, p_where), _ = jax.tree.map(
    np.array, jax.jit(lambda x: scoring.embed(model, params, x))(data)
  )
  flat_p = p.reshape(B * N, *p.shape[2:])
  flat_where = p_where.reshape(B * N, -1)
  wanted = np.zeros((B, B * N))
  for b in range(B):
    for i in range(B * N):
      similar = q[b][q_where[b]] @ flat_p[i][flat_where[i]].T
      wanted[b, i] = similar.max(axis=1).sum()
  found = jax.jit(lambda x: scoring.score(model, params, x, in_batch=True))(
    data
  )
  np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
  loss, _ = run(
    settings(in_batch=True, lwf=0.0),
    teacher=model,
    frozen={"teacher": params},
    data=data,
  )
  assert 0 < float(loss) < 1e4


def test_the_gathered_gradient_of_the_official_code_is_a_share_of_ours():
  """Clipping as there: W times the norm on the whole gradient.

  On each of W devices the official code scores all gathered embeddings, with
  those of other devices as constants, and averages the gradients: 1 / W of
  the whole gradient.
  """
  W = 2
  model = no_dropout(DUAL)
  loss_fn = prod.make(
    settings(in_batch=True, lwf=0.0),
    model,
    EMBEDDED,
  )
  data = jax.tree.map(jnp.asarray, batch(**embedded()))
  whole = jax.jit(jax.grad(lambda p: loss_fn(p, {}, data, rng())[0]))(student())

  def on_device(params, w):
    """The mean over all queries, where only device w's rows have a graph."""
    query, passage, _ = scoring.embed(model, params, data)
    here_B = np.arange(B) // (B // W) == w
    stop = jax.lax.stop_gradient
    query = jnp.where(here_B[:, None], query, stop(query))
    passage = jnp.where(here_B[:, None, None], passage, stop(passage))
    s_BP = scoring.compare(query, passage, in_batch=True)
    z_BP = scoring.teacher_scores(EMBEDDED, {}, data, in_batch=True)
    columns = scoring.columns(data, in_batch=True)
    ce_B = prod.contrastive.cross_entropy(
      s_BP, columns.target_B, where=columns.where_BX
    )
    kd_B = prod.distance(settings(), s_BP, z_BP, columns)
    return (0.1 * ce_B + 0.9 * kd_B).mean()

  each = [
    jax.jit(jax.grad(lambda p, w=w: on_device(p, w)))(student())
    for w in range(W)
  ]
  averaged = jax.tree.map(lambda *g: sum(g) / W, *each)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b / W, rtol=1e-3, atol=1e-4),
    averaged,
    whole,
  )


@pytest.mark.parametrize(
  ("kd", "divided"),
  [
    ("softmax", (4.0, 4.0)),
    ("dkd", (4.0, 4.0)),
    ("prob", (4.0, 1.0)),
    ("logit", (1.0, 1.0)),
    ("bi_logit", (1.0, 1.0)),
  ],
)
def test_temperatures_are_those_that_divide(kd, divided):
  assert prod.temperatures(settings(kd=kd)) == divided
