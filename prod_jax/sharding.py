"""Where arrays live: the mesh, the rule table, and shardings made of them.

The only module that knows of devices. Everything else is written for one
global view; the compiler inserts what the shardings made here imply.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from prod_jax import config, strict

PyTree = Any

# (end of a parameter's path, mesh axis of each of its dimensions). Optimizer
# moments carry the path of their parameter, so the same rules place them.
RULES = (
  (r"(word|position|type)/embedding", (None, "fsdp")),
  (r"attention/(query|key|value)/kernel", ("fsdp", "tensor")),
  (r"attention/(query|key|value)/bias", ("tensor",)),
  (r"attention/output/kernel", ("tensor", "fsdp")),
  (r"mlp/up/kernel", ("fsdp", "tensor")),
  (r"mlp/up/bias", ("tensor",)),
  (r"mlp/down/kernel", ("tensor", "fsdp")),
  (r"(attention/output|mlp/down)/bias", (None,)),
  (r"norm/(scale|bias)", (None,)),
  (r"head/kernel", (None, None)),
  (r"head/bias", (None,)),
  (r"projection/kernel", (None, None)),
)


def make_mesh(
  shape: config.Mesh, devices: Sequence[jax.Device] | None = None
) -> Mesh:
  """A mesh with the axes data, fsdp and tensor.

  Args:
    shape: devices along each axis.
    devices: what it is made of; None is all there are.

  Raises:
    ConfigError: when the axes do not multiply to the number of devices.
  """
  sizes = {"data": shape.data, "fsdp": shape.fsdp, "tensor": shape.tensor}
  count = jax.device_count() if devices is None else len(devices)
  fixed = math.prod(n for n in sizes.values() if n != -1)
  free = [name for name, n in sizes.items() if n == -1]
  if len(free) > 1 or fixed < 1 or count % fixed:
    raise strict.ConfigError(
      f"config.mesh {sizes} does not fit {count} devices: at most one axis "
      "is -1, and the others multiply to a divisor of the devices"
    )
  for name in free:
    sizes[name] = count // fixed
  if math.prod(sizes.values()) != count:
    raise strict.ConfigError(
      f"config.mesh {sizes} takes {math.prod(sizes.values())} of {count} "
      "devices; set one axis to -1 to take them all"
    )
  return jax.make_mesh(
    tuple(sizes.values()),
    tuple(sizes),
    axis_types=(AxisType.Auto,) * 3,
    devices=devices,
  )


def batch_devices(mesh: Mesh) -> int:
  """Into how many parts the leading axis of a batch is cut."""
  return mesh.shape["data"] * mesh.shape["fsdp"]


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Leading axis over data and fsdp, the rest whole."""
  return NamedSharding(mesh, P(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
  """A copy on each device."""
  return NamedSharding(mesh, P())


def put_batch(tree: PyTree, mesh: Mesh) -> PyTree:
  """Moves numpy leaves [B, ...] to the devices, B cut over data and fsdp."""
  sharding = batch_sharding(mesh)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)),
    tree,
  )


def shardings(tree: PyTree, mesh: Mesh) -> PyTree:
  """The sharding of each leaf of a parameter tree or training state.

  Args:
    tree: arrays or shapes whose paths end as in `RULES`; scalars are copied.
    mesh: from `make_mesh`.

  Raises:
    ValueError: for a leaf that no rule matches, or whose dimensions a rule's
      axes do not divide.
  """
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: NamedSharding(mesh, _spec(path, leaf.shape, mesh)), tree
  )


def unused_rules(tree: PyTree) -> list[str]:
  """The patterns of `RULES` that match no leaf of `tree`."""
  paths = [_name(path) for path, _ in jax.tree.leaves_with_path(tree)]
  return [
    pattern
    for pattern, _ in RULES
    if not any(re.search(f"{pattern}$", path) for path in paths)
  ]


def _name(path: tuple) -> str:
  return jax.tree_util.keystr(path, simple=True, separator="/")


def _spec(path: tuple, shape: tuple[int, ...], mesh: Mesh) -> P:
  if not shape:
    return P()
  name = _name(path)
  axes = next((a for p, a in RULES if re.search(f"{p}$", name)), None)
  if axes is None:
    raise ValueError(f"no rule of sharding.RULES matches {name} {shape}")
  for size, axis in zip(shape, axes, strict=True):
    if axis and size % mesh.shape[axis]:
      raise ValueError(
        f"{name} {shape}: {size} does not divide by the {mesh.shape[axis]} "
        f"devices of mesh axis {axis!r}; change config.mesh.{axis}"
      )
  return P(*axes)
