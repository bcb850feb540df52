"""Checkpoints of a training state, with the stage's config beside it.

The only module that speaks Orbax. What is saved at step s is the state after
s steps. Which batch comes next is a function of the seed and of s, so that no
position in the data is saved, and any number of processes can go on.
"""

import pathlib
import uuid
from collections.abc import Mapping
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
    again. Several processes read together and would not agree on what one of
    them cannot read: there the error is raised.

    Returns:
      `state` itself as of step 0 where there is none. The state is placed as
      that is.

    Raises:
      ConfigError: there are some, and none can be read.
    """
    shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
    damaged: dict[int, str] = {}
    for step in sorted(self._manager.all_steps(), reverse=True):
      try:
        restored = self._restored(step, shapes)
      except _OF_THE_MACHINE:
        raise
      # Whatever the damage is, Orbax and TensorStore have an error for it.
      except Exception as error:
        if jax.process_count() > 1:
          raise
        why = " ".join(str(error).split())
        damaged[step] = f"{type(error).__name__}: {why:.200}"
        continue
      for newer, why in damaged.items():
        self._set_aside(newer, why)
      return step, restored
    if damaged:
      raise strict.ConfigError(
        f"no checkpoint in {self._folder} can be read ({damaged}); bring back "
        "what is missing, or delete that folder, and the stage begins anew"
      )
    return 0, state

  def up_to(self, step: int, state: PyTree) -> tuple[int, PyTree]:
    """The newest checkpoint of a step or one before it; nothing is set aside.

    Returns:
      As of `newest`.
    """
    found = [x for x in self._manager.all_steps() if x <= step]
    if not found:
      return 0, state
    shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
    return max(found), self._restored(max(found), shapes)

  def _seal(self) -> None:
    """Writes down what the files are, before a checkpoint gets its name.

    Orbax has checksums of names and shapes, and none of the numbers.
    """
    if jax.process_index() == 0 and isinstance(self._folder, pathlib.Path):
      for folder in self._folder.glob(f"*{_UNFINISHED}*"):
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
