"""Some steps of a stage under JAX's profiler, for xprof and TensorBoard.

`--trace=STAGE:FROM:TO` asks for it. The profile has what the devices ran, by
the names of `jax.named_scope`, and on the host what is done of a step there.
What a step is depends on the kind of stage: one of training, or a batch of
texts that a frozen model reads.
"""

import contextlib
import pathlib
from typing import Any, NamedTuple

import jax
from absl import logging

from prod_jax.strict import ConfigError

FOLDER = "traces"  # in the working folder


class Asked(NamedTuple):
  """Which steps of which stage, counted from 1, both ends among them."""

  stage: str
  first: int
  last: int

  @property
  def folder(self) -> str:
    """The name of its own among others of a run."""
    return f"{self.stage}-{self.first}-{self.last}"


def parse(text: str) -> Asked:
  """Reads STAGE:FROM:TO.

  Raises:
    ConfigError: it is of another form, or ends before it begins.
  """
  stage, *ends = text.split(":")
  if len(ends) != 2 or not all(end.isdecimal() for end in ends):
    raise ConfigError(
      f"--trace={text}: it takes a stage with its first and its last step, as "
      "in --trace=student_warm:10:12"
    )
  first, last = map(int, ends)
  if not 1 <= first <= last:
    raise ConfigError(
      f"--trace={text}: steps are counted from 1, and the last one is not "
      "before the first"
    )
  return Asked(stage, first, last)


class Profile:
  """The steps of a stage, of which some are profiled.

  Args:
    asked: which ones; None is none of them.
    folder: of this profile.
  """

  def __init__(
    self, asked: Asked | None = None, folder: pathlib.Path = pathlib.Path()
  ):
    self._asked, self._folder = asked, folder
    self._begun = 0
    self._running = self._written = False

  def of(self, stage: str) -> "Profile":
    """This one where it is of a stage, else one that is idle."""
    return self if self._asked and self._asked.stage == stage else IDLE

  def begin(self, step: int | None = None) -> int:
    """Takes note that a step begins, by default the one behind the last.

    Returns:
      Its number.
    """
    self._begun = self._begun + 1 if step is None else step
    if self._asked and self._begun == self._asked.first:
      options = jax.profiler.ProfileOptions()
      options.python_tracer_level = 0  # it slows down what is to be seen
      jax.profiler.start_trace(self._folder, profiler_options=options)
      self._running = True
    return self._begun

  def host(self, step: int) -> contextlib.AbstractContextManager[object]:
    """In which the host works at a step, so that the profile names it."""
    if not self._running:
      return contextlib.nullcontext()
    return jax.profiler.StepTraceAnnotation("step", step_num=step)

  def end(self, step: int, result: Any) -> None:
    """Takes note of what a step gives; behind the last one waits for it."""
    if self._running and self._asked and step == self._asked.last:
      jax.block_until_ready(result)
      self._stop(self._asked)

  def close(self) -> None:
    """Ends a profile whose stage had fewer steps; warns where there is none."""
    if self._running and self._asked:
      self._stop(self._asked)
    if self._asked and not self._written:
      logging.warning(
        "--trace: none of these steps of %s was run, so there is no profile; "
        "where they are done already, a new working folder runs them again",
        self._asked.stage,
      )

  def _stop(self, asked: Asked) -> None:
    jax.profiler.stop_trace()
    self._running, self._written = False, True
    logging.info(
      "%s: a profile of steps %d to %d is in %s",
      asked.stage,
      asked.first,
      min(asked.last, self._begun),
      self._folder,
    )


IDLE = Profile()
