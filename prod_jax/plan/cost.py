"""What a compiled program costs a device: matmuls, collectives, traffic.

XLA's own analysis counts the body of a loop once and does not know which
arrays stay on the chip; this one does, see hlo.py.
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from prod_jax.plan.hlo import (
  Op,
  captured,
  computations,
  inside_others,
  times_run,
)

COLLECTIVES = (
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "collective-permute",
)
# What moves nothing by itself.
_FREE = {
  "after-all",
  "bitcast",
  "call",
  "conditional",
  "constant",
  "get-tuple-element",
  "iota",
  "parameter",
  "partition-id",
  "tuple",
  "while",
}


class Collective(NamedTuple):
  """What one kind of collective moves.

  Attributes:
    kind: one of COLLECTIVES.
    times: how often it is run.
    bytes: of the whole arrays that a device takes part in, all runs.
    sent: bytes that leave a device at least, by the best known way: for n
      bytes over k devices 2 n (k - 1) / k of an all-reduce, n of a permute,
      and n (k - 1) / k of the others.
  """

  kind: str
  times: int
  bytes: int
  sent: float


class Program(NamedTuple):
  """What a device is given to do.

  Attributes:
    matmuls: FLOPs of matrix products.
    matmuls_once: the same with each loop's body counted once.
    collectives: by kind.
    moved: bytes read from and written to HBM by all instructions.
  """

  matmuls: int
  matmuls_once: int
  collectives: list[Collective]
  moved: int


def of_program(text: str, devices: int) -> Program:
  """Reads an optimised module that runs on so many devices."""
  parts, entry = computations(text)
  times = times_run(parts, entry)
  inside = inside_others(parts)
  matmuls = once = moved = 0
  found: dict[str, Collective] = {}
  pieces: set[str] = set()
  for name, n in times.items():
    ops = {op.name: op for op in parts[name]}
    for op in ops.values():
      if op.code in ("dot", "convolution", "custom-call"):
        flops = _flops(op, ops)
        matmuls, once = matmuls + n * flops, once + flops
      kind = op.code.removesuffix("-start")
      if kind in COLLECTIVES and not _seen(op, pieces):
        size, sent = _traffic(kind, op, ops, devices)
        so_far = found.get(kind, Collective(kind, 0, 0, 0.0))
        found[kind] = Collective(
          kind,
          so_far.times + n,
          so_far.bytes + n * size,
          so_far.sent + n * sent,
        )
      if name not in inside:
        moved += n * _moved(op, ops)
  kinds = [
    found[kind] for kind in COLLECTIVES if kind in found and found[kind].times
  ]
  return Program(matmuls, once, kinds, moved)


def _flops(op: Op, ops: Mapping[str, Op]) -> int:
  """Of a matmul, which on a TPU is a convolution, or of a kernel's matmuls."""
  if op.code == "custom-call":
    # What the kernel says of itself: the compiler does not look into it.
    said = re.search(r'"cost_estimate":\{"flops":"(\d+)"', op.rest)
    return int(said[1]) if said else 0
  out = op.result[0].shape
  left, right = (ops[name].result[0].shape for name in op.operands[:2])
  if op.code == "dot":
    dims = captured(r"lhs_contracting_dims=\{([\d,]*)\}", op.rest)
    contracted = math.prod(left[int(d)] for d in dims.split(",") if d)
    return 2 * math.prod(out) * contracted
  labels = captured(r"dim_labels=(\w+->\w+)", op.rest)
  lhs, rhs, result = re.split("_|->", labels)
  window = dict(re.findall(r"(\w+)=([\dx_-]+)", _braces("window", op.rest)))
  products = right[rhs.index("i")]
  for letter, size in zip(result, out, strict=True):
    if not letter.isdecimal():
      products *= size
      continue
    i = int(letter)
    products *= _taps(
      size,
      right[rhs.index(letter)],
      left[lhs.index(letter)],
      int(_at(window, "stride", i, "1")),
      int(_at(window, "pad", i, "0_0").split("_")[0]),
      int(_at(window, "lhs_dilate", i, "1")),
      int(_at(window, "rhs_dilate", i, "1")),
    )
  return 2 * products


def _braces(key: str, text: str) -> str:
  found = re.search(rf"\b{key}=\{{([^}}]*)\}}", text)
  return found[1] if found else ""


def _at(window: Mapping[str, str], key: str, i: int, default: str) -> str:
  return window[key].split("x")[i] if key in window else default


def _taps(
  out: int, size: int, given: int, stride: int, pad: int, left: int, right: int
) -> int:
  """Pairs of an output and a tap of the window that meet an element.

  A product over a batch is written as a convolution with gaps, most of whose
  taps meet none.

  Args:
    out, size, given: length of the output, the window and the input.
    stride: of the window.
    pad: zeros before the input.
    left, right: one behind the other, elements of the input and taps of the
      window are so far apart; one of them is 1.
  """
  end, taps = (given - 1) * left, 0
  for first in range(-pad, out * stride - pad, stride):
    low, high = max(first, 0), min(first + (size - 1) * right, end)
    if left > 1:
      taps += max(high // left - -(-low // left) + 1, 0)
    else:
      taps += max((high - first) // right - -((first - low) // right) + 1, 0)
  return taps


def _seen(op: Op, pieces: set[str]) -> bool:
  """Whether a collective is another piece of one that is counted already.

  One that goes on beside other work stands in each fusion that it goes on in,
  whole, and under the same number.
  """
  if '"async_collective_fusion_config"' not in op.rest:
    return False
  number = captured(r"channel_id=(\d+)", op.rest)
  again = number in pieces
  pieces.add(number)
  return again


def _traffic(
  kind: str, op: Op, ops: Mapping[str, Op], devices: int
) -> tuple[int, float]:
  """Bytes of the whole arrays, and of what leaves a device."""
  given = sum(a.bytes for name in op.operands for a in ops[name].result)
  k = _group(op.rest, devices)
  if kind == "collective-permute":
    return given, float(given)
  size = given * k if kind == "all-gather" else given
  turns = 2 if kind == "all-reduce" else 1
  return size, turns * size * (k - 1) / k


def _group(rest: str, devices: int) -> int:
  """How many devices take part together."""
  named = re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", rest)
  if named:
    sizes = dict(re.findall(r"'([^']+)'=(\d+)", named[1]))
    used = re.findall(r"'([^']+)'", named[2])
    return math.prod(int(sizes[axis]) for axis in used)
  tiled = re.search(r"replica_groups=\[\d+,(\d+)\]", rest)
  if tiled:
    return int(tiled[1])
  listed = re.search(r"replica_groups=\{\{([\d,]+)\}", rest)
  return len(listed[1].split(",")) if listed else devices


def _moved(op: Op, ops: Mapping[str, Op]) -> int:
  """Bytes that an instruction reads from HBM and writes to it."""
  if op.code in _FREE or op.code.endswith("-start"):
    return 0
  if op.code.endswith("-done"):
    # A copy between HBM and the core, or of HBM; its source is not named.
    return sum(a.bytes for a in op.result)
  operands = [a for name in op.operands for a in ops[name].result]
  return sum(a.bytes for a in (*operands, *op.result) if a.in_hbm)
