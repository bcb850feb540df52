"""Programs for NVIDIA GPUs, lowered and compiled where there is none.

What is not run is at least made: `jax.export` for CUDA goes through all that
JAX does before XLA's own compiler for GPUs, and what attention is stands in the
program. That compiler needs no GPU either, where the extra `gpu` is installed
(its wheels jax-cuda13-pjrt and jax-cuda13-plugin are enough).
"""

import dataclasses
import types

import jax
import numpy as np
import optax
import pytest
from jax._src.cudnn import fused_attention_stablehlo
from jax.experimental import topologies

from prod_jax import config, per_device, sharding
from prod_jax.batch import Packed
from prod_jax.retrieval import encode, rerank
from prod_jax.train.state import init_state
from prod_jax.train.step import jit_step, make_step
from tests.methods import batches
from tests.methods.golden_test import CASES

FORWARD = "__cudnn$fmhaScaleBiasSoftmax"
BACKWARD = "__cudnn$fmhaScaleBiasSoftmaxBackward"
# What the compiler asks a GPU for, as an H100 answers; no names of fields are
# ours.
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84929347584
  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 12 }
runtime_version { major: 13 minor: 0 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
# Nothing can be timed on a GPU that is not there.
UNTIMED = {"xla_gpu_autotune_level": 0, "xla_gpu_enable_triton_gemm": False}


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


def step_of(name: str, mesh: jax.sharding.Mesh, **changes) -> tuple:
  """A golden step, jitted, and its arguments; of most only shapes are made."""
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
  return jit_step(step, state, frozen, mesh), state, frozen, case.data


def step_program(name: str, mesh: jax.sharding.Mesh, **changes) -> str:
  with jax.set_mesh(mesh):
    return lowered(*step_of(name, mesh, **changes))


def mesh_of(**axes) -> jax.sharding.Mesh:
  shape = config.Mesh(**axes)
  size = shape.data * shape.fsdp * shape.tensor
  return sharding.make_mesh(shape, jax.devices()[:size])


def test_a_golden_step_lowers_with_attention_by_cudnn():
  program = step_program("prod", mesh_of(data=1))
  # Queries and passages, for the anchor too. In the teacher's only layer the
  # first token of a pair attends, and no other.
  assert count(program, FORWARD) == 4
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
  # A layer of all tokens below the one that only [CLS] reads.
  deeper = dataclasses.replace(cross.transformer, depth=2)
  cross = dataclasses.replace(cross, transformer=deeper)
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


@pytest.mark.long
def test_a_step_compiles_for_eight_gpus():
  """By XLA's compiler for GPUs, down to NCCL's collectives."""
  pytest.importorskip("jax_plugins.xla_cuda13", reason="extra gpu")
  described = topologies.get_topology_desc(
    platform="cuda", target_config=H100, topology="1x1x8"
  )
  shape = config.Mesh(data=2, fsdp=2, tensor=2)
  mesh = sharding.make_mesh(shape, described.devices)
  with jax.set_mesh(mesh):
    jitted, *arguments = step_of("contrastive", mesh)
    traced = jitted.trace(*arguments)
    program = traced.lower(lowering_platforms=("cuda",)).compile(UNTIMED)
  text = program.as_text()
  assert text.count(f'custom_call_target="{FORWARD}"') == 2
  assert text.count(f'custom_call_target="{BACKWARD}"') == 2
  assert "all-gather" in text and "all-reduce" in text
  assert program.memory_analysis().temp_size_in_bytes > 0
