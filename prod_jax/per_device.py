"""Work of which each device does the part of its own rows and heads.

A kernel is a call whose inside the compiler does not see, so that it cannot cut
it over the devices as it cuts everything else.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec as P

PyTree = Any

_ROWS = ("data", "fsdp")


def on_platform(name: str) -> bool:
  """Whether devices are of this platform, "tpu" or "gpu".

  Inside a jitted function: those of the mesh that is set, or else of this
  process.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return jax.default_backend() == name
  return bool(mesh.abstract_device) and mesh.abstract_device.platform == name


def divides(rows: int, heads: int) -> bool:
  """Whether so many rows and heads divide among the devices of the mesh."""
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return True
  parts = math.prod(mesh.shape[axis] for axis in _ROWS)
  return not rows % parts and not heads % mesh.shape["tensor"]


def by_rows_and_heads(
  local: Callable[..., PyTree],
  heads: int,
  copied: PyTree,
  narrow: PyTree,
  wide: PyTree,
) -> PyTree:
  """Calls `local` on each device, under the mesh that is set.

  Args:
    local: (first row, first head, copied, narrow, wide), the last three as
      the device has them, to arrays cut like `wide`.
    heads: of all devices.
    copied: arrays that each device has whole.
    narrow: arrays [R, ...], cut by rows.
    wide: arrays [R, L, D], cut by rows and heads, which lie in D.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or mesh.size == 1:
    return local(0, 0, copied, narrow, wide)

  def on_device(copied: PyTree, narrow: PyTree, wide: PyTree) -> PyTree:
    rows = len(jax.tree.leaves(wide)[0])
    own_heads = heads // mesh.shape["tensor"]
    return local(
      jax.lax.axis_index(_ROWS) * rows,
      jax.lax.axis_index("tensor") * own_heads,
      copied,
      narrow,
      wide,
    )

  by_rows, by_both = P(_ROWS), P(_ROWS, None, "tensor")
  return jax.shard_map(
    on_device,
    in_specs=(P(), by_rows, by_both),
    out_specs=by_both,
    check_vma=False,  # a kernel does not say which axes its results vary over
  )(copied, narrow, wide)
