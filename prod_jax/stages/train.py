"""Stage kind `train`: from parameters and queries to trained parameters."""

import importlib
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging

from prod_jax import config, sharding, strict
from prod_jax.batch import Batch
from prod_jax.data import loader
from prod_jax.data.negatives import Candidates
from prod_jax.methods.scoring import Sources
from prod_jax.models import hf
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.dual import DualEncoder
from prod_jax.retrieval import encode
from prod_jax.stages.inputs import PARAMS, Inputs
from prod_jax.train import loop
from prod_jax.train.checkpoint import Checkpoints
from prod_jax.train.optim import make_optimizer
from prod_jax.train.state import TrainState, init_state
from prod_jax.train.step import Step, compile_step, make_step
from prod_jax.train.writer import MetricsWriter

_ROLES = ("init", "candidates", "queries", "teacher", "scores", "anchor")
START = "start"  # the anchor that is a frozen copy of the first parameters


def inputs(stage: config.Train) -> dict[str, str]:
  """The stages that this one reads, by role."""
  named = {role: getattr(stage, role) for role in _ROLES}
  return {k: v for k, v in named.items() if v and v != START}


def fingerprint(shared: Inputs, name: str, stage: config.Train) -> dict:
  """What the result depends on besides this stage's config and inputs."""
  return {
    **shared.data_fingerprint(),
    **shared.model_fingerprint(stage.model),
    "seed": shared.seed(name),
  }


def check(shared: Inputs, name: str, stage: config.Train) -> None:
  """Whatever can be found wrong before anything runs.

  Raises:
    ConfigError: naming the key.
  """
  where = f"config.stages.{name}"
  stages = shared.config.stages
  shared.model(stage.model)
  if stage.teacher and stage.scores:
    raise strict.ConfigError(
      f"{where}: teacher runs in the step and scores are cached; set only one"
    )
  if stage.init and stages[stage.init].model != stage.model:
    raise strict.ConfigError(
      f"{where}.init: {stage.init} trains model {stages[stage.init].model}, "
      f"and this stage trains {stage.model}"
    )
  if stage.anchor and stage.anchor != START:
    encoded = stages[stages[stage.anchor].encoded]
    if encoded.params != stage.init or stage.anchor != stage.candidates:
      raise strict.ConfigError(
        f"{where}.anchor: {stage.anchor} was mined with {encoded.params}, and "
        f"this stage starts from {stage.init or 'new weights'} with the lists "
        f'of {stage.candidates}; they must be the same, or set anchor="start"'
      )
  scores = stages.get(stage.scores)
  if isinstance(scores, config.Score) and scores.candidates != stage.candidates:
    raise strict.ConfigError(
      f"{where}.candidates is {stage.candidates!r}, but {stage.scores} scored "
      f"the lists of {scores.candidates!r}"
    )
  parts = sharding.batch_devices(shared.mesh) * stage.accumulation
  if stage.batch_size % parts:
    raise strict.ConfigError(
      f"{where}.batch_size is {stage.batch_size}; it must be a multiple of "
      f"{parts}: devices along data and fsdp times accumulation"
    )
  _loss_fn(shared, name, stage)


def run(
  shared: Inputs,
  name: str,
  stage: config.Train,
  read: Mapping[str, pathlib.Path],
  folder: pathlib.Path,
) -> dict[str, Any]:
  """Trains, or goes on from the newest checkpoint in `folder`."""
  seed = shared.seed(name)
  params = (
    shared.trained_params(read["init"])
    if stage.init
    else shared.first_params(stage.model, seed)
  )
  frozen = _frozen(shared, stage, read, params)
  optimizer = make_optimizer(stage)
  step_fn, state, frozen = compile_step(
    make_step(
      _loss_fn(shared, name, stage),
      optimizer,
      seed=seed,
      accumulation=stage.accumulation,
    ),
    init_state(params, optimizer),
    frozen,
    shared.mesh,
  )
  examples = _examples(shared, stage, read)
  batches = loader.batches(
    examples,
    batch_size=stage.batch_size,
    negatives=stage.negatives,
    sampling=stage.sampling,
    seed=seed,
  )
  checkpoints = Checkpoints(folder / "checkpoints", strict.plain(stage))
  first = checkpoints.latest() or 0
  if first:
    logging.info("%s: goes on from its checkpoint at step %d", name, first)
    state = checkpoints.restore(first, state, batches)
  began = time.monotonic()
  state = _fit(
    name,
    stage,
    folder,
    shared.mesh,
    step_fn,
    state,
    frozen,
    batches,
    checkpoints,
  )
  hf.save_params(folder / PARAMS, jax.device_get(state.params))
  return {
    "steps": stage.steps,
    "queries": len(examples.rows),
    "resumed_from": first,
    "train_seconds": round(time.monotonic() - began, 1),
  }


