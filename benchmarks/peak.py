"""What the cores can do at all: one product of large matrices.

In float32, and of matrices in bfloat16 added up in float32.
"""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import side

SIZE, TIMES = 2048, 20


def xla(cache: pathlib.Path) -> dict[str, Any]:
  """By XLA."""
  del cache
  return product("float32", SIZE)


def xla_bfloat16(cache: pathlib.Path) -> dict[str, Any]:
  """The same of rounded matrices."""
  del cache
  return product("bfloat16", SIZE)


def product(dtype: str, size: int) -> dict[str, Any]:
  """The fastest product of two square matrices by XLA."""
  import jax
  import jax.numpy as jnp

  a, b = (jnp.asarray(x, dtype) for x in _matrices(size))
  multiply = jax.jit(
    lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32)
  )
  return _fastest(lambda: multiply(a, b).block_until_ready(), size)


def torch(cache: pathlib.Path) -> dict[str, Any]:
  """By torch."""
  import torch as framework

  del cache
  framework.set_num_threads(side.THREADS)
  a, b = map(framework.from_numpy, _matrices(SIZE))
  return _fastest(lambda: a @ b, SIZE)


def _matrices(size: int) -> np.ndarray:
  rng = np.random.default_rng(0)
  return rng.standard_normal((2, size, size), np.float32)


def _fastest(multiply: Callable[[], Any], size: int) -> dict[str, Any]:
  multiply()
  seconds = min(side.seconds_of(multiply) for _ in range(TIMES))
  return {"seconds": seconds, "rate": 2 * size**3 / seconds / 1e9}


SIDES = {"xla": xla, "xla_bfloat16": xla_bfloat16, "torch": torch}

if __name__ == "__main__":
  side.main("peak", SIDES)
