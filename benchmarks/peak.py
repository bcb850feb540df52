"""What the cores can do at all: one product of large matrices in float32."""

import pathlib
from typing import Any

import numpy as np

from benchmarks import side

SIZE, TIMES = 2048, 20


def xla(cache: pathlib.Path) -> dict[str, Any]:
  """By XLA."""
  import jax

  del cache
  a, b = (jax.device_put(x) for x in _matrices())
  product = jax.jit(lambda a, b: a @ b)
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


SIDES = {"xla": xla, "torch": torch}

if __name__ == "__main__":
  side.main("peak", SIDES)
