"""The stages of a config as programs to compile, in their order."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence

from prod_jax import kinds, strict
from prod_jax.data.sizes import Size
from prod_jax.plan import forward, training
from prod_jax.plan.program import Program
from prod_jax.stages import train
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
    size: of the data set; splits that are not known are left out. Where mean
      lengths are not known every text is of the greatest one.
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
      made.append(_training(shared, name, stage, scale, size))
    elif stage.kind in _FORWARD:
      _check_inputs(shared, name, stage)
      made.append(_FORWARD[stage.kind](shared, name, stage, size))
  return [program for program in made if program]


def _training(
  shared: Inputs, name: str, stage: kinds.Train, scale: float, size: Size
) -> Program:
  _check_inputs(shared, name, stage)
  queries = stage.steps * stage.batch_size
  batch_size = round(stage.batch_size * scale)
  stage = dataclasses.replace(stage, batch_size=batch_size)
  program = training.program(shared, name, stage, queries, size)
  if program.divides:
    train.check(shared, name, stage)
  return program


def _check_inputs(shared: Inputs, name: str, stage: kinds.Stage) -> None:
  """Of what a run would check, what can be seen without data."""
  module = importlib.import_module(f"prod_jax.stages.{stage.kind}")
  roles = module.inputs(stage)
  for role, source in roles.items():
    if source not in shared.config.stages:
      raise strict.ConfigError(
        f"config.stages.{name}.{role} is {source!r}, which is no stage"
      )
  shared.check_roles(name, roles)
