"""Stage kind `train`: from parameters and queries to trained parameters."""

import contextlib
import functools
import importlib
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from prod_jax import kinds, packaged, sharding, strict
from prod_jax.batch import Batch
from prod_jax.batches import loader
from prod_jax.batches.assemble import Examples
from prod_jax.methods import Method, matryoshka
from prod_jax.methods.scoring import Sources
from prod_jax.models import DualEncoder, Encoder, hf
from prod_jax.models.build import shapes_of
from prod_jax.stages import (
  broken,
  examples,
  lessons,
  scorecard,
  sources,
  tracked,
  widths,
)
from prod_jax.stages.run import PARAMS, Job
from prod_jax.train import loop
from prod_jax.train.checkpoint import Checkpoints
from prod_jax.train.optim import learning_rates, make_optimizer
from prod_jax.train.state import TrainState, init_state
from prod_jax.train.step import (
  Gradient,
  LossFn,
  Step,
  compile_step,
  make_gradient,
  make_step,
)
from prod_jax.train.writer import MetricsWriter

TEACHER = "teacher.safetensors"  # what a joint stage made of its teacher
_BESIDE = 1  # makes another key of the stage's seed than the model's


def fingerprint(job: Job[kinds.Train]) -> dict[str, Any]:
  """What the result depends on besides this stage's config and inputs."""
  models = [job.stage.model]
  if job.stage.teacher:
    models.append(job.model_name("teacher"))
  found = {
    **job.run.data_fingerprint(*models),
    **job.run.model_fingerprint(job.stage.model),
    "seed": job.seed,
  }
  if "." in job.stage.method:
    # Of ours DONE files have the commit; of somebody's own there is this alone.
    module: Any = _method(job)
    found["method"] = packaged.sha256(pathlib.Path(module.__file__))
  return found


def check(job: Job[kinds.Train]) -> None:
  """Whatever can be found wrong before anything runs.

  Raises:
    ConfigError: naming the key.
  """
  stage = job.stage
  if stage.model not in job.run.config.models:
    raise strict.ConfigError(
      f"{job.where}.model is {stage.model!r}, and there is no such model; "
      f"known: {', '.join(job.run.config.models)}"
    )
  job.run.model(stage.model)
  if stage.init and job.model_name("init") != stage.model:
    raise strict.ConfigError(
      f"{job.where}.init: {stage.init} trains model "
      f"{job.model_name('init')}, and this stage trains {stage.model}"
    )
  examples.check(job)
  widths.check(job, job.run.model(stage.model))
  if "anchor" in job.inputs:
    _check_anchor(job)
  _check_mesh(job)
  groups = examples.grouping(job).groups
  if stage.batch_size % groups:
    raise strict.ConfigError(
      f"{job.where}.batch_size is {stage.batch_size}; it must be a multiple of "
      f"{groups}: devices along data and fsdp times accumulation times chunks"
    )
  try:
    make_optimizer(stage)
  except strict.ConfigError as error:
    raise strict.ConfigError(
      f"{job.where}.{error}; set both, such as --{job.where}.steps="
      f"{stage.steps} --{job.where}.warmup_steps={stage.steps // 10}"
    ) from error
  # As the run builds it: a method says here what it does not find.
  _loss_fn(job)
  examples.check_labels(job, _learns_unlabelled(job))


def run(job: Job[kinds.Train]) -> dict[str, Any]:
  """Trains, or goes on from the newest checkpoint in the job's folder."""
  run, stage = job.run, job.stage
  params, frozen = first_trees(job)
  if not stage.steps:
    return _kept(job, params)
  step, first_state = step_of(job)
  compiled, state = compile_step(step, first_state(params), frozen, run.mesh)
  folder = run.processes.remote(job.folder / "checkpoints")
  with (
    contextlib.closing(Checkpoints(folder, strict.plain(stage))) as checkpoints,
    contextlib.closing(
      MetricsWriter(job.folder, run.processes, tracked.teller(job))
    ) as writer,
  ):
    first, state = checkpoints.newest(state)
    # All of them, or the steps of one would wait for the others for ever.
    run.processes.meet(f"{job.name}: goes on from step {first}")
    if first:
      logging.info(
        "%s: goes on from its checkpoint at step %d", job.name, first
      )
    learnt_from = examples_of(job)
    counts = lessons.check(job, learnt_from)
    scorecard.write(job, learnt_from, _temperatures(job))
    schedule = loop.Schedule(
      name=job.name,
      first=first,
      steps=stage.steps,
      batch_size=stage.batch_size,
      log_every=stage.log_every,
      checkpoint_every=stage.checkpoint_every,
      learning_rates=learning_rates(stage),
      profile=job.run.profile.of(job.name),
    )
    began = time.monotonic()
    try:
      fitted = loop.fit(
        compiled,
        state,
        batches(job, learnt_from, first),
        schedule,
        checkpoints,
        writer,
        run.processes,
      )
    except loop.NonFiniteError as error:
      raise broken.of_step(job, error) from error
  # Every process takes part in gathering, and one of them writes.
  params = sharding.gathered(fitted.state.params, run.mesh)
  if run.processes.first:
    _save(job, params)
  return {
    "steps": stage.steps,
    "queries": len(learnt_from.rows),
    "unlabelled": sum(not learnt_from.positives[i] for i in learnt_from.rows),
    **lessons.summary(counts, fitted.still, stage.steps - first),
    "resumed_from": first,
    "train_seconds": round(time.monotonic() - began, 1),
  }


