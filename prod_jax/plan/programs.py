"""The stages of a config as programs to compile, in their order."""

import importlib
from collections.abc import Callable, Mapping, Sequence

from prod_jax import kinds, strict
from prod_jax.data.sizes import Size
from prod_jax.plan import forward, training
from prod_jax.plan.program import Program
from prod_jax.stages.inputs import Inputs

_FORWARD: Mapping[str, Callable[..., Program | None]] = {
  "encode": forward.encode,
  "score": forward.score,
  "compare": forward.compare,
  "darken": forward.darken,
  "evaluate": forward.evaluate,
}


def programs(
  shared: Inputs, size: Size, only: Sequence[str] = (), scale: float = 1.0
) -> list[Program]:
  """The programs of the config's stages, in their order.

  Args:
    shared: with a config of `shapes.known`, and the devices of a slice.
    size: of the data set; splits that are not known are left out.
    only: names of stages; empty is all.
    scale: training batches are so many times those of the config. Others are
      of one process, whatever the slice.

  Raises:
    ConfigError: for a stage that is wrong or not there.
  """
  stages = shared.config.stages
  for name in only:
    if name not in stages:
      raise strict.ConfigError(strict.unknown_key(name, "--stage", stages))
  made = []
  for name in only or stages:
    stage = stages[name]
    if stage.kind == "train":
      program = training.program(shared, name, stage, scale)
    elif stage.kind in _FORWARD:
      program = _FORWARD[stage.kind](shared, name, stage, size)
    else:
      continue
    if program:
      _check(shared, name, stage, program)
      made.append(program)
  return made


def _check(
  shared: Inputs, name: str, stage: kinds.Stage, program: Program
) -> None:
  """What a run would check, but for a batch that does not divide."""
  module = importlib.import_module(f"prod_jax.stages.{stage.kind}")
  shared.check_roles(name, module.inputs(stage))
  if program.divides:
    module.check(shared, name, stage)
