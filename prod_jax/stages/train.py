"""Stage kind `train`: from parameters and queries to trained parameters."""

import functools
import importlib
import pathlib
import time
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging

from prod_jax import kinds, sharding, strict
from prod_jax.batch import Batch
from prod_jax.data import loader
from prod_jax.models import hf
from prod_jax.stages import examples
from prod_jax.stages.inputs import PARAMS, Inputs
from prod_jax.train import loop
from prod_jax.train.checkpoint import Checkpoints
from prod_jax.train.optim import make_optimizer
from prod_jax.train.state import TrainState, init_state
from prod_jax.train.step import Step, compile_step, make_step
from prod_jax.train.writer import MetricsWriter

_ROLES = (
  "init",
  "candidates",
  "queries",
  "teacher",
  "scores",
  "second",
  "anchor",
  "pairs",
  "dark",
  "clusters",
)
TEACHER = "teacher.safetensors"  # what a joint stage made of its teacher


def inputs(stage: kinds.Train) -> dict[str, str]:
  """The stages that this one reads, by role."""
  named = {role: getattr(stage, role) for role in _ROLES}
  return {k: v for k, v in named.items() if v and v != examples.START}


def fingerprint(shared: Inputs, name: str, stage: kinds.Train) -> dict:
  """What the result depends on besides this stage's config and inputs."""
  return {
    **shared.data_fingerprint(),
    **shared.model_fingerprint(stage.model),
    "seed": shared.seed(name),
  }


def check(shared: Inputs, name: str, stage: kinds.Train) -> None:
  """Whatever can be found wrong before anything runs.

  Raises:
    ConfigError: naming the key.
  """
  where = f"config.stages.{name}"
  stages = shared.config.stages
  shared.model(stage.model)
  if stage.init and stages[stage.init].model != stage.model:
    raise strict.ConfigError(
      f"{where}.init: {stage.init} trains model {stages[stage.init].model}, "
      f"and this stage trains {stage.model}"
    )
  if stage.anchor and stage.anchor != examples.START:
    encoded = stages[stages[stage.anchor].encoded]
    if encoded.params != stage.init or stage.anchor != stage.candidates:
      raise strict.ConfigError(
        f"{where}.anchor: {stage.anchor} was mined with {encoded.params}, and "
        f"this stage starts from {stage.init or 'new weights'} with the lists "
        f'of {stage.candidates}; they must be the same, or set anchor="start"'
      )
  examples.check(shared, name, stage)
  shared.check_mesh(where, stage.model)
  for key in ("accumulation", "chunks"):
    if getattr(stage, key) < 1:
      raise strict.ConfigError(
        f"{where}.{key} is {getattr(stage, key)}; it is 1 or more"
      )
  parts = examples.cut(shared, stage).groups
  if stage.batch_size % parts:
    raise strict.ConfigError(
      f"{where}.batch_size is {stage.batch_size}; it must be a multiple of "
      f"{parts}: devices along data and fsdp times accumulation times chunks"
    )
  _loss_fn(shared, name, stage)


def run(
  shared: Inputs,
  name: str,
  stage: kinds.Train,
  read: Mapping[str, pathlib.Path],
  folder: pathlib.Path,
) -> dict[str, Any]:
  """Trains, or goes on from the newest checkpoint in `folder`."""
  seed = shared.seed(name)
  params, frozen = _first_trees(shared, name, stage, read)
  step, first_state = step_of(shared, name, stage)
  step_fn, state, frozen = compile_step(
    step, first_state(params), frozen, shared.mesh
  )
  checkpoints = Checkpoints(
    shared.group.remote(folder / "checkpoints"), strict.plain(stage)
  )
  first = checkpoints.latest() or 0
  shared.group.meet(f"{name}: goes on from step {first}")
  if first:
    logging.info("%s: goes on from its checkpoint at step %d", name, first)
    state = checkpoints.restore(first, state)
  learnt_from = examples.examples(shared, stage, read)
  batches = loader.batches(
    learnt_from,
    batch_size=stage.batch_size,
    negatives=stage.negatives,
    draw=examples.draw_of(name, stage),
    cluster_Q=examples.clusters(stage, read, learnt_from.rows),
    seed=seed,
    first=first,
    part=sharding.batch_rows(shared.mesh, stage.batch_size),
    cut=examples.cut(shared, stage) if examples.packs(shared, stage) else None,
    steps=stage.steps,
  )
  began = time.monotonic()
  state = _fit(
    shared, name, stage, folder, step_fn, state, frozen, batches, checkpoints
  )
  params = sharding.gathered(state.params, shared.mesh)
  if shared.group.first:
    _save(folder, stage, params)
  return {
    "steps": stage.steps,
    "queries": len(learnt_from.rows),
    "resumed_from": first,
    "train_seconds": round(time.monotonic() - began, 1),
  }


