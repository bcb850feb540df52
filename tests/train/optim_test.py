"""The schedule and what weight decay touches."""

import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax import kinds, strict
from prod_jax.train import optim


def stage(**changes):
  fields = dict(
    kind="train",
    model="m",
    method="contrastive",
    steps=10,
    batch_size=1,
    learning_rate=2.0,
    warmup_steps=4,
  )
  return kinds.Train(**{**fields, **changes})


def test_up_to_the_peak_and_down_to_zero():
  rate = optim.schedule(stage())
  found = [float(rate(step)) for step in range(11)]
  up = [2.0 * (s + 1) / 4 for s in range(4)]
  down = [2.0 * (1 - s / 6) for s in range(7)]
  np.testing.assert_allclose(found, up + down, rtol=1e-6)


def test_the_rate_of_each_step_is_what_the_optimizer_takes():
  rate = optim.schedule(stage())
  found = optim.learning_rates(stage())
  np.testing.assert_allclose(found, [float(rate(s)) for s in range(10)], 1e-6)


def test_no_warm_up_starts_at_the_peak():
  rate = optim.schedule(stage(warmup_steps=0))
  assert float(rate(0)) == 2.0


def test_a_warm_up_longer_than_the_stage_is_an_error():
  with pytest.raises(strict.ConfigError, match="warmup_steps is 11, more than"):
    optim.schedule(stage(warmup_steps=11))


def test_only_matrices_decay():
  optimizer = optim.make_optimizer(stage(weight_decay=0.1, warmup_steps=0))
  params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
  zeros = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
  updates, _ = optimizer.update(zeros, optimizer.init(params), params)
  np.testing.assert_allclose(updates["kernel"], -2.0 * 0.1, rtol=1e-6)
  np.testing.assert_array_equal(updates["bias"], 0)