def _fit(
  name: str,
  stage: config.Train,
  folder: pathlib.Path,
  mesh: jax.sharding.Mesh,
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
    MetricsWriter(folder),
    first=first,
    steps=stage.steps,
    batch_size=stage.batch_size,
    log_every=stage.log_every,
  )
  try:
    return loop.fit(
      step_fn,
      state,
      frozen,
      batches,
      steps=stage.steps,
      mesh=mesh,
      checkpoints=checkpoints,
      checkpoint_every=stage.checkpoint_every,
      monitor=monitor,
      first=first,
    )
  finally:
    monitor.close()
    checkpoints.close()


def _frozen(
  shared: Inputs,
  stage: config.Train,
  read: Mapping[str, pathlib.Path],
  params: Any,
) -> dict[str, Any]:
  """The trees that the step reads and never changes."""
  frozen = {}
  if stage.teacher:
    frozen["teacher"] = shared.trained_params(read["teacher"])
  if stage.anchor == START:
    # A copy: the step donates the state's buffers.
    frozen["anchor"] = jax.tree.map(np.array, params)
  return frozen


def _loss_fn(shared: Inputs, name: str, stage: config.Train):
  try:
    method = importlib.import_module(f"prod_jax.methods.{stage.method}")
  except ModuleNotFoundError as e:
    raise strict.ConfigError(
      f"config.stages.{name}.method: there is no prod_jax/methods/"
      f"{stage.method}.py"
    ) from e
  kind = shared.config.models[stage.model].kind
  if kind != method.TRAINS:
    raise strict.ConfigError(
      f"config.stages.{name}: method {stage.method} trains a model of kind "
      f"{method.TRAINS}, and {stage.model} is of kind {kind}"
    )
  settings = strict.section(
    method.Settings, stage.settings, f"config.stages.{name}.settings"
  )
  teacher = None
  if stage.teacher:
    teacher = shared.model(shared.config.stages[stage.teacher].model)
  return method.make(
    settings,
    shared.model(stage.model),
    teacher=teacher,
    sources=Sources(bool(stage.teacher or stage.scores), bool(stage.anchor)),
  )


def _examples(
  shared: Inputs, stage: config.Train, read: Mapping[str, pathlib.Path]
) -> loader.Examples:
  positives = shared.dataset.positive_rows("train")
  rows = np.array([i for i, p in enumerate(positives) if p], np.int32)
  models = [shared.model(stage.model)]
  if stage.teacher:
    models.append(shared.model(shared.config.stages[stage.teacher].model))
  cached: dict[str, Any] = {}
  if stage.candidates:
    cached["candidates"] = Candidates.load(read["candidates"] / "candidates")
    rows = np.array(cached["candidates"].query)
  if stage.anchor and stage.anchor != START:
    cached["anchor"] = cached["candidates"].score
  if stage.scores:
    cached |= _teacher(shared.config.stages[stage.scores], read["scores"])
  if stage.queries:
    rows = np.load(read["queries"] / "queries.npy", allow_pickle=False)
  return loader.Examples(
    queries=shared.tokens.queries["train"],
    passages=shared.tokens.passages,
    special=shared.tokens.special,
    positives=positives,
    rows=rows,
    lengths=shared.config.data,
    passage=any(isinstance(m, DualEncoder) for m in models),
    pair=any(isinstance(m, CrossEncoder) for m in models),
    **cached,
  )


def _teacher(stage: config.Stage, folder: pathlib.Path) -> dict[str, Any]:
  """Cached scores of a cross-encoder, or embeddings of a dual encoder."""
  if isinstance(stage, config.Score):
    path = folder / "scores.npy"
    return {"teacher": np.load(path, mmap_mode="r", allow_pickle=False)}
  return {
    "teacher_query": np.load(
      folder / "queries-train.npy", mmap_mode="r", allow_pickle=False
    ),
    "teacher_passage": encode.open_shards(folder / "passages"),
  }
