"""A row of what the compiler says, where that is not all."""

import pytest

from prod_jax.plan import estimate
from prod_jax.plan.chips import slice_of
from prod_jax.plan.compiled import Compiled, Compiler
from prod_jax.plan.program import Program

SLICE = slice_of("tpu7x:2x2x1")
FLOPS = 10**15
PROGRAM = Program(
  stage="ce",
  kind="train",
  model="ce",
  unit="queries",
  batch=64,
  multiple=8,
  grain=8,
  devices=8,
  copies=1,
  examples=640,
  remat="",
  flops=lambda count: FLOPS,
  lower=lambda count: None,
)


class Unprinted(Compiler):
  """Says of every program that it fits, and no more than its memory."""

  def __call__(self, slice_, count, lower, what):
    return Compiled(True, arguments=2, temporaries=3, printed=False)


def test_without_its_text_a_program_takes_the_models_flops(tmp_path):
  compiler = Unprinted(tmp_path)
  row = estimate._row(PROGRAM, SLICE, compiler, find_largest=False)
  assert row["fits"] and row["hbm_bytes"]["peak"] == 5
  assert "SparseCore" in row["reason"]
  assert row["bytes_moved"] is None and row["mfu"] is None
  seconds = FLOPS / (4 * SLICE.chip.flops)
  assert row["seconds"] == {"compute": pytest.approx(seconds)}
  assert row["hours"] == pytest.approx(10 * seconds / 3600)
  assert row["chip_hours"] == pytest.approx(4 * row["hours"])
