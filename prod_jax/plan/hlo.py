"""The text of a compiled program, parsed: what it computes, and how often.

A computation is run as often as it is called: the body of a loop by the trip
count, what a fusion calls once. A loop whose length is no constant of its
condition counts once. What instructions cost is cost.py.
"""

import collections
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

_BYTES = {"pred": 1, "bf16": 2, "c64": 8, "c128": 16}
_HEAD = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
_LINE = re.compile(
  r"^ +(?:ROOT )?%?([\w.-]+) = (.*?) ([a-z][\w-]*)\((.*?)\)(?:, (.*))?$"
)
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\](?:\{([^}]*)\})?")
_CALLS = re.compile(
  r"\b(?:calls|body|condition|to_apply|branch_computations|"
  r"called_computations)=(\{[^}]*\}|%?[\w.-]+)"
)


class Array(NamedTuple):
  """An array's shape, its bytes, and whether it lies in HBM."""

  shape: tuple[int, ...]
  bytes: int
  in_hbm: bool


class Op(NamedTuple):
  """An instruction: operands are names, the rest of its line is text."""

  name: str
  code: str
  result: list[Array]
  operands: list[str]
  inner: str
  rest: str


Computations = dict[str, list[Op]]


def computations(text: str) -> tuple[Computations, str]:
  """The instructions of each computation, and the name of the first."""
  found: dict[str, list[Op]] = {}
  entry, ops = "", []
  for line in text.splitlines():
    if head := _HEAD.match(line):
      ops = found.setdefault(head[2], [])
      entry = head[2] if head[1] else entry
    elif match := _LINE.match(line):
      name, result, code, inner, rest = match.groups()
      ops.append(
        Op(
          name,
          code,
          [_array(*groups) for groups in _ARRAY.findall(result)],
          re.findall(r"%([\w.-]+)", inner),
          inner,
          rest or "",
        )
      )
  return found, entry


def _array(dtype: str, dims: str, layout: str) -> Array:
  shape = tuple(int(d) for d in dims.split(",") if d)
  bits = re.search(r"\d+", dtype)
  size = _BYTES.get(dtype) or (int(bits[0]) / 8 if bits else 0)
  # S(1) is the memory of the core, others hold flags.
  in_hbm = "S(" not in layout or "S(0)" in layout
  return Array(shape, math.ceil(math.prod(shape) * size), in_hbm)


def times_run(
  computations: Mapping[str, Sequence[Op]], entry: str
) -> dict[str, int]:
  """How often each computation is run."""
  times: collections.Counter[str] = collections.Counter()

  def visit(name: str, n: int) -> None:
    times[name] += n
    for op in computations[name]:
      trips = _trips(computations, op) if op.code == "while" else 1
      for called in _called(op):
        visit(called, n * trips)

  visit(entry, 1)
  return times


def _called(op: Op) -> Iterator[str]:
  """The computations that an instruction runs."""
  for names in _CALLS.findall(op.rest):
    yield from re.findall(r"[\w.-]+", names)


def _trips(computations: Mapping[str, Sequence[Op]], loop: Op) -> int:
  known = re.search(r'known_trip_count":\{"n":"(\d+)', loop.rest)
  if known:
    return int(known[1])
  condition = captured(r"condition=%?([\w.-]+)", loop.rest)
  ends = [
    int(op.inner)
    for op in computations[condition]
    if op.code == "constant" and re.fullmatch(r"\d+", op.inner)
  ]
  return ends[0] if len(ends) == 1 else 1


def captured(pattern: str, text: str) -> str:
  """What the one group of a pattern holds.

  Raises:
    ValueError: the text of a program is not as it is expected.
  """
  found = re.search(pattern, text)
  if not found:
    raise ValueError(f"no {pattern} in an operation: {text[:200]}")
  return found[1]


def inside_others(computations: Mapping[str, Sequence[Op]]) -> set[str]:
  """Computations whose arrays are no memory traffic of their own."""
  inside: set[str] = set()
  for ops in computations.values():
    for op in ops:
      if op.code not in ("while", "conditional", "call"):
        inside.update(_called(op))
  return inside
