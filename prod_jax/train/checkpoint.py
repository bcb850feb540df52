"""Checkpoints of a training state, with the stage's config beside it.

The only module that speaks Orbax. What is saved at step s is the state after
s steps. Which batch comes next is a function of the seed and of s, so that no
position in the data is saved, and any number of processes can go on.
"""

import pathlib
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging

from prod_jax import artefacts, storage, strict

PyTree = Any

_KEPT = 2  # checkpoints of a stage
_UNFINISHED = ".orbax-checkpoint-tmp"  # in the name of one that is written
_OF_ORBAX = ("_CHECKPOINT_METADATA", "commit_success.txt")  # it is not done yet
# They say nothing of what is read.
_OF_THE_MACHINE = (MemoryError, PermissionError, jax.errors.JaxRuntimeError)


class Checkpoints:
  """The newest checkpoints of one training stage, saved asynchronously.

  Args:
    folder: of this stage's checkpoints, the same for all processes.
    config: what the stage was started with; stored beside the state.
  """

  def __init__(self, folder: storage.Path, config: Mapping[str, Any]):
    self._config = dict(config)
    self._folder = storage.absolute(folder)
    self._saved = 0  # the step that is being saved
    self._manager = ocp.CheckpointManager(
      self._folder,
      options=ocp.CheckpointManagerOptions(
        max_to_keep=_KEPT,
        enable_async_checkpointing=True,
        async_options=ocp.AsyncOptions(post_finalization_callback=self._seal),
      ),
    )

  def save(self, step: int, state: PyTree) -> None:
    """Starts to save; returns once the state is copied off the devices."""
    self._manager.wait_until_finished()  # that `_seal` knows whose folder it is
    self._saved = step
    self._manager.save(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(state),
        config=ocp.args.JsonSave(self._config),
      ),
    )

  def newest(self, state: PyTree) -> tuple[int, PyTree]:
    """The newest checkpoint that can be read: its step, and the state then.

    Newer ones are set aside with a warning, so that their steps can be saved
    again.

    Returns:
      `state` itself as of step 0 where there is none. The state is placed as
      that is.

    Raises:
      ConfigError: there are some, and none can be read; or one of several
        processes cannot read the newest.
    """
    found, damaged = self._readable(self._manager.all_steps(), state)
    for step, why in damaged.items():
      self._set_aside(step, why)
    return found

  def up_to(self, step: int, state: PyTree) -> tuple[int, PyTree]:
    """The newest one of a step or one before it; nothing is set aside.

    Returns:
      As of `newest`.

    Raises:
      ConfigError: as of `newest`.
    """
    steps = [each for each in self._manager.all_steps() if each <= step]
    found, damaged = self._readable(steps, state)
    for newer, why in damaged.items():
      logging.warning(
        "the checkpoint of step %d can't be read (%s)", newer, why
      )
    return found

  def _readable(
    self, steps: Iterable[int], state: PyTree
  ) -> tuple[tuple[int, PyTree], dict[int, str]]:
    """The newest of these checkpoints that can be read, and the damaged ones.

    Several processes read together and would not agree on what one of them
    cannot read: there it is an error.
    """
    shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
    damaged: dict[int, str] = {}
    for step in sorted(steps, reverse=True):
      try:
        return (step, self._restored(step, shapes)), damaged
      except _OF_THE_MACHINE:
        raise
      # Whatever the damage is, Orbax and TensorStore have an error for it.
      except Exception as error:
        why = " ".join(str(error).split())
        damaged[step] = f"{type(error).__name__}: {why:.200}"
        if jax.process_count() > 1:
          raise strict.ConfigError(
            f"{self._folder / str(step)} can't be read ({damaged[step]}), and "
            "several processes have to agree on another: move that folder out "
            "of there, and the same command goes on from the checkpoint before"
          ) from error
    if damaged:
      raise strict.ConfigError(
        f"no checkpoint in {self._folder} can be read ({damaged}); bring back "
        "what is missing, or delete that folder, and the stage begins anew"
      )
    return (0, state), damaged

  def _seal(self) -> None:
    """Writes down what the files are, before a checkpoint gets its name.

    Orbax has checksums of names and shapes, and none of the numbers. What a
    kill has left half-written there stays as it is.
    """
    if jax.process_index() == 0 and isinstance(self._folder, pathlib.Path):
      for folder in self._folder.glob(f"{self._saved}{_UNFINISHED}*"):
        artefacts.seal(folder, but=_OF_ORBAX)

  def _restored(self, step: int, shapes: PyTree) -> PyTree:
    if isinstance(self._folder, pathlib.Path):
      for name, wrong in artefacts.broken(self._folder / str(step)).items():
        raise ValueError(f"{name} {wrong}")
    args = ocp.args.Composite(state=ocp.args.StandardRestore(shapes))
    return self._manager.restore(step, args=args)["state"]

  def _set_aside(self, step: int, why: str) -> None:
    """Moves a checkpoint out of the manager's sight."""
    damaged = self._folder.with_name(f"{self._folder.name}-damaged")
    damaged.mkdir(exist_ok=True)
    to = damaged / f"{step}-{uuid.uuid4().hex[:8]}"
    (self._folder / str(step)).rename(to)
    self._manager.reload()
    logging.warning(
      "the checkpoint of step %d can't be read (%s) and is now in %s",
      step,
      why,
      to,
    )

  def close(self) -> None:
    """Waits for what is being saved; an error in it is raised here."""
    self._manager.wait_until_finished()
    self._manager.close()
