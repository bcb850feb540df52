"""What stages have measured, for the trackers of a run.

A step is one of the whole run: those of all train stages that stand before in
the config, and the stage's own.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from prod_jax import kinds, storage
from prod_jax.stages.run import Job
from prod_jax.train import writer

_WHOLE = ("exact", "rerank")  # other indexes approximate the first


def steps_before(job: Job[Any]) -> int:
  """Training steps of the run before a stage begins."""
  total = 0
  for name, stage in job.run.config.stages.items():
    if name == job.name:
      break
    if isinstance(stage, kinds.Train):
      total += stage.steps
  return total


def teller(job: Job[kinds.Train]) -> writer.Tell:
  """Who tells what a train stage logs."""
  before, start = steps_before(job), _start(job)

  def tell(step: int, metrics: Mapping[str, Any]) -> None:
    numbers = {k: v for k, v in metrics.items() if v is not None}
    job.run.trackers.log(job.name, start, before + step, numbers)

  return tell


def done(job: Job[Any], results: Iterable[Mapping[str, Any]]) -> None:
  """Tells what a stage has left that is done, as far as it is not known.

  Args:
    job: of the stage.
    results: its rows of results.json.
  """
  trackers = job.run.trackers
  if isinstance(job.stage, kinds.Train):
    writer.retell(job.folder, teller(job))
  figures: dict[str, dict[str, float]] = {}
  for row in results:
    name = [row["split"], row["metric"]]
    name += [row["index"]] * (row["index"] not in _WHOLE)
    name += [f"width_{row.get('width')}"] * bool(row.get("width"))
    of_model = figures.setdefault(job.run.model_name(row["model_stage"]), {})
    of_model["/".join(name)] = row["value"]
  for model, values in figures.items():
    trackers.log(job.name, _start(job), steps_before(job), values, series=model)
  trackers.publish()


def _start(job: Job[Any]) -> str:
  """Which start of the stage left what is in its folder."""
  return storage.read_object(job.folder / storage.STARTED).get("id", "")
