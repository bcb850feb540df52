"""What is kept of a compiled program, and for which others it stands."""

import pathlib
import runpy

import jax
import jax.numpy as jnp
import pytest

from prod_jax.plan import compiled
from prod_jax.plan.chips import slice_of
from prod_jax.plan.compiled import Compiled, Compiler
from prod_jax.plan.cost import Collective

pytest.importorskip("libtpu", reason="versions of the compiler are in a key")


def lowered(rate, seed, size=4):
  def step(x):
    noise = jax.random.normal(jax.random.key(seed), x.shape)
    return x - rate * noise

  return jax.jit(step).lower(jax.ShapeDtypeStruct((size,), jnp.float32))


@pytest.fixture
def asked(monkeypatch):
  """Counts what reaches the compiler."""
  programs = []

  def compile_(program, count):
    programs.append(program)
    kind = Collective("all-reduce", 2, 30, 45.5)
    return Compiled(True, arguments=1, flops=2.5, collectives=(kind,))

  monkeypatch.setattr(compiled, "_compile", compile_)
  return programs


def test_programs_that_differ_in_constants_share_an_answer(tmp_path, asked):
  compiler, slice_ = Compiler(pathlib.Path(tmp_path)), slice_of("v5e:2x4")
  first = compiler(slice_, 8, lambda: lowered(0.5, 7), "first")
  again = compiler(slice_, 8, lambda: lowered(0.25, 8), "again")
  assert first == again and again.collectives[0].kind == "all-reduce"
  assert (compiler.asked, len(asked)) == (1, 1)


@pytest.mark.parametrize("change", [dict(rate=0.0), dict(size=8), dict(on=1)])
def test_others_do_not(tmp_path, asked, change):
  compiler = Compiler(pathlib.Path(tmp_path))
  slices = ["v5e:2x4", "v5e:4x4"]
  compiler(slice_of(slices[0]), 8, lambda: lowered(0.5, 7), "first")
  other = slice_of(slices[change.pop("on", 0)])
  changed = dict(rate=0.5, seed=7) | change
  compiler(other, 8, lambda: lowered(**changed), "other")
  assert len(asked) == 2


KERNEL = """
import jax
from jax.experimental import pallas as pl


def kernel(x_ref, o_ref):
  o_ref[...] = 2 * x_ref[...]


def twice(x):
  shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
  return pl.pallas_call(kernel, out_shape=shape)(x)
"""


@pytest.mark.parametrize(
  "package",
  [
    "prod_jax",
    # A checkout of that name, with an environment in it.
    "prod_jax/.venv/site-packages/other",
    "dist-packages/other",
  ],
)
def test_a_kernel_is_the_same_in_another_folder(tmp_path, package):
  made = []
  for place in ("here", "there"):
    path = tmp_path / place / package / "kernel.py"
    path.parent.mkdir(parents=True)
    path.write_text(KERNEL)
    module = runpy.run_path(str(path))
    x = jax.ShapeDtypeStruct((8, 128), jnp.float32)
    traced = jax.jit(module["twice"]).trace(x)
    made.append(lambda t=traced: t.lower(lowering_platforms=("tpu",)).as_text())
  option = "jax_hlo_source_file_canonicalization_regex"
  before = getattr(jax.config, option)
  assert made[0]() != made[1]()
  try:
    compiled.sources_by_name()
    assert made[0]() == made[1]()
  finally:
    jax.config.update(option, before)


def test_a_plan_has_such_programs(monkeypatch):
  set_to = {}
  monkeypatch.setattr(
    type(jax.config),
    "update",
    lambda self, key, value: set_to.update({key: value}),
  )
  monkeypatch.setattr(compiled.os, "environ", {})
  compiled.without_a_tpu()
  assert set_to["jax_platforms"] == "cpu"
  assert "prod_jax" in set_to["jax_hlo_source_file_canonicalization_regex"]


def failing(monkeypatch, message):
  def compile_(self, compiler_options=None):
    raise jax.errors.JaxRuntimeError(message)

  monkeypatch.setattr(jax.stages.Lowered, "compile", compile_)
  return lowered(0.5, 7)


def test_a_refusal_says_what_would_be_needed(monkeypatch):
  program = failing(
    monkeypatch,
    "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, "
    "the total memory required for HLO temporaries (17.50G) exceeds available "
    "HBM (15.75G). HLO module: jit_step.\nSee https://…",
  )
  found = compiled._compile(program, 8)
  assert not found.fits and found.needs == 17.5 * 2**30
  assert found.said.startswith("Ran out of memory on HBM")
  assert "https" not in found.said


def test_other_errors_are_errors(monkeypatch):
  program = failing(monkeypatch, "INTERNAL: something else")
  with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
    compiled._compile(program, 8)


def test_a_program_that_cannot_be_printed_has_its_memory(monkeypatch):
  def as_text(self):
    raise jax.errors.JaxRuntimeError("INTERNAL: async-update should have 1")

  monkeypatch.setattr(compiled, "_OPTIONS", {})
  monkeypatch.setattr(jax.stages.Compiled, "as_text", as_text)
  found = compiled._compile(lowered(0.5, 7), 8)
  assert found.fits and not found.printed and found.arguments == 4 * 4
