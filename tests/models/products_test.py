"""Products of bfloat16 matrices on a CPU: the digits, and the programs."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax.models import products
from tests.methods import batches

BERT = dataclasses.replace(batches.BERT, depth=2, dtype="bfloat16")
DUAL = dataclasses.replace(batches.DUAL, transformer=BERT)
CROSS = dataclasses.replace(batches.CROSS, transformer=BERT)


def layers():
  """Ours and Flax's own, with an input and shared parameters."""
  x = jax.random.normal(jax.random.key(0), (40, 48), jnp.bfloat16)
  ours = products.dense(BERT, 24, name="dense")
  theirs = nn.Dense(24, dtype=jnp.bfloat16)
  return x, ours, theirs, theirs.init(jax.random.key(1), x)


def test_a_product_is_the_one_that_comes_out_in_bfloat16():
  x, ours, theirs, params = layers()
  made, expected = ours.apply(params, x), theirs.apply(params, x)
  assert made.dtype == expected.dtype == jnp.bfloat16
  # Sums of other orders differ in the last of eight bits, where they do.
  made, expected = (np.asarray(y, np.float32) for y in (made, expected))
  np.testing.assert_allclose(made, expected, rtol=2**-7, atol=1e-2)
  assert np.mean(made == expected) > 0.99


def test_gradients_are_those_of_the_other_kind():
  x, ours, theirs, params = layers()

  def slopes(layer):
    def loss(params, x):
      return jnp.sum(jnp.sin(layer.apply(params, x).astype(jnp.float32)))

    return jax.tree.leaves(jax.grad(loss, argnums=(0, 1))(params, x))

  for made, expected in zip(slopes(ours), slopes(theirs), strict=True):
    assert made.dtype == expected.dtype
    made, expected = (np.asarray(y, np.float32) for y in (made, expected))
    np.testing.assert_allclose(
      made, expected, rtol=0.02, atol=0.02 * np.abs(expected).max()
    )


@pytest.mark.parametrize(("platform", "out"), [("cpu", "f32"), ("tpu", "bf16")])
def test_they_come_out_in_float32_on_a_cpu_alone(platform, out):
  # What the processor's units for bfloat16 take, and 8 bits less to write on
  # a chip that has one unit for both.
  x, ours, _, params = layers()
  mesh = jax.sharding.AbstractMesh(
    (1,),
    ("data",),
    abstract_device=jax.sharding.AbstractDevice(
      device_kind=platform, num_cores=1, platform=platform
    ),
  )
  with jax.sharding.use_abstract_mesh(mesh):
    found = jax.make_jaxpr(ours.apply)(params, x)
  (product,) = [
    line for line in str(found).splitlines() if "dot_general[" in line
  ]
  assert product.split(":")[1].split("[")[0] == out


@pytest.mark.parametrize("model", [DUAL, CROSS])
def test_matrices_at_rest_are_rounded_once_with_the_same_digits(model):
  params = model.init(jax.random.key(3))
  rested = products.at_rest(model.transformer, params)
  changed = {
    jax.tree_util.keystr(path)
    for path, leaf in jax.tree_util.tree_leaves_with_path(rested)
    if leaf.dtype == jnp.bfloat16
  }
  assert changed
  assert all(path.endswith("['kernel']") for path in changed)
  assert not any("head" in path for path in changed)
  data = batches.batch()
  if model is CROSS:
    score = jax.jit(lambda params: model.score(params, data.pair)[0])
  else:
    score = jax.jit(lambda params: model.embed(params, data.query, "query")[0])
  np.testing.assert_array_equal(score(params), score(rested))
  # As they are read from a file.
  read = products.at_rest(model.transformer, jax.device_get(params))
  jax.tree.map(np.testing.assert_array_equal, read, jax.device_get(rested))


def test_parameters_in_float32_stay_as_they_are():
  params = batches.DUAL.init(jax.random.key(3))
  assert products.at_rest(batches.BERT, params) is params
