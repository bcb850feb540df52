"""What has come to no finite number, done again to find the first of them.

A step of a train stage is done of the batch that the run has kept, and of the
newest state that it has kept before that step; texts that a model has read are
read again. Works on one device, whatever the run had: the numbers are the same
up to rounding, and dropout is drawn anew on another kind of processor.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from prod_jax import config, kinds, sharding, storage, strict
from prod_jax.batch import Batch
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.late import LateInteraction
from prod_jax.retrieval import encode, rerank
from prod_jax.stages import broken, job_of, train
from prod_jax.stages.run import Job, Run
from prod_jax.train import kept, nonfinite
from prod_jax.train.checkpoint import Checkpoints
from prod_jax.train.state import TrainState
from prod_jax.train.step import Compiled, compile_step, norm_of

_MOST = 5  # of each kind of thing that is listed
_GRADIENT, _NORM = "gradient/", "grad_norm"
# In which a stage has the model that reads texts.
_ROLES = {"gate": "teacher", "evaluate": "rerank"}


class Replayed(NamedTuple):
  """What the work has come to this time.

  Attributes:
    said: what it was, and what it has come to.
    finite: what it means if all of it is finite.
    record: what the run has kept of it.
    cause: where the first value that is not finite arose.
    batch: that it was made of.
  """

  said: tuple[str, ...]
  finite: str
  record: dict[str, Any]
  cause: nonfinite.Found
  batch: Any


def replay(run: Run, name: str = "", *, redo: bool = False) -> Replayed:
  """Does again what a stage has kept last.

  Args:
    run: whose stage it is.
    name: of the stage; "" is the only one that has kept something.
    redo: of a train stage, does the steps between the kept state and that step
      again first.

  Raises:
    ConfigError: nothing is kept.
  """
  name = name or _only(run)
  job = _on_one_device(run, name)
  run.processes.fetch(job.folder / kept.FOLDER)
  steps = kept.steps(job.folder)
  if not steps:
    raise strict.ConfigError(
      f"{job.folder} has no {kept.FOLDER}: the stage has not stopped for a "
      "number that is none"
    )
  for role in job.inputs:
    job.run.processes.fetch(job.inputs[role], but=("blocks", "checkpoints"))
  batch, record = kept.load(job.folder, steps[-1])
  if isinstance(batch, Batch):
    return _step(job, batch, record, redo)
  return _texts(job, batch, record)


def lines(made: Replayed) -> Iterator[str]:
  """What there is to say of it."""
  yield from made.said
  cause = made.cause
  if cause.first is None:
    yield made.finite
    return
  yield f"the first value that is not finite: {_said(cause.first)}"
  yield from (f"  {line}" for line in cause.first.lines[:_MOST])
  names = [x.what for x in cause.behind if x.kind == "argument"]
  others = [name for name in names if name != cause.first.what]
  if others:
    yield f"also not finite as they came in: {_few(others)}"
  if isinstance(made.batch, Batch):
    yield from _scores(made)
  terms = [
    x for x in cause.bad_outputs if not x.startswith(_GRADIENT) and x != _NORM
  ]
  gradients = [x for x in cause.bad_outputs if x.startswith(_GRADIENT)]
  if terms:
    yield f"not finite in the end: {_few(terms)}"
  if gradients:
    yield f"gradients that are not finite: {_few(gradients)}"


def _only(run: Run) -> str:
  """The stage that has kept something.

  Raises:
    ConfigError: there is none, or there are several.
  """
  shared = run.processes.shared_folder
  found = [
    name
    for name in run.config.stages
    if (run.processes.remote(run.folder(name)) / kept.FOLDER).exists()
  ]
  if len(found) != 1:
    said = f"several: {', '.join(found)}" if found else "none"
    raise strict.ConfigError(
      f"--stage: stages of {shared} that have kept a step are {said}; a stage "
      "keeps one when a loss or gradient of it is no number"
    )
  return found[0]


def _on_one_device(run: Run, name: str) -> Job[Any]:
  """The stage as one device does it."""
  if name not in run.config.stages:
    raise strict.ConfigError(
      f"--stage: there is no stage {name!r}; known: "
      f"{', '.join(run.config.stages)}"
    )
  alone = dataclasses.replace(run.config, mesh=config.Mesh())
  return job_of(
    dataclasses.replace(run, config=alone, devices=jax.devices()[:1]), name
  )


def _step(
  job: Job[kinds.Train], batch: Batch, record: dict[str, Any], redo: bool
) -> Replayed:
  """A step of a train stage."""
  params, frozen = train.first_trees(job)
  step, first_state = train.step_of(job)
  mesh, number = job.run.mesh, record["step"]
  compiled, state = compile_step(step, first_state(params), frozen, mesh)
  folder = job.run.processes.remote(job.folder / "checkpoints")
  of, state = _kept_state(folder, number, state)
  gradient: Any = train.gradient_of(job)

  def named(**arguments: Any) -> dict[str, Any]:
    loss, metrics, grads = gradient(**arguments)
    return {
      "gradient": grads,
      _NORM: norm_of(grads),
      "loss": loss,
      "metrics": metrics,
    }

  with jax.set_mesh(mesh):
    if redo:
      state, of, other = _again(job, compiled, state, of, number)
      if other is not None:
        number, batch = of, other
        record = {**record, **broken.ids_of(job, batch)}
    arguments = {
      "step": np.int32(number),
      "params": state.params,
      "frozen": compiled.frozen,
      "batch": sharding.put_batch(batch, mesh),
    }
    made = jax.jit(lambda arguments: named(**arguments))(arguments)
    logging.info("%s: looking where it begins", job.name)
    cause = nonfinite.find(named, **arguments)
  metrics = {k: made[k] for k in (_NORM, "loss")} | made["metrics"]
  said: tuple[str, ...] = (
    f"stage {job.name}, step {number}",
    f"as it was: {_listed(record['metrics'])}",
    f"again, on {mesh.devices.flat[0].platform}, by the parameters of step "
    f"{of}: {_listed({k: f'{float(v):.6g}' for k, v in metrics.items()})}",
  )
  if not np.isfinite(made[_NORM]):
    said += _largest(made["gradient"])
  return Replayed(said, _finite(number, of), record, cause, batch)


def _largest(gradient: Any) -> tuple[str, ...]:
  """Where a gradient is too large for its norm; nothing if it is not finite."""
  most = jax.tree.map(lambda x: float(abs(x).max()), gradient)
  path, value = max(jax.tree.leaves_with_path(most), key=lambda leaf: leaf[1])
  if not all(map(math.isfinite, jax.tree.leaves(most))):
    return ()
  name = jax.tree_util.keystr(path, simple=True, separator="/")
  return (
    f"the gradient is finite, its norm is too large for float32: up to "
    f"{value:.6g}, in {name}. Look at the loss, and at the model's scale",
  )


def _texts(job: Job[Any], texts: Any, record: dict[str, Any]) -> Replayed:
  """Texts that a model reads which does not learn."""
  role = _ROLES.get(job.stage.kind, "params")
  model, params = job.model_of(role), job.params_of(role)
  tower = "query" if record["queries"] else "passage"

  def read(params: Any, texts: Any) -> Any:
    if isinstance(model, CrossEncoder):
      return {"scores": rerank.score_pairs(model, params, texts)}
    if isinstance(model, LateInteraction):
      pair = texts.query, texts.passage
      return {"scores": rerank.score_late_pairs(model, params, pair)}
    return {"vectors": encode.embed_texts(model, params, texts, tower)}

  cause = nonfinite.find(read, params=params, texts=texts)
  names = record["queries"], record["passages"]
  said = (
    f"stage {job.name}, model {job.model_name(role)}",
    *(
      f"{what}: {_few(ids)}"
      for what, ids in zip(("queries", "passages"), names, strict=True)
      if ids
    ),
  )
  return Replayed(said, _finite(0, 0), record, cause, texts)


def _kept_state(
  folder: storage.Path, step: int, state: TrainState
) -> tuple[int, TrainState]:
  """The newest state of the step or one before it, and how many were done."""
  if not folder.exists():
    return 0, state
  checkpoints = Checkpoints(folder, {})
  try:
    return checkpoints.up_to(step, state)
  finally:
    checkpoints.close()


def _again(
  job: Job[kinds.Train],
  compiled: Compiled,
  state: TrainState,
  first: int,
  last: int,
) -> tuple[TrainState, int, Batch | None]:
  """The state before the first step whose numbers are none, `last` at most.

  Returns:
    The state, how many steps it has seen, and where that is not `last`, the
    batch of that step.
  """
  step, _ = train.step_of(job)
  advance = jax.jit(step)  # nothing is donated: the state before is asked for
  batches = train.batches(job, train.examples_of(job), first)
  for number in range(first, last):
    batch = next(batches)
    placed = sharding.put_batch(batch, compiled.mesh)
    after, metrics = advance(state, compiled.frozen, placed)
    if not all(math.isfinite(metrics[k]) for k in ("loss", _NORM)):
      return state, number, batch
    state = after
  return state, last, None


def _finite(step: int, of: int) -> str:
  """What it means where nothing is found."""
  if of < step:
    return (
      f"all of it is finite by the parameters of step {of}: they went wrong in "
      f"the {step - of} steps since; --redo does these again"
    )
  return (
    "all of it is finite this time; was it the processor, or its rounding? "
    "Look at the largest numbers, and at the precision of the model"
  )


def _listed(figures: dict[str, str]) -> str:
  return ", ".join(f"{name} {figures[name]}" for name in sorted(figures))


def _said(made: nonfinite.Made) -> str:
  """A value in words."""
  what = "NaN" if made.has_nan else "infinity"
  much = f"{what} in {int(made.bad.sum())} of {made.bad.size} numbers"
  shape = f"{made.dtype}{list(made.bad.shape)}"
  if made.kind == "argument":
    return f"{made.what} came in so, {much}, {shape}"
  way = "of a gradient, " if made.backward else ""
  where = f", in {made.where}" if made.where else ""
  return f"{way}{made.what}{where}: {much}, {shape}, of finite ones"


def _scores(made: Replayed) -> Iterator[str]:
  """The first scores of queries and passages that it led to, by their ids."""
  where_BN = np.asarray(made.batch.where_BN)
  shapes = (where_BN.shape, (len(where_BN), where_BN.size))
  for value in made.cause.behind:
    if value.bad.shape not in shapes:
      continue
    own = value.bad.shape == where_BN.shape
    there = where_BN if own else where_BN.reshape(1, -1)
    pairs = np.argwhere(value.bad & there).tolist()
    if not pairs:
      continue
    N = where_BN.shape[1]
    queries, passages = made.record["queries"], made.record["passages"]
    said = [
      f"{queries[b]} with {passages[b][i] if own else passages[i // N][i % N]}"
      for b, i in pairs
    ]
    once = [*dict.fromkeys(said)]
    yield f"queries and passages whose scores it reaches: {_few(once)}"
    return


def _few(names: list[str]) -> str:
  """Some names, and how many others there are."""
  more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
  return (", ".join(names[:_MOST]) or "none") + more