def _kept(job: Job[kinds.Train], params: Any) -> dict[str, Any]:
  """Leaves the first parameters as they are; no query is read for that."""
  if job.run.processes.first:
    _save(job, params)
  return {"steps": 0, "queries": 0, "resumed_from": 0, "train_seconds": 0.0}


def step_of(
  job: Job[kinds.Train],
) -> tuple[Step, Callable[[Any], TrainState]]:
  """The stage's step, not yet compiled, and the state that params begin as."""
  optimizer = make_optimizer(job.stage)
  step = make_step(
    _loss_fn(job),
    optimizer,
    seed=job.seed,
    accumulation=job.stage.accumulation,
  )
  return step, functools.partial(init_state, optimizer=optimizer)


def examples_of(job: Job[kinds.Train]) -> Examples:
  """What the stage learns from."""
  return examples.examples(job, _learns_unlabelled(job))


def gradient_of(job: Job[kinds.Train]) -> Gradient:
  """What the step takes its gradient by, without the optimizer."""
  return make_gradient(
    _loss_fn(job), seed=job.seed, accumulation=job.stage.accumulation
  )


def beside(job: Job[kinds.Train]) -> dict[str, Any]:
  """Parameters of the method's own, by name, as they begin; most have none."""
  made, method = _made(job), _method(job)
  if not hasattr(method, "beside"):
    return {}
  key = jax.random.fold_in(jax.random.key(job.seed), _BESIDE)
  student = matryoshka.student_of(made.student, job.stage.widths)
  return method.beside(made.settings, student, made.offered, key)


def trees(
  stage: kinds.Train,
  params: Any,
  teacher: Any,
  beside: dict[str, Any],
  copy: Callable[[Any], Any],
) -> tuple[Any, dict[str, Any]]:
  """What is trained, as it begins, and what the step only reads.

  Args:
    stage: says which of these there are.
    params: of the model.
    teacher: parameters of a teacher in the step, else None.
    beside: what the method trains beside the model.
    copy: of a leaf, for an anchor, because the step donates the state.
  """
  frozen = {}
  if stage.anchor == sources.START:
    frozen["anchor"] = jax.tree.map(copy, params)
  if stage.joint:
    return {"student": params, "teacher": teacher, **beside}, frozen
  if stage.teacher:
    frozen["teacher"] = teacher
  return {"student": params, **beside} if beside else params, frozen


def _check_mesh(job: Job[kinds.Train]) -> None:
  """Raises ConfigError for a model that the mesh cannot be laid over."""
  name, mesh = job.stage.model, job.run.mesh
  model, tensor = job.run.model(name), mesh.shape["tensor"]
  if model.transformer.heads % tensor:
    raise strict.ConfigError(
      f"{job.where}.model: {name} has {model.transformer.heads} attention "
      f"heads, which do not divide by config.mesh.tensor={tensor}"
    )
  sharding.shardings(shapes_of(model), mesh)


def _check_anchor(job: Job[kinds.Train]) -> None:
  """Raises ConfigError where the mined scores are not those of the start.

  Nor are they where the student is cut, and the vectors were not.
  """
  stage = job.stage
  mined_with = examples.mined_with(job, stage.anchor)
  begins_with = examples.begins_with(job)
  if mined_with != begins_with or stage.anchor != stage.candidates:
    raise strict.ConfigError(
      f"{job.where}.anchor: {stage.anchor} was mined with "
      f"{mined_with or 'no model'}, "
      f"and this stage starts from {begins_with or 'new weights'} with the "
      f"lists of {stage.candidates}; they must be the same, or set "
      'anchor="start"'
    )
  if not stage.widths:
    return
  student = job.run.model(stage.model)
  assert isinstance(student, DualEncoder)  # as `widths.check` has seen
  if stage.widths[-1] < student.width:
    raise strict.ConfigError(
      f"{job.where}.anchor: {stage.anchor} has scores of all {student.width} "
      f"coordinates, and widths={stage.widths} cuts the student; set "
      'anchor="start", which is cut alike'
    )


