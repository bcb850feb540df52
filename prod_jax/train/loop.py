"""The loop around a step: checkpoints, logging, progress, a look at the loss.

Its order, in each round: save the old state if it is time, or if the run has
to stop, draw the batch, step, then look at the metrics of the step before,
which the devices have finished by now, so that they never wait for the host.
"""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np
from absl import logging

from prod_jax import memory, progress, sharding
from prod_jax.batch import Batch
from prod_jax.processes import Preempted, Processes
from prod_jax.profiling import IDLE, Profile
from prod_jax.train.checkpoint import Checkpoints
from prod_jax.train.state import TrainState
from prod_jax.train.step import Compiled, Metrics
from prod_jax.train.writer import MetricsWriter

_STILL = 10  # steps in a row with a gradient of 0, and it is said


class Schedule(NamedTuple):
  """Which steps a stage does, and what happens between them.

  Attributes:
    name: of the stage.
    first: the step to begin with; those before it are done.
    steps: of the whole stage.
    batch_size: queries of a whole batch.
    log_every: steps between two lines of metrics.
    checkpoint_every: steps between two checkpoints; there is none at the end.
    learning_rates: float [steps], of each step.
    profile: of some of them, where that was asked for.
  """

  name: str
  first: int
  steps: int
  batch_size: int
  log_every: int
  checkpoint_every: int
  learning_rates: np.ndarray
  profile: Profile = IDLE


class NonFiniteError(FloatingPointError):
  """A loss or gradient norm that is no number.

  Attributes:
    step: that has it.
    metrics: of that step.
    batch: this process's part of the batch.
  """

  def __init__(
    self, stage: str, step: int, metrics: Mapping[str, float], batch: Batch
  ):
    self.step, self.metrics, self.batch = step, metrics, batch
    super().__init__(
      f"stage {stage}, step {step}: loss {metrics['loss']}, gradient norm "
      f"{metrics['grad_norm']}"
    )


class Fitted(NamedTuple):
  """What a schedule has come to.

  Attributes:
    state: the last one.
    still: how many of the steps had a gradient of exactly 0.
  """

  state: TrainState
  still: int


class Monitor:
  """Checks and reports the metrics of steps, one step late.

  Attributes:
    still: steps whose gradient was exactly 0.
  """

  def __init__(
    self, schedule: Schedule, writer: MetricsWriter, processes: Processes
  ):
    self._schedule, self._writer = schedule, writer
    self._processes = processes
    self._pending: tuple[int, Metrics, Batch] | None = None
    self.still = self._still_in_a_row = 0
    self._began = time.monotonic()
    self._meter = progress.Meter(
      schedule.name,
      schedule.steps,
      "steps",
      quiet=not processes.first,
      only_long=True,  # the first step compiles
      initial=schedule.first,
    )

  def push(self, step: int, metrics: Metrics, batch: Batch) -> None:
    """Takes the metrics of `step` and settles those of the step before."""
    previous, self._pending = self._pending, (step, metrics, batch)
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
    if not self._meter.is_bar:
      logging.info("%s: checkpoint at step %d", self._schedule.name, step)

  def close(self) -> None:
    """Ends the progress bar."""
    self._meter.close()

  def _settle(self, step: int, metrics: Metrics, batch: Batch) -> None:
    values = {k: float(v) for k, v in jax.device_get(metrics).items()}
    if not (
      math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"])
    ):
      raise NonFiniteError(self._schedule.name, step, values, batch)
    self._count_still(step, values["grad_norm"])
    schedule, done = self._schedule, step + 1
    elapsed = max(time.monotonic() - self._began, 1e-9)
    rate = (done - schedule.first) * schedule.batch_size / elapsed
    due = done % schedule.log_every == 0 or done == schedule.steps
    if self._processes.first and due:
      learning_rate = float(schedule.learning_rates[step])
      beside = {"learning_rate": learning_rate, "queries_per_second": rate}
      self._writer.write(done, {**values, **beside})
    self._meter.add(
      1,
      f"loss {values['loss']:.4f}, {rate:.1f} queries/s",
      last=done == schedule.steps,
    )

  def _count_still(self, step: int, norm: float) -> None:
    """Says so where a gradient has been exactly 0 for some steps."""
    if norm:
      self._still_in_a_row = 0
      return
    self.still += 1
    self._still_in_a_row += 1
    if self._still_in_a_row == _STILL and self._processes.first:
      logging.warning(
        "%s: the gradient was exactly 0 in the last %d steps, up to step %d: "
        "nothing is learnt from these batches; has each query something to be "
        "compared with, and the teacher more than one score?",
        self._schedule.name,
        _STILL,
        step,
      )


def fit(
  compiled: Compiled,
  state: TrainState,
  batches: Iterator[Batch],
  schedule: Schedule,
  checkpoints: Checkpoints,
  writer: MetricsWriter,
  processes: Processes,
) -> Fitted:
  """Runs the steps of a schedule.

  Args:
    compiled: the step; it donates the state.
    state: after `schedule.first` steps.
    batches: this process's part of each; the next one belongs to that step.
    schedule: of the stage.
    checkpoints: nothing unchecked is ever saved in them.
    writer: of the metrics.
    processes: they say when to stop.

  Raises:
    NonFiniteError: a loss or a gradient is no number.
    Preempted: the run has to stop; the state is saved.
  """
  name, mesh, profile = schedule.name, compiled.mesh, schedule.profile
  monitor = Monitor(schedule, writer, processes)
  with contextlib.closing(monitor), jax.set_mesh(mesh):
    for step in range(schedule.first, schedule.steps):
      stops = processes.stops_before(name, step)
      due = stops or step % schedule.checkpoint_every == 0
      if step > schedule.first and due:
        # Checked first, then saved: a checkpoint is always of a good state.
        monitor.flush()
        checkpoints.save(step, state)
        monitor.saved(step)
        memory.give_back()  # of the checkpoint before
      if stops:
        saved = "saved" if step else "before anything was learnt"
        raise Preempted(
          f"stopped {name} at step {step} of {schedule.steps}, {saved}"
        )
      # Drawn behind the checkpoint, so that a resumed run draws it again.
      number = profile.begin(step + 1)
      with profile.host(number):
        batch = next(batches)
        on_devices = sharding.put_batch(batch, mesh, schedule.batch_size)
        state, metrics = compiled.step(state, compiled.frozen, on_devices)
        # Settles the step before, so that the devices have this one to do.
        monitor.push(step, metrics, batch)
      profile.end(number, metrics)
    monitor.flush()
  return Fitted(state, monitor.still)
