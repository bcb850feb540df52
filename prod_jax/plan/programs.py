"""The stages of a config as programs to compile, in their order."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from prod_jax import kinds, strict
from prod_jax.plan import forward, training
from prod_jax.plan.program import Program
from prod_jax.sets.sizes import Size
from prod_jax.stages import job_of, train
from prod_jax.stages.run import Job, Run

_FORWARD: Mapping[str, Callable[..., Program | None]] = {
  "encode": forward.encode,
  "score": forward.score,
  "compare": forward.compare,
  "darken": forward.darken,
  "gate": forward.gate,
  "evaluate": forward.evaluate,
}


def programs(
  run: Run, size: Size, only: Sequence[str] = (), scale: float = 1.0
) -> list[Program]:
  """The programs of the config's stages, in their order.

  Args:
    run: with a config of `shapes.known`, and the devices of a slice.
    size: of the data set; splits that are not known are left out. Where mean
      lengths are not known every text is of the greatest one.
    only: names of stages; empty is all.
    scale: training batches are so many times those of the config. Others are
      of one process, whatever the slice.

  Raises:
    ConfigError: for a stage that is wrong or not there, or if none of those
      named runs a model.
  """
  stages = run.config.stages
  for name in only:
    if name not in stages:
      raise strict.ConfigError(strict.unknown_key(name, "--stage", stages))
  made: list[Program | None] = []
  for name in only or stages:
    kind = stages[name].kind
    if kind == "train":
      made.append(_training(job_of(run, name), scale, size))
    elif kind in _FORWARD:
      made.append(_FORWARD[kind](job_of(run, name), size))
  found = [program for program in made if program]
  if only and not found:
    raise strict.ConfigError(
      f"--stage={','.join(only)} runs no model that a slice is planned for; "
      "name stages that train, encode, score or compare"
    )
  return found


def _training(job: Job[kinds.Train], scale: float, size: Size) -> Program:
  queries = job.stage.steps * job.stage.batch_size
  batch_size = round(job.stage.batch_size * scale)
  stage = dataclasses.replace(job.stage, batch_size=batch_size)
  job = dataclasses.replace(job, stage=stage)
  program = training.program(job, queries, size)
  if program.divides:
    train.check(job)
  return program
