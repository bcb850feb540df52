"""CPU with 8 simulated devices, and strict broadcasting, for every test."""

import os
import pathlib

import jax
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Tests compile much and compute little. The command, which they start as a
# process of its own, runs as it does for everyone.
jax.config.update("jax_disable_most_optimizations", True)

REPO = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
  """The folder of real text and reference numbers, where there is one."""
  folder = pathlib.Path(os.environ.get("PROD_JAX_SHARED", REPO / "../shared"))
  if not folder.is_dir():
    pytest.skip(f"no shared data at {folder}; set PROD_JAX_SHARED")
  return folder.resolve()
