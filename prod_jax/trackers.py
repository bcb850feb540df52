"""Metrics for those who look at runs with TensorBoard or Weights & Biases.

Both come with extras, and whatever happens to them costs the run nothing. What
a tracker has been told is written down beside it, so that a run that goes on,
or is looked at for the first time when it is done, tells everything once.
"""

import importlib.util
import json
import math
import os
import pathlib
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from absl import logging

from prod_jax import storage, strict
from prod_jax.processes import Processes

FOLDER = "trackers"  # of the working folder
_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}
_SENT = "sent.json"
_STEP = "global_step"


class Tracker(Protocol):
  """Where metrics are shown."""

  def log(self, series: str, step: int, metrics: Mapping[str, float]) -> None:
    """Shows values of a series at a step of the run."""

  def close(self) -> None:
    """Sends what it has not sent yet."""


class Trackers:
  """The trackers of a run's first process; of the others it is empty.

  Args:
    names: of the trackers.
    processes: whose working folder has what a tracker needs, and keeps.
    config: of the run, as it is shown beside the metrics.

  Raises:
    ConfigError: one of them cannot be opened.
  """

  def __init__(
    self, names: Sequence[str], processes: Processes, config: Mapping[str, Any]
  ):
    self._processes = processes
    self._folder = processes.local_folder / FOLDER
    self._open: dict[str, Tracker] = {}
    self._sent: dict[str, dict[str, Any]] = {}
    if not names or not processes.first:
      return
    check(names)
    try:
      processes.fetch(self._folder)
    except Exception as error:  # of any kind of storage
      # What was told before is unknown, and would be told again.
      logging.warning(
        "%s is told nothing in this run: %s", " and ".join(names), error
      )
      return
    for name in names:
      folder = self._folder / name
      folder.mkdir(parents=True, exist_ok=True)
      self._sent[name] = storage.read_object(folder / _SENT)
      self._open[name] = (
        _TensorBoard(folder)
        if name == "tensorboard"
        else _Wandb(folder, processes.shared_folder.name, config)
      )

  def __bool__(self) -> bool:
    return bool(self._open)

  def log(
    self,
    stage: str,
    start: str,
    step: int,
    metrics: Mapping[str, Any],
    series: str = "",
  ) -> None:
    """Tells each tracker what it does not know yet.

    Args:
      stage: what has measured it, step after step.
      start: which start of the stage; another one begins anew, since a config
        has changed.
      step: of the whole run.
      metrics: numbers by name; one that is not finite is left out.
      series: under which it is shown; "" is the stage.
    """
    values = {k.replace("@", "_at_"): float(v) for k, v in metrics.items()}
    values = {k: v for k, v in values.items() if math.isfinite(v)}
    for name in [*self._open]:
      sent = self._sent[name]
      had = sent.get(stage, {"start": "", "times": 0, "step": -1})
      if had["start"] != start:
        had = {"start": start, "times": had["times"] + 1, "step": -1}
      if step <= had["step"]:
        continue
      times = f".{had['times']}" if had["times"] > 1 else ""
      try:
        self._open[name].log(series or f"{stage}{times}", step, values)
        sent[stage] = {**had, "step": step}
        storage.write_text(self._folder / name / _SENT, json.dumps(sent))
      except Exception as error:  # the libraries have errors of their own
        self._give_up(name, error)

  def publish(self) -> None:
    """Copies what they have kept to where the run is kept."""
    if not self._open:
      return
    try:
      self._processes.publish(self._folder)
    except Exception as error:  # of any kind of storage; the next time copies
      logging.warning("%s cannot be copied: %s", self._folder, error)

  def close(self) -> None:
    """Ends all of them."""
    for name, tracker in [*self._open.items()]:
      try:
        tracker.close()
      except Exception as error:
        self._give_up(name, error)
    self.publish()

  def _give_up(self, name: str, error: Exception) -> None:
    logging.warning(
      "%s is told nothing more in this run: %s: %s",
      name,
      type(error).__name__,
      error,
    )
    del self._open[name]


def check(names: Sequence[str]) -> None:
  """Raises ConfigError for a tracker that is not installed."""
  for name in names:
    if importlib.util.find_spec(_PACKAGES[name]) is None:
      raise strict.ConfigError(
        f"config.trackers: {name} needs {_PACKAGES[name]}, which is not "
        f"installed: pip install 'prod_jax[{name}]', or leave it out"
      )


class _TensorBoard:
  """A folder of event files a series, for `tensorboard --logdir`.

  Not by the library's SummaryWriter, which leaves the writing to a thread: what
  a kill takes would count as told.
  """

  def __init__(self, folder: pathlib.Path):
    self._folder = folder
    self._writers: dict[str, Any] = {}

  def log(self, series: str, step: int, metrics: Mapping[str, float]) -> None:
    from tensorboardX import event_file_writer, summary
    from tensorboardX.proto import event_pb2

    if series not in self._writers:
      folder = self._folder / series
      folder.mkdir(exist_ok=True)
      self._writers[series] = event_file_writer.EventsWriter(
        str(folder / "events"),
        f".{uuid.uuid4().hex[:6]}",  # its own has but seconds
      )
    writer = self._writers[series]
    for name, value in metrics.items():
      writer.write_event(
        event_pb2.Event(
          wall_time=time.time(),
          step=step,
          summary=summary.scalar(name, value),
        )
      )
    writer.flush()

  def close(self) -> None:
    for writer in self._writers.values():
      writer.close()


class _Wandb:
  """One run there, whose metrics have the series in front of their names."""

  def __init__(
    self, folder: pathlib.Path, name: str, config: Mapping[str, Any]
  ):
    import wandb

    # The same run there, however often this one is started.
    path = folder / "id.txt"
    if not path.exists():
      storage.write_text(path, uuid.uuid4().hex[:12])
    try:
      self._run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "prod_jax"),
        name=name,
        id=path.read_text(),
        resume="allow",
        dir=str(folder),
        config=dict(config),
        settings=wandb.Settings(silent=True, console="off"),
      )
    except Exception as error:
      raise strict.ConfigError(
        f"config.trackers: wandb cannot start ({error}); log in, set "
        "WANDB_MODE=offline, or leave it out"
      ) from error
    self._run.define_metric(_STEP)
    self._run.define_metric("*", step_metric=_STEP)

  def log(self, series: str, step: int, metrics: Mapping[str, float]) -> None:
    named = {f"{series}/{name}": value for name, value in metrics.items()}
    self._run.log({**named, _STEP: step})

  def close(self) -> None:
    self._run.finish()
