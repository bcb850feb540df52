"""LEAD: which layers, whose gradient, and the written formula."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax import strict
from prod_jax.methods import layers, lead, scoring
from prod_jax.methods.scoring import Sources
from tests.methods import batches
from tests.methods.batches import B, batch, no_dropout, rng

STUDENT = no_dropout(batches.DEEP_DUAL)
TEACHER = no_dropout(batches.DEEP_CROSS)
LATE = no_dropout(batches.DEEP_LATE)
JOINT = Sources(teacher="step", model=TEACHER, joint=True)
FROZEN = Sources(teacher="step", model=TEACHER)


def settings(**changes):
  return lead.Settings(**{"in_batch": False, "layers": 2, **changes})


def params(model, seed):
  return model.init(jax.random.key(seed))


def log_softmax(x):
  x = x - x.max()
  return x - np.log(np.exp(x).sum())


def kl(p, q, T=1.0):
  p, q = log_softmax(p / T), log_softmax(q)
  return (np.exp(p) * (p - q)).sum()


def test_the_loss_is_the_written_formula():
  data, T, tau = batch(), 2.0, 10.0
  student, teacher = params(STUDENT, 2), params(TEACHER, 9)
  set_up = settings(select="last", temperature=T)
  loss_fn = lead.make(set_up, STUDENT, JOINT)
  both = {"student": student, "teacher": teacher}
  loss, metrics = jax.jit(loss_fn)(both, {}, data, rng())

  @functools.partial(jax.jit, static_argnums=0)
  def every_layer(model, tree, data):
    found = layers.score_layers(
      model, tree, data, in_batch=False, dropout_key=None
    )
    return found.last_BX, found.at(jnp.array([1, 2]))

  s_BN, s_KBN = map(np.array, every_layer(STUDENT, student, data))
  z_BN, z_KBN = map(np.array, every_layer(TEACHER, teacher, data))
  np.testing.assert_allclose(s_KBN[1], s_BN, rtol=1e-5)
  np.testing.assert_allclose(z_KBN[1], z_BN, rtol=1e-5)
  there = data.where_BN
  nll_K = [
    np.mean([-log_softmax(z[b][there[b]])[0] for b in range(B)]) for z in z_KBN
  ]
  w_K = np.exp(log_softmax(-np.array(nll_K) / tau))
  wanted = {"student": 0.0, "teacher": 0.0, "response": 0.0, "layer": 0.0}
  for b in range(B):
    keep = there[b]
    s, z = s_BN[b][keep], z_BN[b][keep]
    wanted["student"] -= log_softmax(s)[0] / B
    wanted["teacher"] -= log_softmax(z)[0] / B
    wanted["response"] += (kl(z, s, T) + kl(s, z, T)) / B
    for k, w in enumerate(w_K):
      wanted["layer"] += w * kl(z_KBN[k, b][keep], s_KBN[k, b][keep], T) / B
  for name, value in wanted.items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(loss, sum(wanted.values()), rtol=1e-4)


@pytest.mark.parametrize(
  ("select", "student", "teacher"),
  [("last", [1, 2, 3, 4, 5], [7, 8, 9, 10, 11]),
   ("skip", [1, 2, 3, 4, 5], [0, 2, 4, 6, 8])],
)  # fmt: skip
def test_fixed_layers_are_those_of_the_official_code(select, student, teacher):
  found = lead.chosen_layers(settings(select=select, layers=5), 6, 12, rng())
  assert [x.tolist() for x in found] == [student, teacher]


def test_random_layers_are_redrawn_every_n_steps_and_never_retraced():
  traces = []

  @jax.jit
  def draw(rng):
    traces.append(1)
    return lead.chosen_layers(settings(layers=3, redraw=10), 6, 12, rng)

  drawn = [tuple(map(tuple, map(np.array, draw(rng(s))))) for s in range(200)]
  assert len(traces) == 1
  for s in range(200):
    assert drawn[s] == drawn[s - s % 10]
  assert len(set(drawn)) > 15  # of 20 draws out of 20 * 220
  for student, teacher in drawn:
    assert list(student) == sorted(set(student))
    assert list(teacher) == sorted(set(teacher))
    assert min(student) >= 0 and max(student) < 6
    assert min(teacher) >= 0 and max(teacher) < 12
  assert {layer for _, teacher in drawn for layer in teacher} == set(range(12))
  again = draw(rng(0, seed=1))
  other = [draw(rng(s, seed=2)) for s in range(0, 50, 10)]
  assert tuple(map(tuple, map(np.array, again))) == drawn[0]
  assert any(
    tuple(map(tuple, map(np.array, x))) != drawn[10 * i]
    for i, x in enumerate(other)
  )


@pytest.mark.parametrize("term", ["response", "layer"])
def test_a_joint_teacher_is_pulled_and_a_frozen_one_is_not(term):
  weights = dict.fromkeys(("student", "teacher", "response", "layer"), 0.0)
  set_up = settings(select="last", **{**weights, term: 1.0})
  student, teacher = params(STUDENT, 2), params(TEACHER, 9)
  joint = lead.make(set_up, STUDENT, JOINT)
  frozen = lead.make(set_up, STUDENT, FROZEN)
  grads = jax.jit(
    jax.grad(
      lambda s, t, x: joint({"student": s, "teacher": t}, {}, x, rng())[0],
      argnums=(0, 1),
    )
  )(student, teacher, batch())
  moved = [any((g != 0).any() for g in jax.tree.leaves(x)) for x in grads]
  assert moved == [True, True]
  loss, metrics = jax.jit(
    lambda s, x: frozen(s, {"teacher": teacher}, x, rng())
  )(student, batch())
  assert "teacher" not in metrics
  assert float(loss) > 0


def test_inner_layers_of_late_interaction_have_correct_masks():
  """Padding of a passage never counts, whatever stands there."""
  data = batch()
  ids = np.where(data.passage.segment == 0, 7, data.passage.ids)
  other = data._replace(passage=data.passage._replace(ids=ids.astype(np.int32)))
  tree = params(LATE, 4)

  @jax.jit
  def scores(data):
    found = layers.score_layers(
      LATE, tree, data, in_batch=True, dropout_key=None
    )
    return found.last_BX, found.at(jnp.array([0, 2]))

  last_BP, at_KBP = scores(data)
  np.testing.assert_allclose(at_KBP[1], last_BP, rtol=1e-5)
  np.testing.assert_allclose(last_BP, scores(other)[0], rtol=1e-6)
  np.testing.assert_allclose(at_KBP, scores(other)[1], rtol=1e-6)
  q, p, _ = jax.jit(lambda x: scoring.embed(LATE, tree, x))(data)
  assert q.vectors.shape[:2] == data.query.ids.shape
  assert p.where.shape == data.passage.ids.shape


@pytest.mark.parametrize(
  ("changes", "sources", "message"),
  [
    ({}, Sources(), "needs a teacher"),
    ({}, Sources(teacher="scores"), "set teacher, not scores"),
    ({"layers": 4}, JOINT, "4 layers of the student, which has 3"),
    ({"select": "skip", "layers": 3}, JOINT, "5 layers of the teache"),
    ({"in_batch": True}, JOINT, "own list"),
  ],
)
def test_what_cannot_be_done_is_an_error(changes, sources, message):
  with pytest.raises(strict.ConfigError, match=message):
    lead.make(settings(**changes), STUDENT, sources)
