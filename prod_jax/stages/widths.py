"""Vectors of a dual encoder in a stage: how wide they are, and where cut."""

from typing import Any

from prod_jax import kinds, strict
from prod_jax.models import DualEncoder, Encoder
from prod_jax.stages.run import Job


def encoder_of(job: Job[Any], role: str) -> DualEncoder:
  """The dual encoder of the encode stage in a role."""
  model = job.model_of(role)
  assert isinstance(model, DualEncoder)  # as an encode stage has checked
  return model


def check(job: Job[kinds.Train | kinds.Evaluate], model: Encoder) -> None:
  """Raises ConfigError unless `widths` are widths of a model's vectors."""
  widths, where = job.stage.widths, f"{job.where}.widths"
  if not widths:
    return
  if not isinstance(model, DualEncoder):
    raise strict.ConfigError(
      f"{where} is {widths}; it cuts the one vector of a text, which a model "
      "of kind dual has; leave it out"
    )
  falls = list(widths) == sorted(set(widths), reverse=True)
  if not falls or widths[0] > model.width:
    raise strict.ConfigError(
      f"{where} is {widths}; it falls from at most {model.width}, the width of "
      "the model's vectors"
    )
