"""Metrics of a training stage: whole lines, whatever stopped the last start."""

import contextlib

from prod_jax import run_files
from prod_jax.processes import Processes
from prod_jax.train import writer


def opened(folder, tell=lambda step, metrics: None):
  made = writer.MetricsWriter(folder, Processes(folder), tell)
  return contextlib.closing(made)


def test_a_row_behind_half_a_line_is_its_own(tmp_path):
  for number in (1, 2):
    with opened(tmp_path) as metrics:
      metrics.write(number, {"loss": 1 / number})
  path = tmp_path / "metrics.jsonl"
  path.write_text(path.read_text() + '{"step": 3, "lo')
  with opened(tmp_path) as metrics:
    metrics.write(3, {"loss": 0.25})
  assert path.read_text().splitlines() == [
    '{"step": 1, "loss": 1.0}',
    '{"step": 2, "loss": 0.5}',
    '{"step": 3, "lo',
    '{"step": 3, "loss": 0.25}',
  ]
  assert [row["step"] for row in run_files.metrics(tmp_path)] == [1, 2, 3]


def test_what_a_bucket_has_of_earlier_starts_is_told_first(tmp_path):
  """On a new machine, whose own folder is empty."""
  here, there = tmp_path / "here", tmp_path / "there"
  for folder in (here, there):
    folder.mkdir()
  with opened(there) as metrics:
    metrics.write(1, {"loss": 0.5})
  processes, told = Processes(there), []
  processes.local_folder = here
  with contextlib.closing(
    writer.MetricsWriter(here, processes, lambda *said: told.append(said))
  ) as metrics:
    metrics.write(2, {"loss": 0.25})
  assert told == [(1, {"loss": 0.5}), (2, {"loss": 0.25})]
