"""A compiled program's text, as this compiler prints it, read."""

import pytest

from prod_jax.plan import cost
from prod_jax.plan.cost import Collective

TEXT = """\
HloModule jit_step, is_scheduled=true

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add = f32[] add(%a, %b)
}

%fused (p0: bf16[16,8], p1: bf16[8,4]) -> bf16[16,4] {
  %p0 = bf16[16,8]{1,0:T(8,128)(2,1)} parameter(0)
  %p1 = bf16[8,4]{1,0:T(8,128)(2,1)} parameter(1)
  ROOT %conv.1 = bf16[16,4]{1,0:T(8,128)(2,1)} convolution(%p0, %p1), \
dim_labels=bf_io->bf, metadata={op_name="jit(step)/dot_general"}
}

%body (state: (s32[], f32[64])) -> (s32[], f32[64]) {
  %state = (s32[]{:T(128)}, f32[64]{0:T(128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%state), index=0
  %x = f32[64]{0:T(128)} get-tuple-element(%state), index=1
  %all-reduce.1 = f32[64]{0:T(128)S(1)} all-reduce(%x), channel_id=1, \
replica_groups=mesh['axis_0'=4,'axis_1'=2] {'axis_0'}, to_apply=%sum
  %dot = f32[8,8]{1,0} dot(%all-reduce.1, %x), lhs_contracting_dims={0}, \
rhs_contracting_dims={0}
  ROOT %next = (s32[]{:T(128)}, f32[64]{0:T(128)}) tuple(%i, %all-reduce.1)
}

%condition (state: (s32[], f32[64])) -> pred[] {
  %state.1 = (s32[]{:T(128)}, f32[64]{0:T(128)}) parameter(0)
  %i.1 = s32[]{:T(128)} get-tuple-element(%state.1), index=0
  %end = s32[]{:T(128)} constant(5)
  ROOT %lt = pred[]{:T(512)} compare(%i.1, %end), direction=LT
}

ENTRY %main (a0: bf16[16,8], w0: bf16[8,4], s0: (s32[], f32[64])) -> f32[64] {
  %a0 = bf16[16,8]{1,0:T(8,128)(2,1)} parameter(0)
  %w0 = bf16[8,4]{1,0:T(8,128)(2,1)} parameter(1)
  %s0 = (s32[]{:T(128)}, f32[64]{0:T(128)}) parameter(2)
  %copy-start = (bf16[8,4]{1,0:T(8,128)(2,1)S(1)}, bf16[8,4]{1,0}, \
u32[]{:S(2)}) copy-start(%w0)
  %copy-done = bf16[8,4]{1,0:T(8,128)(2,1)S(1)} copy-done(%copy-start)
  %y = bf16[16,4]{1,0:T(8,128)(2,1)} fusion(%a0, /*index=1*/%copy-done), \
kind=kOutput, calls=%fused, metadata={op_name="jit(step)/up"}
  %gather-start = (bf16[16,4]{1,0}, bf16[128,4]{1,0}) all-gather-start(%y), \
channel_id=2, replica_groups=[1,8]<=[8], dimensions={0}
  %gather-done = bf16[128,4]{1,0} all-gather-done(%gather-start)
  %permute = bf16[128,4]{1,0} collective-permute(%gather-done), channel_id=3, \
source_target_pairs={{0,1},{1,0}}
  %loop = (s32[]{:T(128)}, f32[64]{0:T(128)}) while(%s0), \
condition=%condition, body=%body
  ROOT %out = f32[64]{0:T(128)} get-tuple-element(%loop), index=1
}
"""


def test_a_loop_counts_as_often_as_it_runs():
  read = cost.of_program(TEXT, devices=8)
  once, dot = 2 * 16 * 4 * 8, 2 * 8 * 8 * 64
  assert read.matmuls_once == once + dot
  assert read.matmuls == once + 5 * dot


def test_collectives_by_kind_with_bytes():
  reduced = 64 * 4
  gathered = 16 * 4 * 2 * 8
  assert cost.of_program(TEXT, devices=8).collectives == [
    # Groups of 4, five times.
    Collective("all-reduce", 5, 5 * reduced, 5 * 2 * reduced * 3 / 4),
    # Started and awaited, and one collective.
    Collective("all-gather", 1, gathered, gathered * 7 / 8),
    Collective("collective-permute", 1, gathered, gathered),
  ]