def step_of(
  shared: Inputs, name: str, stage: kinds.Train
) -> tuple[Step, Callable[[Any], TrainState]]:
  """The stage's step, not yet compiled, and the state that params begin as."""
  optimizer = make_optimizer(stage)
  step = make_step(
    _loss_fn(shared, name, stage),
    optimizer,
    seed=shared.seed(name),
    accumulation=stage.accumulation,
  )
  return step, functools.partial(init_state, optimizer=optimizer)


def trees(
  stage: kinds.Train, params: Any, teacher: Any, copy: Callable[[Any], Any]
) -> tuple[Any, dict[str, Any]]:
  """What is trained, as it begins, and what the step only reads.

  Args:
    stage: says which of these there are.
    params: of the model.
    teacher: parameters of a teacher in the step, else None.
    copy: of a leaf, for an anchor, because the step donates the state.
  """
  frozen = {}
  if stage.anchor == examples.START:
    frozen["anchor"] = jax.tree.map(copy, params)
  if stage.joint:
    return {"student": params, "teacher": teacher}, frozen
  if stage.teacher:
    frozen["teacher"] = teacher
  return params, frozen


def _fit(
  shared: Inputs,
  name: str,
  stage: kinds.Train,
  folder: pathlib.Path,
  step_fn: Step,
  state: TrainState,
  frozen: dict[str, Any],
  batches: Iterator[Batch],
  checkpoints: Checkpoints,
) -> TrainState:
  """Runs the loop from the state's own step, and closes what it opened."""
  first = int(state.step)
  monitor = loop.Monitor(
    name,
    MetricsWriter(folder, shared.group),
    first=first,
    steps=stage.steps,
    batch_size=stage.batch_size,
    log_every=stage.log_every,
    group=shared.group,
  )
  try:
    return loop.fit(
      step_fn,
      state,
      frozen,
      batches,
      name=name,
      steps=stage.steps,
      batch_size=stage.batch_size,
      mesh=shared.mesh,
      checkpoints=checkpoints,
      checkpoint_every=stage.checkpoint_every,
      monitor=monitor,
      group=shared.group,
      first=first,
    )
  finally:
    monitor.close()
    checkpoints.close()


def _first_trees(
  shared: Inputs,
  name: str,
  stage: kinds.Train,
  read: Mapping[str, pathlib.Path],
) -> tuple[Any, dict[str, Any]]:
  """What is trained, as it begins, and what the step only reads."""
  params = (
    shared.trained_params(read["init"])
    if stage.init
    else shared.first_params(stage.model, shared.seed(name))
  )
  teacher = shared.trained_params(read["teacher"]) if stage.teacher else None
  return trees(stage, params, teacher, np.array)


def _save(folder: pathlib.Path, stage: kinds.Train, params: Any) -> None:
  """Writes what was trained; later stages read the student."""
  if stage.joint:
    hf.save_params(folder / TEACHER, params["teacher"])
    params = params["student"]
  hf.save_params(folder / PARAMS, params)


def _loss_fn(shared: Inputs, name: str, stage: kinds.Train):
  method = _method(name, stage)
  kind = shared.config.models[stage.model].kind
  if kind not in method.TRAINS:
    raise strict.ConfigError(
      f"config.stages.{name}: method {stage.method} trains a model of kind "
      f"{' or '.join(method.TRAINS)}, and {stage.model} is of kind {kind}"
    )
  settings = strict.section(
    method.Settings, stage.settings, f"config.stages.{name}.settings"
  )
  sources = examples.sources(shared, name, stage)
  for field, there in sources._asdict().items():
    if there and field not in (*method.READS, "model"):
      raise strict.ConfigError(
        f"config.stages.{name}: method {stage.method} has no use for the "
        f"stage's {field}; it reads {', '.join(method.READS) or 'labels'}"
      )
  return method.make(settings, examples.model(shared, stage), sources)


def _method(name: str, stage: kinds.Train) -> types.ModuleType:
  """The module of a method: one of ours, or anyone's by its dotted name."""
  own = "." not in stage.method
  module = f"prod_jax.methods.{stage.method}" if own else stage.method
  try:
    method = importlib.import_module(module)
  except ModuleNotFoundError as e:
    if not module.startswith(e.name or ""):
      raise  # the method is there, and what it imports is not
    where = f"prod_jax/methods/{stage.method}.py" if own else f"module {module}"
    raise strict.ConfigError(
      f"config.stages.{name}.method: there is no {where}"
    ) from e
  if not hasattr(method, "TRAINS"):
    raise strict.ConfigError(
      f"config.stages.{name}.method: {module} is no method; see "
      "docs/ADD_A_METHOD.md"
    )
  return method