def batches(
  job: Job[kinds.Train], learnt_from: Examples, first: int
) -> Iterator[Batch]:
  """This process's rows of each batch, from step `first` on."""
  stage = job.stage
  return loader.batches(
    learnt_from,
    batch_size=stage.batch_size,
    seed=job.seed,
    first=first,
    local_rows=sharding.batch_rows(job.run.mesh, stage.batch_size),
    grouping=examples.grouping(job) if examples.packs(job) else None,
    steps=stage.steps,
  )


def first_trees(job: Job[kinds.Train]) -> tuple[Any, dict[str, Any]]:
  """What is trained, as it begins, and what the step only reads."""
  run, stage = job.run, job.stage
  params = (
    job.params_of("init")
    if stage.init
    else run.first_params(stage.model, job.seed)
  )
  teacher = job.params_of("teacher") if stage.teacher else None
  # Copied: an anchor that shared arrays with the state would be donated too.
  return trees(stage, params, teacher, beside(job), np.array)


def _save(job: Job[kinds.Train], params: Any) -> None:
  """Writes what was trained; later stages read the student."""
  if job.stage.joint:
    hf.save_params(job.folder / TEACHER, params["teacher"])
  if job.stage.joint or beside(job):
    params = params["student"]
  hf.save_params(job.folder / PARAMS, params)


class _Made(NamedTuple):
  """What a method makes its loss of."""

  settings: Any
  student: Encoder
  offered: Sources


def _loss_fn(job: Job[kinds.Train]) -> LossFn:
  stage, method = job.stage, _method(job)
  settings, student, offered = _made(job)
  try:
    if stage.widths:
      assert isinstance(student, DualEncoder)  # as `widths.check` has seen
      return matryoshka.make(method, settings, student, offered, stage.widths)
    return method.make(settings, student, offered)
  except strict.ConfigError as error:  # the method does not know its stage
    raise strict.ConfigError(f"{job.where}: {error}") from error


def _temperatures(job: Job[kinds.Train]) -> tuple[float, float]:
  """What divides the teacher's and the student's scores in the loss."""
  method = _method(job)
  if not hasattr(method, "temperatures"):
    return 1.0, 1.0
  return method.temperatures(_made(job).settings)


def _made(job: Job[kinds.Train]) -> _Made:
  """The same, checked against what the method reads and trains."""
  stage, method = job.stage, _method(job)
  kind = job.run.config.models[stage.model].kind
  if kind not in method.TRAINS:
    raise strict.ConfigError(
      f"{job.where}: method {stage.method} trains a model of kind "
      f"{' or '.join(method.TRAINS)}, and {stage.model} is of kind {kind}"
    )
  settings = strict.section(
    method.Settings, stage.settings, f"{job.where}.settings"
  )
  offered = examples.offered(job)
  for name in sorted(offered.names - set(method.READS)):
    raise strict.ConfigError(
      f"{job.where}: method {stage.method} has no use for the stage's {name}; "
      f"it reads {', '.join(method.READS) or 'labels'}"
    )
  return _Made(settings, examples.model(job), offered)


def _learns_unlabelled(job: Job[kinds.Train]) -> bool:
  """Whether the method, as it is set, can do with queries without labels."""
  asked = getattr(_method(job), "learns_unlabelled", None)
  return asked is not None and asked(_made(job).settings)


def _method(job: Job[kinds.Train]) -> Method:
  """The module of a method: one of ours, or anyone's by its dotted name."""
  name = job.stage.method
  if not all(part.isidentifier() for part in name.split(".")):
    raise strict.ConfigError(
      f"{job.where}.method is {name!r}; it takes a name in prod_jax/methods, "
      "or the dotted name of a module"
    )
  own = "." not in name
  module = f"prod_jax.methods.{name}" if own else name
  try:
    method = importlib.import_module(module)
  except ModuleNotFoundError as e:
    if not module.startswith(e.name or ""):
      raise  # the method is there, and what it imports is not
    where = f"prod_jax/methods/{name}.py" if own else f"module {module}"
    raise strict.ConfigError(f"{job.where}.method: there is no {where}") from e
  if not hasattr(method, "TRAINS"):
    raise strict.ConfigError(
      f"{job.where}.method: {module} is no method; see docs/ADD_A_METHOD.md"
    )
  return method
