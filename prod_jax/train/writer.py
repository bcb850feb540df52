"""Metrics of a training stage as JSON lines."""

import json
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from prod_jax import run_files
from prod_jax.processes import Processes

# Takes a step and its metrics, None where a number is not finite.
Tell = Callable[[int, Mapping[str, Any]], None]


class MetricsWriter:
  """Appends one JSON object a logged step to `metrics.jsonl`.

  A resumed stage repeats the steps since its checkpoint; of two lines with
  the same step the later one counts.

  Args:
    folder: of the stage.
    processes: the first of which writes.
    tell: who else wants to know what is written, now and before.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    processes: Processes,
    tell: Tell = lambda step, metrics: None,
  ):
    self._path, self._processes = folder / run_files.METRICS, processes
    self._tell = tell
    processes.fetch(self._path)
    torn = self._path.exists() and not _ends(self._path.read_bytes())
    self._file = self._path.open("a", encoding="utf-8")
    if torn and processes.first:  # a row of its own begins behind it
      self._file.write("\n")
    retell(folder, tell)

  def write(self, step: int, metrics: Mapping[str, float]) -> None:
    """Writes a line and flushes it. Non-finite numbers become null."""
    row = {
      k: float(f"{v:.8g}") if math.isfinite(v) else None
      for k, v in metrics.items()
    }
    self._file.write(json.dumps({"step": step, **row}) + "\n")
    self._file.flush()
    self._tell(step, row)

  def publish(self) -> None:
    """Copies the first process's lines to where the run is kept."""
    if self._processes.first:
      self._processes.publish(self._path)

  def close(self) -> None:
    self._file.close()


def retell(folder: pathlib.Path, tell: Tell) -> None:
  """Tells all that is written, in the order of steps."""
  for row in run_files.metrics(folder):
    tell(row.pop("step"), row)


def _ends(lines: bytes) -> bool:
  """Whether the last line is whole, as far as there is one."""
  return not lines or lines.endswith(b"\n")
