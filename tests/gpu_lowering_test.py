"""Programs for NVIDIA GPUs, lowered where there is none.

What is not run is at least made: `jax.export` for CUDA goes through all that
JAX does before XLA's own compiler for GPUs, and what attention is stands in the
program.
"""

import dataclasses
import types

import jax
import numpy as np
import optax
import pytest
from jax._src.cudnn import fused_attention_stablehlo

from prod_jax import config, per_device, sharding
from prod_jax.batch import Packed
from prod_jax.retrieval import encode, rerank
from prod_jax.train.state import init_state
from prod_jax.train.step import jit_step, make_step
from tests.methods import batches
from tests.methods.golden_test import CASES

FORWARD = "__cudnn$fmhaScaleBiasSoftmax"
BACKWARD = "__cudnn$fmhaScaleBiasSoftmaxBackward"


@pytest.fixture(autouse=True)
def with_cudnn(monkeypatch):
  """A GPU and cuDNN, as far as tracing asks for them."""
  found = types.SimpleNamespace(cudnn_get_version=lambda: 91200)
  monkeypatch.setattr(fused_attention_stablehlo, "cuda_versions", found)
  monkeypatch.setattr(per_device, "on_platform", lambda name: name == "gpu")


def lowered(function, *arguments) -> str:
  """The program for CUDA, as text."""
  checks = [
    jax.export.DisabledSafetyCheck.custom_call(name)
    for name in (FORWARD, BACKWARD)
  ]
  exported = jax.export.export(
    function, platforms=["cuda"], disabled_checks=checks
  )(*arguments)
  assert exported.platforms == ("cuda",)
  return exported.mlir_module()


def count(program: str, name: str) -> int:
  return program.count(f"@{name}(")


def with_dtype(model, dtype="bfloat16", dropout=0.0):
  transformer = dataclasses.replace(
    model.transformer, dtype=dtype, dropout=dropout, attention_dropout=dropout
  )
  return dataclasses.replace(model, transformer=transformer)


def step_program(name: str, mesh: jax.sharding.Mesh, **changes) -> str:
  """Of a golden step; of states and parameters only shapes are made."""
  case = CASES[name]
  student = with_dtype(case.student, **changes)
  teacher = case.teacher and with_dtype(case.teacher, **changes)
  loss_fn = case.method.make(
    case.settings or case.method.Settings(),
    student,
    case.sources._replace(model=teacher),
  )
  optimizer = optax.adamw(1e-3)

  def made() -> tuple:
    params = student.init(jax.random.key(3))
    frozen = {"anchor": params} if case.anchor else {}
    if teacher:
      frozen["teacher"] = teacher.init(jax.random.key(9))
    return init_state(params, optimizer), frozen

  state, frozen = jax.eval_shape(made)
  step = make_step(loss_fn, optimizer, seed=1)
  with jax.set_mesh(mesh):
    jitted = jit_step(step, state, frozen, mesh)
    return lowered(jitted, state, frozen, case.data)


def mesh_of(**axes) -> jax.sharding.Mesh:
  shape = config.Mesh(**axes)
  size = shape.data * shape.fsdp * shape.tensor
  return sharding.make_mesh(shape, jax.devices()[:size])


def test_a_golden_step_lowers_with_attention_by_cudnn():
  program = step_program("prod", mesh_of(data=1))
  # Queries and passages, for the anchor too, and pairs for the teacher.
  assert count(program, FORWARD) == 5
  assert count(program, BACKWARD) == 2


def test_a_step_that_cudnn_does_not_take_lowers_too():
  program = step_program("contrastive", mesh_of(data=1), dropout=0.1)
  assert "__cudnn" not in program


def test_a_step_over_several_gpus_gives_each_its_rows_and_heads():
  mesh = mesh_of(data=2, fsdp=2, tensor=2)
  program = step_program("contrastive", mesh)
  assert count(program, FORWARD) == count(program, BACKWARD) == 2
  # Eight queries of six tokens over four; one of two heads, eight wide.
  assert "tensor<2x6x1x8xbf16>" in program


def test_encoding_and_scoring_lower():
  dual, cross = (with_dtype(m) for m in (batches.DUAL, batches.CROSS))
  rng = np.random.default_rng(0)
  ids = rng.integers(1, batches.VOCAB, (1, 4, 16)).astype(np.int32)
  start = np.tile(np.array([0, 8], np.int32), (1, 4, 1))
  length = np.full((1, 4, 2), 8, np.int32)
  place = np.arange(8, dtype=np.int32)[None]
  packed = Packed(ids, start, length, length // 2, place)
  for program in (
    lowered(
      jax.jit(encode.embed_texts, static_argnums=(0, 3)),
      dual,
      dual.init(jax.random.key(0)),
      packed,
      "passage",
    ),
    lowered(
      jax.jit(rerank.score_pairs, static_argnums=0),
      cross,
      cross.init(jax.random.key(0)),
      packed,
    ),
  ):
    assert count(program, FORWARD) == 1 and count(program, BACKWARD) == 0
    assert "bf16" in program
