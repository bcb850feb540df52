"""What a training step reads and replaces. Arrays only."""

from typing import Any, NamedTuple

import jax
import numpy as np
import optax

PyTree = Any


class TrainState(NamedTuple):
  """Attributes:
  step: int32 scalar, optimizer steps taken.
  params: float32 masters, a plain nested dict.
  opt_state: of the optax transformation that made it.
  """

  step: jax.Array
  params: PyTree
  opt_state: PyTree


def init_state(
  params: PyTree, optimizer: optax.GradientTransformation
) -> TrainState:
  """The state before the first step, of parameters on the host."""
  # One program; op by op there would be one for each shape of a parameter.
  opt_state = jax.jit(optimizer.init)(params)
  step: Any = np.zeros((), np.int32)  # it is placed with the others
  return TrainState(step, params, opt_state)
