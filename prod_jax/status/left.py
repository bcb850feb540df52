"""How long the rest of a run takes, from what is known, and how that is known.

A stage under way goes on at its rate. Of a stage that has not begun, the time
is that of stages of its kind that are done: of those with the same model and
method, or else the same model, where there are any; by the median, and of train
stages in proportion to steps and batch. Where none of its kind is done it is
that of the forecast, if there is one.
"""

import dataclasses
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from prod_jax.status import look

RATE, FORECAST = "its rate", "the forecast"


class Left(NamedTuple):
  """Seconds that a stage needs, and by what they are told."""

  seconds: float
  by: str


@dataclasses.dataclass(frozen=True)
class Rest:
  """What a run has still to do.

  Attributes:
    by_stage: the stages whose time can be told.
    unknown: the names of the others.
  """

  by_stage: dict[str, Left]
  unknown: Sequence[str]

  @property
  def seconds(self) -> float:
    """Of all stages whose time can be told."""
    return sum(left.seconds for left in self.by_stage.values())


def rest(run: look.Run) -> Rest:
  """What is left of each stage that is not done."""
  waiting = [s for s in run.stages if s.state not in (look.DONE, look.SKIPPED)]
  told = {stage.name: _left(stage, run.stages) for stage in waiting}
  return Rest(
    {name: left for name, left in told.items() if left},
    [name for name, left in told.items() if not left],
  )


def _left(stage: look.Stage, stages: Sequence[look.Stage]) -> Left | None:
  if stage.at and stage.at.seconds_left is not None:
    return Left(stage.at.seconds_left, RATE)
  like = [
    other
    for other in stages
    if other.kind == stage.kind
    and other.state == look.DONE
    and other.worked > 0
  ]
  if not like:
    if stage.expected is None:
      return None
    return Left(stage.expected * (1 - _part_done(stage)), FORECAST)
  of = ""
  for trait in ("model", "method"):
    shared = getattr(stage, trait)
    same = [other for other in like if getattr(other, trait) == shared]
    if not same:
      break
    like, of = same, f"{of}, {trait} {shared}" if shared else of
  pace = statistics.median(s.seconds / s.worked for s in like)
  by = f"{len(like)} of kind {stage.kind}{of}"
  return Left(pace * stage.size * (1 - _part_done(stage)), by)


def _part_done(stage: look.Stage) -> float:
  """How much of a stage a checkpoint has kept."""
  if stage.at and stage.at.total and stage.checkpoint:
    return min(stage.checkpoint / stage.at.total, 1.0)
  return 0.0
