"""Kernels of attention, interpreted on the CPU, against softmax written out.

The interpreter has no random numbers: a stand-in for the core's generator,
seeded as that is, gives dropout whose weights are known outside of the kernel.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu

from prod_jax import sharding
from prod_jax.config import Mesh
from prod_jax.models import attention, transformer

R, H, L, E = 4, 4, 6, 64  # two heads fill the lanes of a program
RATE = 0.4
KEY = jax.random.key(3)


def drawn(seeds, shape):
  """Bits that any change of a seed changes."""
  x = jnp.arange(np.prod(shape), dtype=jnp.uint32).reshape(shape)
  for seed in seeds:
    x = (x ^ seed.astype(jnp.uint32)) * jnp.uint32(0x85EBCA6B)
    x = x ^ (x >> 15)
  return jax.lax.bitcast_convert_type(x, jnp.int32)


@pytest.fixture
def interpreted(monkeypatch):
  """Interprets kernels, with `drawn` as their generator."""
  seeds = []
  monkeypatch.setattr(pltpu, "prng_seed", lambda *s: seeds.append(s))
  monkeypatch.setattr(
    pltpu, "prng_random_bits", lambda shape: drawn(seeds.pop(), shape)
  )
  with pltpu.force_tpu_interpret_mode():
    yield


@pytest.fixture(scope="module")
def given():
  """(q, k, v, cotangent) [R, H, L, E], and a mask with texts and padding."""
  wide = np.random.default_rng(0).normal(size=(4, R, H, L, E))
  segment = np.array([[1] * 6, [1, 1, 1, 2, 2, 0], [1] + 5 * [0], 6 * [0]])
  mask = (segment[:, :, None] == segment[:, None]) & (segment != 0)[:, None]
  return *jnp.float32(wide * E**-0.25), jnp.asarray(mask[:, None])


def plain(q, k, v, mask, kept):
  """[R, L, D]; `kept` [R, H, L, M] scales weights."""
  logits = jnp.where(mask, jnp.einsum("RHLE,RHME->RHLM", q, k), -1e38)
  w = jax.nn.softmax(logits) * kept
  out = jnp.einsum("RHLM,RHME->RHLE", w, v)
  return out.swapaxes(1, 2).reshape(R, L, H * E)


def kept_weights(key):
  """What dropout with `drawn` leaves, by row and head."""
  seeds = jax.lax.bitcast_convert_type(jax.random.bits(key, (2,)), jnp.int32)
  bits = [
    drawn((seeds[0], seeds[1] + jnp.int32(number) * attention._GOLDEN), (L, L))
    for number in range(R * H)
  ]
  bits = jnp.stack(bits).reshape(R, H, L, L)
  return (bits >= round(RATE * 2**32) - 2**31) / (1 - RATE)


def results(attend, given):
  """[out, dq, dk, dv] for the cotangent in `given`."""
  *qkv, g, mask = given
  out, back = jax.vjp(lambda *qkv: attend(*qkv, mask), *qkv)
  return out, *back(g.swapaxes(1, 2).reshape(out.shape))


def assert_close(found, expected, atol=1e-5):
  for x, y in zip(found, expected, strict=True):
    np.testing.assert_allclose(x, y, atol=atol)


@pytest.mark.parametrize("tokens", [1, 256])
def test_it_is_attention(interpreted, given, monkeypatch, tokens):
  """With one row a program, and with all in one."""
  monkeypatch.setattr(attention, "_TOKENS", tokens)
  kernel = functools.partial(attention.attend, dropout=RATE, key=None)
  expected = functools.partial(plain, kept=1.0)
  assert_close(results(kernel, given), results(expected, given))


def test_dropout_is_the_same_in_both_directions(interpreted, given):
  kernel = functools.partial(attention.attend, dropout=RATE, key=KEY)
  expected = functools.partial(plain, kept=kept_weights(KEY))
  assert_close(results(kernel, given), results(expected, given))


def test_a_key_changes_dropout_and_none_is_none(interpreted, given):
  q, k, v, _, mask = given
  first, other, without, at_0 = (
    attention.attend(q, k, v, mask, rate, key)
    for rate, key in (
      (RATE, KEY),
      (RATE, jax.random.key(4)),
      (RATE, None),
      (0.0, KEY),
    )
  )
  assert not np.allclose(first, other) and not np.allclose(first, without)
  np.testing.assert_array_equal(without, at_0)


def test_each_device_draws_what_one_would_for_its_rows_and_heads(
  interpreted, given
):
  kernel = functools.partial(attention.attend, dropout=RATE, key=KEY)
  shape = Mesh(data=2, fsdp=1, tensor=2)
  with jax.set_mesh(sharding.make_mesh(shape, jax.devices()[:4])):
    found = jax.jit(functools.partial(results, kernel))(given)
  assert found[0].sharding.shard_shape(found[0].shape) == (2, L, H * E // 2)
  expected = functools.partial(plain, kept=kept_weights(KEY))
  assert_close(found, results(expected, given))


def test_the_encoder_is_the_same_with_kernels(
  interpreted, monkeypatch, variant, params, rows
):
  config = variant(depth=1)

  def loss(params):
    hidden, _ = transformer.encode(config, params, rows(4, 6, 0), None)
    return jnp.square(hidden).sum()

  expected = jax.value_and_grad(loss)(params)
  monkeypatch.setattr(attention, "on_tpu", lambda *_: True)
  found = jax.value_and_grad(loss)(params)
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4),
    found,
    expected,
  )


@pytest.mark.parametrize(
  ("platform", "data", "length", "kernels"),
  [
    ("tpu", 2, 7, 1),
    ("tpu", 4, 7, 0),
    ("tpu", 2, 513, 0),
    ("cpu", 2, 7, 0),
  ],
)
def test_kernels_are_for_tpus_among_which_short_rows_divide(
  config, rows, platform, data, length, kernels
):
  tokens = rows(4, 6, width=length)
  device = jax.sharding.AbstractDevice(platform, num_cores=1, platform=platform)
  mesh = jax.sharding.AbstractMesh(
    (data, 1, 2),
    ("data", "fsdp", "tensor"),
    axis_types=(jax.sharding.AxisType.Auto,) * 3,
    abstract_device=device,
  )
  with jax.sharding.use_abstract_mesh(mesh):
    traced = jax.make_jaxpr(
      lambda params: transformer.encode(config, params, tokens, KEY)
    )(transformer.shapes(config))
  # One layer is traced for all of them.
  assert str(traced).count("pallas_call[") == kernels


def test_a_row_of_padding_has_finite_gradients(interpreted, given):
  out, dq, dk, _ = results(
    functools.partial(attention.attend, dropout=RATE, key=KEY), given
  )
  assert np.isfinite(out).all()
  assert not np.any(dq[3]) and not np.any(dk[3])