PIECES = """\
%start (p: f32[8]) -> f32[64] {
  %p = f32[8]{0} parameter(0)
  ROOT %all-gather.1 = f32[64]{0} all-gather(%p), channel_id=7, \
replica_groups={}, dimensions={0}, \
backend_config={"async_collective_fusion_config":{"flag_start":"-1"}}
}

%beside (q: f32[8]) -> f32[64] {
  %q = f32[8]{0} parameter(0)
  ROOT %all-gather.2 = f32[64]{0} all-gather(%q), channel_id=7, \
replica_groups={}, dimensions={0}, \
backend_config={"async_collective_fusion_config":{"flag_start":"2"}}
}

ENTRY %main (x: f32[8]) -> f32[64] {
  %x = f32[8]{0} parameter(0)
  %first = f32[64]{0} fusion(%x), kind=kCustom, calls=%start
  ROOT %second = f32[64]{0} fusion(%x), kind=kOutput, calls=%beside
}
"""


def test_a_collective_in_pieces_is_counted_once():
  gathered = 64 * 4
  assert cost.of_program(PIECES, devices=8).collectives == [
    Collective("all-gather", 1, gathered, gathered * 7 / 8)
  ]


def test_traffic_leaves_out_what_stays_on_the_core():
  copied = 8 * 4 * 2
  fusion = (16 * 8 + 16 * 4) * 2  # its weights are on the core
  gathered = 128 * 4 * 2  # awaited, and permuted: read and written
  loop = 64 * 4 + (64 * 4 + 8 * 8 * 4)  # reads x; reads x, writes the dot
  ends = 4 + 4 + 1  # the condition compares two numbers
  assert cost.of_program(TEXT, devices=8).moved == (
    copied + fusion + 3 * gathered + 5 * (loop + ends)
  )


@pytest.mark.parametrize(
  ("groups", "size"),
  [
    ("replica_groups={{0,1,2},{3,4,5}}", 3),
    ("replica_groups=[2,4]<=[8]", 4),
    ("replica_groups={}", 8),
    ("replica_groups=mesh['a'=2,'b'=4] {'a','b'}", 8),
  ],
)
def test_groups_in_every_spelling(groups, size):
  line = f"  %r = f32[10]{{0}} all-reduce(%x), {groups}, to_apply=%sum"
  text = f"ENTRY %main (x: f32[10]) -> f32[10] {{\n  %x = f32[10]{{0}} \
parameter(0)\n{line}\n}}\n"
  text += "%sum (a: f32[], b: f32[]) -> f32[] {\n  %a = f32[] parameter(0)\n}\n"
  (found,) = cost.of_program(text, devices=8).collectives
  assert found.sent == pytest.approx(2 * 40 * (size - 1) / size)


@pytest.mark.parametrize(
  ("window", "flops"),
  [
    # A batch of 3 as a window with gaps: one tap of each meets an element.
    ("window={size=3 stride=2 lhs_dilate=3}", 2 * 3 * 4 * 5 * 6),
    ("window={size=3 rhs_dilate=2 pad=2_2}", 2 * 5 * 4 * 5 * 6),
  ],
)
def test_a_product_over_a_batch_is_a_convolution_with_gaps(window, flops):
  text = f"""\
ENTRY %main (x: f32[3,4,6], y: f32[3,6,5]) -> f32[3,4,5] {{
  %x = f32[3,4,6]{{2,1,0}} parameter(0)
  %y = f32[3,6,5]{{2,1,0}} parameter(1)
  ROOT %c = f32[3,4,5]{{2,1,0}} convolution(%x, %y), {window}, \
dim_labels=0bf_0io->0bf
}}
"""
  assert cost.of_program(text, devices=1).matmuls == flops


def test_a_kernel_says_itself_what_it_computes():
  text = """\
ENTRY %main (x: bf16[8,128]) -> bf16[8,128] {
  %x = bf16[8,128]{1,0} parameter(0)
  %m = s8[8,8]{1,0:S(1)} custom-call(), custom_call_target="AllocateBuffer"
  ROOT %k = bf16[8,128]{1,0} custom-call(%x, %m), \
custom_call_target="tpu_custom_call", backend_config={"custom_call_config":\
{"body":"TUzv","cost_estimate":{"flops":"4096"}}}
}
"""
  read = cost.of_program(text, devices=1)
  assert read.matmuls == read.matmuls_once == 4096
  assert read.moved == 2 * 8 * 128 * 2  # the mask is on the core
