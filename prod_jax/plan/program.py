"""What a stage runs again and again, as a program of shapes."""

import dataclasses
from collections.abc import Callable

import jax


@dataclasses.dataclass(frozen=True)
class Program:
  """A step of a stage.

  Attributes:
    stage, kind: its name and kind.
    model: name of the model that it trains or runs.
    unit: what a batch counts.
    batch: how many of them a step takes.
    multiple: a batch is one of this number.
    grain: a search for a batch goes by this number.
    devices: that run a step.
    copies: such steps go on at once, each by itself.
    examples: how many the stage takes in all, None where that is not known.
    remat: what the backward pass computes again, as of the model.
    flops: by batch, analytic.
    lower: by batch.
  """

  stage: str
  kind: str
  model: str
  unit: str
  batch: int
  multiple: int
  grain: int
  devices: int
  copies: int
  examples: int | None
  remat: str
  flops: Callable[[int], int]
  lower: Callable[[int], jax.stages.Lowered]

  @property
  def divides(self) -> bool:
    return self.batch % self.multiple == 0
