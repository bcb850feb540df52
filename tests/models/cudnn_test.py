"""Attention by cuDNN: when it is taken, and that it is given what it wants.

No GPU is needed: the numbers are those of the same function of JAX in its other
implementation, and programs for CUDA are lowered, not run.
"""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax import sharding
from prod_jax.batch import Tokens
from prod_jax.config import Mesh
from prod_jax.models import cudnn, transformer

GPU = jax.sharding.AbstractDevice("a GPU", num_cores=1, platform="gpu")


def gpus(data=1, tensor=1):
  return jax.sharding.AbstractMesh(
    (data, 1, tensor),
    ("data", "fsdp", "tensor"),
    axis_types=(jax.sharding.AxisType.Auto,) * 3,
    abstract_device=GPU,
  )


@pytest.fixture
def anywhere(monkeypatch):
  """Takes this path on any device, by XLA."""
  monkeypatch.setattr(cudnn, "on_gpu", lambda *_: True)
  monkeypatch.setattr(cudnn, "_IMPLEMENTATION", "xla")


@pytest.fixture
def shared_rows(rows):
  """Rows with two texts, a token that only reads, and padding."""
  tokens = rows(6, 4, 6, 1, width=6)
  segment = np.array(
    [[1, 1, 1, 2, 2, 2], [1, 1, 1, -1, 0, 0], [1, 2, 2, 2, 0, 0], [0] * 6]
  )
  return Tokens(tokens.ids, segment, tokens.position, tokens.type)


def loss_and_gradient(config, params, tokens):
  def loss(params):
    hidden, _ = transformer.encode(config, params, tokens, None)
    return jnp.square(hidden).sum()

  return jax.jit(jax.value_and_grad(loss))(params)


def assert_close(found, expected):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
    found,
    expected,
  )


def test_the_encoder_is_the_same(request, variant, params, shared_rows):
  """With rows and heads cut over four devices."""
  config = variant(depth=1)
  expected = loss_and_gradient(config, params, shared_rows)
  request.getfixturevalue("anywhere")
  mesh = sharding.make_mesh(Mesh(data=2, tensor=2), jax.devices()[:4])
  with jax.set_mesh(mesh):
    assert_close(loss_and_gradient(config, params, shared_rows), expected)


WANTED = {"dtype": "bfloat16", "width": 16, "attention_dropout": 0.0}


@pytest.mark.parametrize(
  ("mesh", "fields", "rows", "length", "why"),
  [
    (gpus(), {}, 4, 6, None),
    (gpus(2, 2), {}, 4, 6, None),
    (gpus(), {"dtype": "float32"}, 4, 6, "float32"),
    (gpus(), {"width": 24}, 4, 6, "heads are 12 wide"),
    (gpus(), {"width": 272}, 4, 6, "heads are 136 wide"),
    (gpus(), {"attention_dropout": 0.1}, 4, 6, "dropout"),
    (gpus(), {"relative_buckets": 8}, 4, 6, "relative bias"),
    (gpus(), {}, 4, 7, "rows of 7 tokens are odd"),
    (gpus(4), {}, 6, 6, "6 rows or 2 heads"),
    (gpus(tensor=4), {}, 4, 6, "4 rows or 2 heads"),
  ],
)
def test_what_it_does_not_take_is_said(
  variant, caplog, mesh, fields, rows, length, why
):
  config = variant(**{**WANTED, **fields})
  cudnn._say.cache_clear()
  biased = bool(config.relative_buckets)
  rate = config.attention_dropout
  with jax.sharding.use_abstract_mesh(mesh), caplog.at_level(logging.INFO):
    taken = [cudnn.on_gpu(config, rows, length, rate, biased) for _ in "ab"]
  assert taken == [why is None] * 2
  assert [why in m for m in caplog.messages] == [True] * (why is not None)


@pytest.mark.parametrize(
  ("capability", "new_enough"),
  [("8.0", True), ("12.1", True), ("7.5", False), ("gfx90a", False)],
)
def test_it_wants_a_gpu_that_cudnn_takes(monkeypatch, capability, new_enough):
  class Device:
    compute_capability = capability

  monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
  assert cudnn._new_enough() == new_enough


def test_on_other_devices_it_is_not_asked(variant, caplog):
  config = variant(**WANTED)
  assert not cudnn.on_gpu(config, 4, 6, 0.0, False)
  assert not caplog.messages
