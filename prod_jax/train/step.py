"""One optimizer step as a pure function of state, frozen trees and batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from prod_jax import per_device, sharding
from prod_jax.batch import Batch
from prod_jax.train.state import TrainState

PyTree = Any
Metrics = dict[str, jax.Array]

# The TPU's own generator for dropout, and that each chip draws its own part of
# a batch's numbers; without the option each draws all. See docs/DECISIONS.md.
PRNG = "rbg"
_TPU_OPTIONS = {"xla_tpu_spmd_rng_bit_generator_unsafe": "true"}


class Rng(NamedTuple):
  """The random numbers of a step, and where in the stage it stands.

  Attributes:
    dropout: a key that no other step or micro-batch has.
    stage: a key that all steps of a stage share, for draws that outlive one.
    step: int32 scalar, the steps done before this one.
  """

  dropout: jax.Array
  stage: jax.Array
  step: jax.Array


Loss = tuple[jax.Array, Metrics]  # the mean over the batch, and what to log
LossFn = Callable[[PyTree, PyTree, Batch, Rng], Loss]
Step = Callable[[TrainState, PyTree, Batch], tuple[TrainState, Metrics]]
Gradient = Callable[
  [Any, PyTree, PyTree, Batch], tuple[jax.Array, Metrics, PyTree]
]


def make_gradient(
  loss_fn: LossFn, *, seed: int, accumulation: int = 1
) -> Gradient:
  """Builds `gradient(step, params, frozen, batch) -> (loss, metrics, grads)`.

  Args:
    loss_fn, seed, accumulation: as of `make_step`.

  Returns:
    A pure function; its `step` is the number of those done before.
  """

  def loss_of(params: PyTree, frozen: PyTree, *rest: Any) -> Loss:
    whole = sharding.for_compute((params, frozen))
    return loss_fn(*whole, *rest)

  grad_fn = jax.value_and_grad(loss_of, has_aux=True)

  def gradient(
    step: Any, params: PyTree, frozen: PyTree, batch: Batch
  ) -> tuple[jax.Array, Metrics, PyTree]:
    stage = jax.random.key(seed, impl=PRNG)
    rng = Rng(jax.random.fold_in(stage, step), stage, step)
    if accumulation == 1:
      (loss, metrics), grads = grad_fn(params, frozen, batch, rng)
      return loss, metrics, grads
    return _accumulate(grad_fn, params, frozen, batch, rng, accumulation)

  return gradient


def make_step(
  loss_fn: LossFn,
  optimizer: optax.GradientTransformation,
  *,
  seed: int,
  accumulation: int = 1,
) -> Step:
  """Builds `step(state, frozen, batch) -> (state, metrics)`.

  Args:
    loss_fn: (params, frozen, batch, rng) to a scalar mean over the batch and
      scalar metrics.
    optimizer: what made `state.opt_state`.
    seed: of the random key, which is a function of it and `state.step` alone.
    accumulation: micro-batches whose gradients are averaged. In-batch
      negatives then come from the micro-batch, as anywhere else.

  Returns:
    A pure function. Its metrics are those of the loss, `loss` and `grad_norm`
    (before clipping).
  """
  gradient = make_gradient(loss_fn, seed=seed, accumulation=accumulation)

  def step(
    state: TrainState, frozen: PyTree, batch: Batch
  ) -> tuple[TrainState, Metrics]:
    loss, metrics, grads = gradient(state.step, state.params, frozen, batch)
    with jax.named_scope("grad_norm"):
      norm = norm_of(grads)
    with jax.named_scope("optimizer"):
      updates, opt_state = optimizer.update(
        grads, state.opt_state, state.params
      )
      params = optax.apply_updates(state.params, updates)
    metrics = {**metrics, "loss": loss, "grad_norm": norm}
    return TrainState(state.step + 1, params, opt_state), metrics

  return step


def norm_of(grads: PyTree) -> jax.Array:
  """Of a whole gradient; infinity where squares of finite numbers are."""
  return optax.tree.norm(grads)


def _accumulate(
  grad_fn: Callable[..., Any],
  params: PyTree,
  frozen: PyTree,
  batch: Batch,
  rng: Rng,
  parts: int,
) -> tuple[jax.Array, Metrics, PyTree]:
  """Means of loss, metrics and gradients over `parts` micro-batches."""
  # Row b goes to part b % parts: each device keeps the rows that it holds.
  micro = jax.tree.map(
    lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch
  )

  # With an axis more, XLA does not add a table's gradient into the sum row by
  # row, and reduces over the chips once for all parts. Elsewhere it never does.
  on_tpu = per_device.on_platform("tpu")

  def results(micro_batch: Batch, key: jax.Array) -> PyTree:
    micro_rng = rng._replace(dropout=key)
    (loss, metrics), grads = grad_fn(params, frozen, micro_batch, micro_rng)
    found = loss, metrics, grads
    return jax.tree.map(lambda x: x[None], found) if on_tpu else found

  def body(total: PyTree, batch_and_key: Any) -> tuple[PyTree, None]:
    return jax.tree.map(jnp.add, total, results(*batch_and_key)), None

  keys = jax.random.split(rng.dropout, parts)
  first = jax.tree.map(lambda x: x[0], (micro, keys))
  zeros = jax.tree.map(
    lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(results, *first)
  )
  total, _ = jax.lax.scan(body, zeros, (micro, keys))
  return jax.tree.map(lambda x: (x[0] if on_tpu else x) / parts, total)


class Compiled(NamedTuple):
  """A step jitted for a mesh, and the trees on it that the step only reads."""

  step: Step
  frozen: PyTree
  mesh: jax.sharding.Mesh


def compile_step(
  step: Step, state: TrainState, frozen: PyTree, mesh: jax.sharding.Mesh
) -> tuple[Compiled, TrainState]:
  """Places state and frozen trees on the mesh and jits the step for it.

  The state is donated; frozen trees are arguments and never donated.

  Returns:
    The step with its frozen trees, and the state, both on the mesh.
  """
  placed = sharding.place(frozen, sharding.shardings(frozen, mesh))
  return (
    Compiled(jit_step(step, state, frozen, mesh), placed, mesh),
    sharding.place(state, sharding.shardings(state, mesh)),
  )


def jit_step(
  step: Step, state: TrainState, frozen: PyTree, mesh: jax.sharding.Mesh
) -> jax.stages.Wrapped:
  """Jits the step for trees on the mesh; of both only shapes are read."""
  state_at = sharding.shardings(state, mesh)
  frozen_at = sharding.shardings(frozen, mesh)
  return jax.jit(
    step,
    in_shardings=(state_at, frozen_at, sharding.batch_sharding(mesh)),
    out_shardings=(state_at, sharding.replicated(mesh)),
    donate_argnums=0,
    compiler_options=_TPU_OPTIONS if sharding.is_tpu(mesh) else None,
  )
