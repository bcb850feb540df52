"""AdamW with linear warm-up, linear decay and global-norm clipping."""

import jax
import numpy as np
import optax

from prod_jax import kinds, strict


def schedule(stage: kinds.Train) -> optax.Schedule:
  """Learning rate by step: up to the peak, then linearly down to 0.

  The first step already moves (rate `peak / warmup`), and the rate reaches 0
  only after the last step, so that no step is spent on nothing.

  Raises:
    ConfigError: when the warm-up is longer than the stage.
  """
  if stage.warmup_steps > stage.steps:
    raise strict.ConfigError(
      f"warmup_steps is {stage.warmup_steps}, more than steps={stage.steps}"
    )
  peak, warmup = stage.learning_rate, stage.warmup_steps
  return optax.join_schedules(
    [
      optax.linear_schedule(peak / max(warmup, 1), peak, max(warmup - 1, 1)),
      optax.linear_schedule(peak, 0.0, max(stage.steps - warmup, 1)),
    ],
    [warmup],
  )


def learning_rates(stage: kinds.Train) -> np.ndarray:
  """The learning rate of each step, float32 [steps].

  Of all at once: asked for step by step, it would wait behind the step. In one
  program: there would be nine, operation by operation.
  """
  rates = jax.jit(jax.vmap(schedule(stage)))
  return np.asarray(rates(np.arange(stage.steps)))


def make_optimizer(stage: kinds.Train) -> optax.GradientTransformation:
  """AdamW; matrices decay, biases and LayerNorm parameters do not."""
  adamw = optax.adamw(
    schedule(stage),
    weight_decay=stage.weight_decay,
    mask=lambda params: jax.tree.map(lambda x: x.ndim > 1, params),
  )
  if not stage.clip:
    return adamw
  return optax.chain(optax.clip_by_global_norm(stage.clip), adamw)
