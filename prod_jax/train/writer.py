"""Metrics of a training stage as JSON lines."""

import json
import math
import pathlib
from collections.abc import Mapping

from prod_jax.processes import Processes


class MetricsWriter:
  """Appends one JSON object a logged step to `metrics.jsonl`.

  A resumed stage repeats the steps since its checkpoint; of two lines with
  the same step the later one counts.
  """

  def __init__(self, folder: pathlib.Path, processes: Processes):
    self._path, self._processes = folder / "metrics.jsonl", processes
    processes.fetch(self._path)
    self._file = self._path.open("a", encoding="utf-8")

  def write(self, step: int, metrics: Mapping[str, float]) -> None:
    """Writes a line and flushes it. Non-finite numbers become null."""
    row = {
      k: float(f"{v:.8g}") if math.isfinite(v) else None
      for k, v in metrics.items()
    }
    self._file.write(json.dumps({"step": step, **row}) + "\n")
    self._file.flush()

  def publish(self) -> None:
    """Copies the first process's lines to where the run is kept."""
    if self._processes.first:
      self._processes.publish(self._path)

  def close(self) -> None:
    self._file.close()
