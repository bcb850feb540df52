"""The loop around a step: checkpoints, logging, progress, a look at the loss.

Its order, in each round: save the old state if it is time, or if the run has
to stop, draw the batch, step, then look at the metrics of the step before,
which the devices have finished by now, so that they never wait for the host.
"""

import math
import sys
import time
from collections.abc import Iterator, Mapping

import jax
import numpy as np
import tqdm
from absl import logging

from prod_jax import sharding
from prod_jax.batch import Batch
from prod_jax.group import Group, Preempted
from prod_jax.train.checkpoint import Checkpoints
from prod_jax.train.state import TrainState
from prod_jax.train.step import Step
from prod_jax.train.writer import MetricsWriter

LOG_SECONDS = 60.0


class NonFiniteError(FloatingPointError):
  """A loss or gradient norm that is no number."""


class Monitor:
  """Checks and reports the metrics of steps, one step late."""

  def __init__(
    self,
    name: str,
    writer: MetricsWriter,
    *,
    first: int,
    steps: int,
    batch_size: int,
    log_every: int,
    group: Group,
  ):
    self._name, self._writer, self._group = name, writer, group
    self._steps, self._batch_size = steps, batch_size
    self._log_every = log_every
    self._pending: tuple[int, Mapping[str, jax.Array], np.ndarray] | None = None
    self._began = self._logged = time.monotonic()
    self._first = first
    self._bar = tqdm.tqdm(
      desc=name,
      total=steps,
      initial=first,
      unit="step",
      disable=not sys.stderr.isatty() or not group.first,
    )

  def push(
    self, step: int, metrics: Mapping[str, jax.Array], query_ids: np.ndarray
  ) -> None:
    """Takes the metrics of `step` and settles those of the step before."""
    previous, self._pending = self._pending, (step, metrics, query_ids)
    if previous:
      self._settle(*previous)

  def flush(self) -> None:
    """Settles the last step; afterwards no step is unchecked."""
    previous, self._pending = self._pending, None
    if previous:
      self._settle(*previous)

  def saved(self, step: int) -> None:
    """Says where a killed run would go on."""
    self._writer.publish()
    if self._bar.disable:
      logging.info("%s: checkpoint at step %d", self._name, step)

  def close(self) -> None:
    self._bar.close()
    self._writer.close()

  def _settle(
    self, step: int, metrics: Mapping[str, jax.Array], query_ids: np.ndarray
  ) -> None:
    values = {k: float(v) for k, v in jax.device_get(metrics).items()}
    if not (
      math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"])
    ):
      raise NonFiniteError(
        f"stage {self._name}, step {step}: loss {values['loss']}, gradient "
        f"norm {values['grad_norm']}. This process's part of the batch held "
        f"the query rows {query_ids.tolist()}. The last checkpoint is from "
        "before this step; lower learning_rate, set clip, or look at these "
        "queries"
      )
    done = step + 1
    elapsed = time.monotonic() - self._began
    rate = (done - self._first) * self._batch_size / max(elapsed, 1e-9)
    at_all = self._group.first
    if at_all and (done % self._log_every == 0 or done == self._steps):
      self._writer.write(done, {**values, "queries_per_second": rate})
    self._bar.set_postfix_str(
      f"loss {values['loss']:.4f}, {rate:.1f} queries/s", refresh=False
    )
    self._bar.update(done - self._bar.n)
    if self._bar.disable:
      self._line(done, values["loss"], rate)

  def _line(self, done: int, loss: float, rate: float) -> None:
    now = time.monotonic()
    if done != self._steps and now - self._logged < LOG_SECONDS:
      return
    self._logged = now
    left = (self._steps - done) * self._batch_size / max(rate, 1e-9)
    logging.info(
      "%s: step %d of %d, loss %.4f, %.1f queries/s, %.1f min left",
      self._name,
      done,
      self._steps,
      loss,
      rate,
      left / 60,
    )


def fit(
  step_fn: Step,
  state: TrainState,
  frozen: dict,
  batches: Iterator[Batch],
  *,
  name: str,
  steps: int,
  batch_size: int,
  mesh: jax.sharding.Mesh,
  checkpoints: Checkpoints,
  checkpoint_every: int,
  monitor: Monitor,
  group: Group,
  first: int,
) -> TrainState:
  """Runs steps `first` to `steps - 1` and returns the last state.

  Args:
    step_fn: jitted; it donates the state.
    state: after `first` steps.
    frozen: trees that the step reads.
    batches: this process's part of each; the next one belongs to step `first`.
    name: of the stage.
    steps: of the whole stage.
    batch_size: queries of a whole batch.
    mesh: that the step was compiled for.
    checkpoints: saved each `checkpoint_every` steps, not after the last one.
    checkpoint_every: steps.
    monitor: raises NonFiniteError; nothing unchecked is ever saved.
    group: says when to stop.
    first: the step to go on from.

  Raises:
    Preempted: the run has to stop; the state is saved.
  """
  with jax.set_mesh(mesh):
    for step in range(first, steps):
      stops = group.stops_before(name, step)
      if step > first and (stops or step % checkpoint_every == 0):
        monitor.flush()
        checkpoints.save(step, state)
        monitor.saved(step)
      if stops:
        saved = "saved" if step else "before anything was learnt"
        raise Preempted(f"stopped {name} at step {step} of {steps}, {saved}")
      batch = next(batches)
      on_devices = sharding.put_batch(batch, mesh, batch_size)
      state, metrics = step_fn(state, frozen, on_devices)
      monitor.push(step, metrics, batch.query_id_B)
    monitor.flush()
  return state
