"""Checkpoints of a training state, with the stage's config beside it.

The only module that speaks Orbax. What is saved at step s is the state after
s steps. Which batch comes next is a function of the seed and of s, so that no
position in the data is saved, and any number of processes can go on.
"""

import uuid
from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from jax.experimental import multihost_utils

from prod_jax import storage

PyTree = Any

_KEPT = 2  # checkpoints of a stage


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
        max_to_keep=_KEPT, enable_async_checkpointing=True
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

    One that can't is set aside beside the others, with a warning: its step can
    be saved again, and where only the reading failed nothing is lost.

    Returns:
      `state` itself as of step 0 where there is none. The state is placed as
      that is.
    """
    shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
    for step in sorted(self._manager.all_steps(), reverse=True):
      try:
        return step, self._restored(step, shapes)
      # Whatever the damage is, Orbax and TensorStore have an error for it.
      except Exception as error:
        why = " ".join(str(error).split())
        logging.warning(
          "the checkpoint of step %d can't be read (%s: %.200s) and is now "
          "in %s",
          step,
          type(error).__name__,
          why,
          self._set_aside(step),
        )
    return 0, state

  def _set_aside(self, step: int) -> storage.Path:
    """Moves a checkpoint out of the manager's sight, for all processes."""
    damaged = self._folder.with_name(f"{self._folder.name}-damaged")
    to = damaged / f"{step}-{uuid.uuid4().hex[:8]}"
    if jax.process_index() == 0:
      damaged.mkdir(exist_ok=True)
      (self._folder / str(step)).rename(to)
    multihost_utils.sync_global_devices(str(to.parent))
    self._manager.reload()
    return to

  def _restored(self, step: int, shapes: PyTree) -> PyTree:
    args = ocp.args.Composite(state=ocp.args.StandardRestore(shapes))
    return self._manager.restore(step, args=args)["state"]

  def close(self) -> None:
    """Waits for what is being saved; an error in it is raised here."""
    self._manager.wait_until_finished()
    self._manager.close()
