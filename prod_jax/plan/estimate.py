"""One row a stage and slice: fits or not, how large, how long, what limits.

A step takes at least as long as its matmuls at the chips' peak, its memory
traffic at their bandwidth, and its collectives at the links' speed; the
largest of the three is the roofline time. Whatever else a step does comes on
top: input, launch, and parts that do not overlap.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from absl import logging

from prod_jax import config
from prod_jax.plan import compiled, programs, search, shapes
from prod_jax.plan.chips import Slice, slice_of
from prod_jax.plan.compiled import Compiled, Compiler
from prod_jax.plan.programs import Program
from prod_jax.processes import Processes
from prod_jax.sets.sizes import Size
from prod_jax.stages.run import Run

Row = dict[str, Any]

# What is not known of a program that does not fit.
_COSTS = (
  "flops",
  "flops_matmul",
  "bytes_moved",
  "collective_bytes",
  "collective_counts",
  "seconds",
  "roofline_seconds",
  "limit",
  "mfu",
  "hours",
  "chip_hours",
)
_UNPRINTED = (
  "its program uses a SparseCore, and this jaxlib cannot print it: traffic and "
  "collectives are not known, and its time is that of the model's own FLOPs at "
  "the peak"
)


def plan(
  planned: config.Config,
  topologies: Sequence[str],
  compiler: Compiler,
  size: Size,
  *,
  stages: Sequence[str] = (),
  scale_from: int = 0,
  find_largest: bool = True,
) -> list[Row]:
  """Rows of all stages that run a model, slice by slice.

  Args:
    planned: the config.
    topologies: names of slices.
    compiler: asked for each program.
    size: of the data set.
    stages: names; empty is all.
    scale_from: training batches of the config are for so many chips, and
      other slices get batches in proportion; 0 leaves them as they are.
    find_largest: search the largest batch that fits.

  Raises:
    ConfigError: for a config that could not run, an unknown slice, or where
      something is needed that is not on this machine.
  """
  compiled.without_a_tpu()
  planned, processes = shapes.known(planned), Processes(pathlib.Path())
  rows = []
  for slice_ in map(slice_of, topologies):
    run = Run(planned, processes, devices=compiled.devices(slice_))
    shapes.check_vocabulary(run)
    scale = slice_.chips / scale_from if scale_from else 1.0
    made = programs.programs(run, size, stages, scale)
    for number, program in enumerate(made, 1):
      logging.info(
        "%s, stage %d of %d: %s", slice_.name, number, len(made), program.stage
      )
      rows.append(_row(program, slice_, compiler, find_largest))
  return rows


def _row(
  program: Program, slice_: Slice, compiler: Compiler, find_largest: bool
) -> Row:
  result = None
  if program.divides:
    result = _ask(compiler, slice_, program, program.batch)
  row = {
    "stage": program.stage,
    "kind": program.kind,
    "model": program.model,
    "topology": slice_.name,
    "chips": slice_.chips,
    "unit": program.unit,
    "batch": program.batch,
    "copies": program.copies,
    "remat": program.remat,
    "fits": bool(result and result.fits),
    "reason": _reason(program, result),
    "steps": _steps(program),
    **_memory(slice_, result),
    **_cost(program, slice_, result),
  }
  if find_largest:
    # A refusal leaves arguments out; they hardly depend on the batch.
    beside = result.arguments if result else 0

    def probe(batch: int) -> search.Probe:
      found = _ask(compiler, slice_, program, batch)
      needs = found.peak if found.fits else found.needs + beside
      return search.Probe(found.fits, needs)

    found = search.largest(probe, program.batch, program.grain, slice_.usable)
    row |= found._asdict()
  return row


def _ask(
  compiler: Compiler, slice_: Slice, program: Program, batch: int
) -> Compiled:
  what = f"{program.stage} on {slice_.name}, {batch} {program.unit}"
  return compiler(slice_, program.devices, lambda: program.lower(batch), what)


def _reason(program: Program, result: Compiled | None) -> str:
  if result is None:
    return (
      f"{program.batch} {program.unit} do not divide by {program.multiple}, "
      "devices times accumulation"
    )
  return result.said if result.printed else _UNPRINTED


def _steps(program: Program) -> int | None:
  if program.examples is None:
    return None
  return -(-program.examples // (program.batch * program.copies))


def _memory(slice_: Slice, result: Compiled | None) -> Row:
  """Bytes a device, which is a chip but for tpu7x."""
  found = dict.fromkeys(("arguments", "temporaries", "peak"))
  if result and result.fits:
    found |= {name: getattr(result, name) for name in found}
  elif result:
    found["peak"] = result.needs
  return {"hbm_bytes": {**found, "available": slice_.usable}}


def _cost(program: Program, slice_: Slice, result: Compiled | None) -> Row:
  """FLOPs of a step on all chips, bytes of one device, roofline times."""
  needed = program.flops(program.batch) * program.copies
  unknown: Row = {"flops_analytic": needed, **dict.fromkeys(_COSTS)}
  if result is None or not result.fits:
    return unknown
  if not result.printed:
    seconds = {"compute": needed / (slice_.chip.flops * slice_.chips)}
    return unknown | _times(program, slice_, seconds)
  chip, devices = slice_.chip, slice_.chip.devices
  sent = sum(c.sent for c in result.collectives)
  seconds = {
    "compute": result.matmuls * devices / chip.flops,
    "hbm": result.moved * devices / chip.bandwidth,
    "interconnect": sent * devices / slice_.interconnect if sent else 0.0,
  }
  times = _times(program, slice_, seconds)
  chips_flops = chip.flops * slice_.chips
  return {
    "flops": result.flops * program.devices * program.copies,
    "flops_matmul": result.matmuls * program.devices * program.copies,
    "flops_analytic": needed,
    "bytes_moved": result.moved,
    "collective_bytes": {c.kind: c.bytes for c in result.collectives},
    "collective_counts": {c.kind: c.times for c in result.collectives},
    "mfu": needed / (times["roofline_seconds"] * chips_flops),
    **times,
  }


def _times(program: Program, slice_: Slice, seconds: dict[str, float]) -> Row:
  """Of a step by what limits it, and of all steps by the longest."""
  limit = max(seconds, key=lambda name: seconds[name])
  time, steps = seconds[limit], _steps(program)
  hours = None if steps is None else steps * time / 3600
  return {
    "seconds": seconds,
    "roofline_seconds": time,
    "limit": limit,
    "hours": hours,
    "chip_hours": None if hours is None else hours * slice_.chips,
  }
