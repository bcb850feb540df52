"""What the cores can do at all: one product of large matrices.

In float32, and of matrices in bfloat16 added up in float32.
"""

import pathlib
from typing import Any

import numpy as np

from benchmarks import side

SIZE, TIMES = 2048, 20


def xla(cache: pathlib.Path) -> dict[str, Any]:
  """By XLA."""
  del cache
  return _xla("float32")


def xla_bfloat16(cache: pathlib.Path) -> dict[str, Any]:
  """The same of rounded matrices."""
  del cache
  return _xla("bfloat16")


def _xla(dtype: str) -> dict[str, Any]:
  import jax
  import jax.numpy as jnp

  a, b = (jnp.asarray(x, dtype) for x in _matrices())
  product = jax.jit(
    lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32)
  )
  return _fastest(lambda: product(a, b).block_until_ready())


def torch(cache: pathlib.Path) -> dict[str, Any]:
  """By torch."""
  import torch as framework

  del cache
  framework.set_num_threads(side.THREADS)
  a, b = map(framework.from_numpy, _matrices())
  return _fastest(lambda: a @ b)


def _matrices() -> np.ndarray:
  rng = np.random.default_rng(0)
  return rng.standard_normal((2, SIZE, SIZE), np.float32)


def _fastest(product) -> dict[str, Any]:
  product()
  seconds = min(side.seconds_of(product) for _ in range(TIMES))
  return {"seconds": seconds, "rate": 2 * SIZE**3 / seconds / 1e9}


SIDES = {"xla": xla, "xla_bfloat16": xla_bfloat16, "torch": torch}

if __name__ == "__main__":
  side.main("peak", SIDES)
