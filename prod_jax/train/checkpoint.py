"""Checkpoints of training state, data position and config, by Orbax.

The only module that speaks Orbax. What is saved at step s is the state after
s steps together with the iterator that will draw batch s, so that a resumed
run sees the batches that it would have seen.
"""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp

PyTree = Any


class Checkpoints:
  """The checkpoints of one training stage, newest kept, saved asynchronously.

  Args:
    folder: of this stage's checkpoints.
    config: what the stage was started with; stored beside the state.
    keep: how many to keep.
  """

  def __init__(
    self, folder: pathlib.Path, config: Mapping[str, Any], keep: int = 2
  ):
    self._config = dict(config)
    self._manager = ocp.CheckpointManager(
      folder.resolve(),
      options=ocp.CheckpointManagerOptions(
        max_to_keep=keep, enable_async_checkpointing=True
      ),
    )

  def save(self, step: int, state: PyTree, batches: Iterator) -> None:
    """Starts to save; returns once the state is copied off the devices."""
    self._manager.save(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(state),
        batches=grain.checkpoint.CheckpointSave(batches),
        config=ocp.args.JsonSave(self._config),
      ),
    )

  def latest(self) -> int | None:
    """The step of the newest complete checkpoint."""
    return self._manager.latest_step()

  def restore(self, step: int, state: PyTree, batches: Iterator) -> PyTree:
    """The state at `step`, placed as `state` is; moves `batches` there."""
    shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
    restored = self._manager.restore(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardRestore(shapes),
        batches=grain.checkpoint.CheckpointRestore(batches),
      ),
    )
    return restored["state"]

  def close(self) -> None:
    """Waits for what is being saved; an error in it is raised here."""
    self._manager.wait_until_finished()
    self._manager.close()
