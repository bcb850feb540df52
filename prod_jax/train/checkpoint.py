"""Checkpoints of a training state, with the stage's config beside it.

The only module that speaks Orbax. What is saved at step s is the state after
s steps. Which batch comes next is a function of the seed and of s, so that no
position in the data is saved, and any number of processes can go on.
"""

from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp

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
    self._manager = ocp.CheckpointManager(
      storage.absolute(folder),
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

  def latest(self) -> int | None:
    """The step of the newest complete checkpoint."""
    return self._manager.latest_step()

  def restore(self, step: int, state: PyTree) -> PyTree:
    """The state at `step`, placed as `state` is."""
    shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
    restored = self._manager.restore(
      step,
      args=ocp.args.Composite(state=ocp.args.StandardRestore(shapes)),
    )
    return restored["state"]

  def close(self) -> None:
    """Waits for what is being saved; an error in it is raised here."""
    self._manager.wait_until_finished()
    self._manager.close()
