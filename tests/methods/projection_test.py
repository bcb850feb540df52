"""Students whose width is not the teacher's."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax import config, kinds, sharding
from prod_jax.methods import lead, prod
from prod_jax.methods.scoring import Sources
from prod_jax.models import hf
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


@pytest.mark.parametrize(
  "joint", [True, pytest.param(False, marks=pytest.mark.long)]
)
def test_lead_needs_no_matrix(joint):
  """It compares distributions over passages, which have no width."""
  sources = IN_STEP._replace(joint=joint)
  settings = lead.Settings(in_batch=True, layers=1)
  loss_fn = lead.make(settings, no_dropout(NARROW), sources)
  student = NARROW.init(jax.random.key(2))
  teacher = WIDE.init(jax.random.key(9))
  params = {"student": student, "teacher": teacher} if joint else student
  slope = jax.jit(
    jax.grad(lambda p, x: loss_fn(p, {"teacher": teacher}, x, rng())[0])
  )(params, batch())
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(slope))
  own = slope["student"] if joint else slope
  assert np.abs(own["encoder"]["word"]["embedding"]).max() > 0
