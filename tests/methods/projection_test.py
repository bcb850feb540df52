"""Students whose width is not the teacher's."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax import config, kinds, sharding
from prod_jax.methods import lead, matryoshka, prod
from prod_jax.methods.scoring import Sources
from prod_jax.models import hf
from prod_jax.models.dual import Dense
from prod_jax.models.matryoshka import cut
from prod_jax.processes import Processes
from prod_jax.stages import train
from prod_jax.stages.run import PARAMS, Job, Run
from prod_jax.train.checkpoint import Checkpoints
from prod_jax.train.optim import make_optimizer
from prod_jax.train.state import init_state
from prod_jax.train.step import compile_step, make_step
from tests.methods import batches
from tests.methods.batches import batch, no_dropout, rng

WIDE = batches.DUAL  # 16
NARROW = dataclasses.replace(
  WIDE, transformer=dataclasses.replace(WIDE.transformer, width=8)
)
IN_STEP = Sources(teacher="step", model=no_dropout(WIDE))
BI_LOGIT = prod.Settings(
  in_batch=False, temperature=1.0, hard=0.0, soft=1.0, kd="bi_logit"
)
STAGE = kinds.Train(
  kind="train",
  model="student",
  method="prod",
  teacher="teacher",
  settings={
    "in_batch": False,
    "temperature": 1.0,
    "hard": 0.0,
    "soft": 1.0,
    "kd": "bi_logit",
  },
  steps=6,
  batch_size=8,
  learning_rate=0.05,
)


def start():
  """What is trained and what is read, as a stage begins."""
  return train.trees(
    STAGE,
    NARROW.init(jax.random.key(2)),
    WIDE.init(jax.random.key(9)),
    prod.beside(BI_LOGIT, NARROW, IN_STEP, jax.random.key(3)),
    lambda x: x,
  )


def test_equal_widths_have_nothing_beside():
  key = jax.random.key(0)
  assert prod.beside(BI_LOGIT, WIDE, IN_STEP, key) == {}
  softmax = dataclasses.replace(BI_LOGIT, kd="softmax")
  assert prod.beside(softmax, NARROW, IN_STEP, key) == {}
  cached = Sources(teacher="embeddings", width=16)
  assert prod.beside(BI_LOGIT, WIDE, cached, key) == {}
  found = prod.beside(BI_LOGIT, NARROW, cached, key)
  assert found["projection"]["kernel"].shape == (8, 16)
  params = WIDE.init(key)
  alike = dataclasses.replace(STAGE, teacher="")
  assert train.trees(alike, params, None, {}, lambda x: x)[0] is params


def test_the_gradient_reaches_the_matrix_and_the_student():
  params, frozen = start()
  loss_fn = prod.make(BI_LOGIT, no_dropout(NARROW), IN_STEP)
  slope = jax.jit(jax.grad(lambda p, x: loss_fn(p, frozen, x, rng())[0]))(
    params, batch()
  )
  assert slope.keys() == {"student", "projection"}
  assert all(
    np.abs(x).max() > 0
    for x in (
      slope["projection"]["kernel"],
      slope["student"]["encoder"]["word"]["embedding"],
    )
  )


@pytest.mark.long
def test_the_loss_falls_and_a_resumed_stage_is_the_uninterrupted_one(tmp_path):
  mesh = sharding.make_mesh(config.Mesh())
  optimizer = make_optimizer(STAGE)
  params, frozen = start()
  compiled, state = compile_step(
    make_step(prod.make(BI_LOGIT, NARROW, IN_STEP), optimizer, seed=1),
    init_state(params, optimizer),
    frozen,
    mesh,
  )
  data = sharding.put_batch(batch(), mesh)
  losses = []
  with (
    contextlib.closing(Checkpoints(tmp_path / "saved", {})) as saved,
    jax.set_mesh(mesh),
  ):
    for step in range(6):
      if step == 3:
        saved.save(step, state)
      state, metrics = compiled.step(state, compiled.frozen, data)
      losses.append(float(metrics["loss"]))
  with (
    contextlib.closing(Checkpoints(tmp_path / "saved", {})) as saved,
    jax.set_mesh(mesh),
  ):
    step, again = saved.newest(jax.tree.map(jnp.zeros_like, state))
    for _ in range(step):
      again, _ = compiled.step(again, compiled.frozen, data)
  assert losses[-1] < 0.9 * losses[0]
  jax.tree.map(np.testing.assert_array_equal, again, state)


def test_what_is_saved_is_the_student(tmp_path, monkeypatch):
  params, _ = start()
  run = Run(
    config.Config(
      seed=0,
      data=config.Data(name="pydocs"),
      mesh=config.Mesh(),
      models={},
      stages={"narrow": STAGE},
    ),
    Processes(tmp_path),
  )
  job = Job(run, "narrow", STAGE, {}, tmp_path)
  monkeypatch.setattr(train, "beside", lambda job: {"projection": None})
  train._save(job, jax.device_get(params))
  found = hf.load_params(tmp_path / PARAMS)
  jax.tree.map(np.testing.assert_array_equal, found, params["student"])


# What LEAD compares in the step, and by which candidates.
DEEP = no_dropout(batches.DEEP_DUAL)  # 24
NARROW_LATE = no_dropout(batches.LATE)  # 8
DOT = dataclasses.replace(no_dropout(WIDE), similarity="dot", scale=1.0)
LEAD = lead.Settings(in_batch=True, layers=1)


def lead_start(student, sources, beside):
  """What LEAD trains and what it reads, as a stage begins."""
  return train.trees(
    dataclasses.replace(STAGE, method="lead", joint=sources.joint),
    student.init(jax.random.key(2)),
    sources.model.init(jax.random.key(9)),
    beside,
    lambda x: x,
  )


def test_lead_has_a_matrix_a_layer_where_vectors_differ_in_width():
  key, to = jax.random.key(0), Sources(teacher="step", model=WIDE)
  deep = dataclasses.replace(batches.DEEP_DUAL, dense=(Dense(16),))
  assert lead.beside(LEAD, WIDE, to, key) == {}
  assert lead.beside(LEAD, deep, to, key) == {}
  for change in {"layer": 0.0}, {"projection": False}:
    changed = dataclasses.replace(LEAD, **change)
    assert lead.beside(changed, NARROW, to, key) == {}
  scores = Sources(teacher="step", model=batches.DEEP_CROSS)
  assert lead.beside(LEAD, WIDE, scores, key) == {}
  for student, shape in (
    (NARROW, (8, 16)),
    (batches.LATE, (8, 16)),
    (cut(WIDE, jnp.ones(16, bool)), (16, 16)),
  ):
    (kernel,) = jax.tree.leaves(lead.beside(LEAD, student, to, key))
    assert kernel.shape == shape
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(shape[0]), atol=1e-6)
  wider = lead.beside(LEAD, batches.DEEP_DUAL, to, key)["projection"]
  kernels = [wider[k]["kernel"] for k in "012"]
  assert len(wider) == 3 and not np.array_equal(*kernels[:2])
  for kernel in kernels:
    # Of 24 directions 16 are left, so that a square is 2 / 3 in the mean.
    np.testing.assert_allclose(kernel.T @ kernel, 1.5 * np.eye(16), atol=1e-5)


@pytest.mark.parametrize(
  ("student", "teacher", "changes"),
  [
    pytest.param(DOT, DEEP, dict(widths=(16, 8)), id="dot of widths"),
    pytest.param(
      no_dropout(NARROW),
      DEEP,
      dict(in_batch=False, joint=True),
      marks=pytest.mark.long,
      id="cosine over own lists",
    ),
    pytest.param(
      NARROW_LATE, no_dropout(batches.DEEP_LATE), {}, id="late interaction"
    ),
    pytest.param(
      no_dropout(WIDE),
      no_dropout(batches.DEEP_LATE),
      {},
      marks=pytest.mark.long,
      id="dual beside late",
    ),
  ],
)
def test_lead_begins_where_it_was(student, teacher, changes):
  """Another matrix changes the layers' term, and no score of the last layer."""
  settings = dataclasses.replace(LEAD, in_batch=changes.get("in_batch", True))
  sources = Sources("step", teacher, joint=changes.get("joint", False))
  widths = changes.get("widths", ())
  known = matryoshka.student_of(student, widths)
  beside = lead.beside(settings, known, sources, jax.random.key(3))

  def metrics(*each, settings=settings):
    trees = [lead_start(student, sources, beside)[0] for beside in each]
    frozen = lead_start(student, sources, {})[1]
    if widths:
      loss_fn = matryoshka.make(lead, settings, student, sources, widths)
    else:
      loss_fn = lead.make(settings, student, sources)
    of = jax.jit(lambda tree, data: loss_fn(tree, frozen, data, rng())[1])
    return [of(tree, batch()) for tree in trees]

  halved = jax.tree.map(lambda x: x.at[:, ::2].set(0), beside)
  doubled = jax.tree.map(lambda x: 2 * x, beside)
  found, other, longer = metrics(beside, halved, doubled)
  official = dataclasses.replace(settings, projection=False)
  (without,) = metrics({}, settings=official)
  assert found.keys() == without.keys()
  for name, value in without.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-5)
    if name in ("student", "teacher", "response"):
      np.testing.assert_array_equal(other[name], found[name])
  assert abs(other["layer"] - found["layer"]) > 1e-3 * found["layer"]
  # A cosine stays one, and so does a sum of maxima of cosines.
  assert (abs(longer["layer"] - found["layer"]) < 1e-5) == (student is not DOT)


@pytest.mark.parametrize(
  "joint", [True, pytest.param(False, marks=pytest.mark.long)]
)
def test_the_gradient_of_leads_layers_reaches_matrices_and_models(joint):
  terms = ("student", "teacher", "response")
  settings = dataclasses.replace(LEAD, **dict.fromkeys(terms, 0.0))
  sources = IN_STEP._replace(joint=joint)
  loss_fn = lead.make(settings, no_dropout(NARROW), sources)
  beside = lead.beside(settings, NARROW, sources, jax.random.key(3))
  params, frozen = lead_start(NARROW, sources, beside)
  slope = jax.jit(jax.grad(lambda p, x: loss_fn(p, frozen, x, rng())[0]))(
    params, batch()
  )
  models = {"student", "teacher"} if joint else {"student"}
  assert slope.keys() == models | {"projection"}
  moved = [slope[name]["encoder"]["word"]["embedding"] for name in models]
  moved += [slope["projection"]["0"]["kernel"]]
  assert all(np.abs(x).max() > 0 for x in moved)
