"""Where arrays live: the mesh, the rule table, and shardings made of them.

Everything else is written for one global view, and the compiler inserts what
the shardings made here imply. The exception is a kernel, which the compiler
cannot divide: what each device does of it is per_device.py.
"""

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from prod_jax import config, strict

PyTree = Any

# Part of a model -> (end of a parameter's path in it, mesh axis of each of the
# parameter's dimensions). Where a part is there, each of its rules matches
# something, but for what some families of encoders have not. Optimizer moments
# carry the path of their parameter, so the same rules place them.
_ENCODER = (
  (r"(word|position|type)/embedding", (None, "fsdp")),
  (r"attention/(query|key|value)/kernel", ("fsdp", "tensor")),
  (r"attention/(query|key|value)/bias", ("tensor",)),
  (r"attention/output/kernel", ("tensor", "fsdp")),
  (r"mlp/(up|gate)/kernel", ("fsdp", "tensor")),
  (r"mlp/(up|gate)/bias", ("tensor",)),
  (r"mlp/down/kernel", ("tensor", "fsdp")),
  (r"(attention/output|mlp/down)/bias", (None,)),
  (r"norm/(scale|bias)", (None,)),
  (r"embedding_projection/kernel", (None, "fsdp")),
  (r"embedding_projection/bias", (None,)),
  (r"relative_bias/embedding", (None, None)),
)
RULES = {
  "encoder": _ENCODER,
  "query": _ENCODER,
  "passage": _ENCODER,
  "head": (
    (r"kernel", (None, None)),
    (r"bias", (None,)),
    (r"norm/scale", (None,)),
  ),
  "projection": ((r"kernel", (None, None)),),
  "dense": ((r"kernel", (None, None)), (r"bias", (None,))),
}
# What a part may be without.
_IN_SOME = frozenset(
  (
    r"attention/(query|key|value)/bias",
    r"mlp/(up|gate)/bias",
    r"(attention/output|mlp/down)/bias",
    r"embedding_projection/kernel",
    r"embedding_projection/bias",
    r"relative_bias/embedding",
    r"norm/scale",
  )
)


def make_mesh(
  shape: config.Mesh, devices: Sequence[jax.Device] | None = None
) -> Mesh:
  """A mesh with the axes data, fsdp and tensor.

  Args:
    shape: of the mesh.
    devices: to make it of; None takes those of all processes.

  Raises:
    ConfigError: when the axes do not multiply to the number of devices.
  """
  sizes = {"data": shape.data, "fsdp": shape.fsdp, "tensor": shape.tensor}
  given = jax.devices() if devices is None else devices
  count = len(given)
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
  slices = len({getattr(device, "slice_index", 0) for device in given})
  if slices > 1:
    return _over_slices(sizes, given, slices)
  return jax.make_mesh(
    tuple(sizes.values()),
    tuple(sizes),
    axis_types=(AxisType.Auto,) * 3,
    devices=given,
  )


def _over_slices(
  sizes: dict[str, int], devices: Sequence[jax.Device], slices: int
) -> Mesh:
  """A mesh whose axis data goes over the slices, first of all.

  Between slices is the network of the data centre, which is quick enough for
  one gradient a step; fsdp and tensor stay on the links within a slice.
  """
  if sizes["data"] % slices:
    raise strict.ConfigError(
      f"config.mesh has data={sizes['data']}, not a multiple of the {slices} "
      "slices; fsdp and tensor stay within a slice"
    )
  within = (sizes["data"] // slices, sizes["fsdp"], sizes["tensor"])
  arranged = mesh_utils.create_hybrid_device_mesh(
    within, (slices, 1, 1), devices, allow_split_physical_axes=True
  )
  return Mesh(arranged, tuple(sizes), axis_types=(AxisType.Auto,) * 3)


def is_tpu(mesh: Mesh) -> bool:
  """Whether its devices are TPU cores."""
  return mesh.devices.flat[0].platform == "tpu"


def batch_devices(mesh: Mesh) -> int:
  """Into how many parts the leading axis of a batch is cut."""
  return mesh.shape["data"] * mesh.shape["fsdp"]


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Leading axis over data and fsdp, the rest whole."""
  return NamedSharding(mesh, P(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
  """A copy on each device."""
  return NamedSharding(mesh, P())


def batch_rows(mesh: Mesh, size: int) -> np.ndarray:
  """The rows of a batch of `size` that this process's devices hold, sorted."""
  places = batch_sharding(mesh).addressable_devices_indices_map((size,))
  rows = [np.arange(size)[index or ()] for index in places.values()]
  return np.unique(np.concatenate(rows))


def put_batch(tree: PyTree, mesh: Mesh, size: int | None = None) -> PyTree:
  """Moves a batch to the devices, its rows cut over data and fsdp.

  Args:
    tree: numpy arrays [b, ...] of the `batch_rows` of this process, or the
      same share of an axis that is cut like them, such as groups of rows.
    mesh: whose devices hold it.
    size: rows of the whole batch; None where all of them are here.
  """
  sharding = batch_sharding(mesh)
  own = len(batch_rows(mesh, size)) if size else 1

  def put(x: np.ndarray) -> jax.Array:
    whole = len(x) * (size or 1) // own
    rows = batch_rows(mesh, whole)

    def rows_at(index: Any) -> np.ndarray:
      start, stop, _ = index[0].indices(whole)
      return x[slice(*np.searchsorted(rows, (start, stop)))]

    shape = (whole, *x.shape[1:])
    return jax.make_array_from_callback(shape, sharding, rows_at)

  return jax.tree.map(put, tree)


def place(tree: PyTree, shardings: PyTree) -> PyTree:
  """Puts arrays that each process has whole where `shardings` says."""

  def put(x: Any, sharding: NamedSharding) -> jax.Array:
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, sharding, x.__getitem__)

  return jax.tree.map(put, tree, shardings)


class Copies(NamedTuple):
  """Parameters whole on each of some devices, which work by themselves.

  For work that is divided in blocks. One program over the devices of a process
  is refused by the compiler where they are a part of a slice of v5e or v6e.
  """

  devices: Sequence[jax.Device]
  params: Sequence[PyTree]


def copies(params: PyTree) -> Copies:
  """Parameters on each device of this process."""
  devices = jax.local_devices()
  return Copies(devices, [jax.device_put(params, d) for d in devices])


def gathered(tree: PyTree, mesh: Mesh) -> PyTree:
  """A tree on the devices of all processes as numpy arrays on each of them."""
  whole = jax.jit(lambda x: x, out_shardings=replicated(mesh))(tree)
  return jax.device_get(whole)


def shardings(tree: PyTree, mesh: Mesh) -> PyTree:
  """The sharding of each leaf of a parameter tree or training state.

  Args:
    tree: arrays or shapes whose paths end as in `RULES`; scalars are copied.
    mesh: from `make_mesh`.

  Raises:
    ConfigError: for a leaf that no rule matches, a rule of one of the tree's
      parts that matches no leaf, or an axis that does not divide a dimension.
  """
  used = set()

  def leaf_sharding(path: tuple, leaf: Any) -> NamedSharding:
    if not leaf.shape:
      return replicated(mesh)
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    part, pattern, axes = _rule(name, leaf.shape)
    used.add((part, pattern))
    _check_divides(name, leaf.shape, axes, mesh)
    return NamedSharding(mesh, P(*axes))

  found = jax.tree_util.tree_map_with_path(leaf_sharding, tree)
  for part in {part for part, _ in used}:
    rules = {p for p, _ in RULES[part]} - _IN_SOME
    idle = sorted(p for p in rules if (part, p) not in used)
    if idle:
      raise strict.ConfigError(
        f"rules of sharding.RULES[{part!r}] match no parameter: "
        f"{', '.join(idle)}; correct or remove them"
      )
  return found


def for_compute(params: PyTree) -> PyTree:
  """Parameters as a step computes with them: whole along fsdp.

  Inside a jitted function under `jax.set_mesh`. Along fsdp parameters are only
  stored in parts (ZeRO stage 3): they are gathered before use, and their
  gradients scattered behind it. Left to itself the compiler cuts activations
  along the width instead, and copies them whole where that does not fit.
  """
  if jax.sharding.get_abstract_mesh().shape.get("fsdp", 1) == 1:
    return params

  def whole(path: tuple, leaf: jax.Array) -> jax.Array:
    if not leaf.shape:
      return leaf
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    axes = _rule(name, leaf.shape)[2]
    spec = P(*(None if axis == "fsdp" else axis for axis in axes))
    return jax.lax.with_sharding_constraint(leaf, spec)

  return jax.tree_util.tree_map_with_path(whole, params)


def _rule(name: str, shape: tuple[int, ...]) -> tuple[str, str, tuple]:
  """(part, pattern, axes) of the rule for a parameter."""
  at = re.search(rf"(?:^|/)({'|'.join(RULES)})/", name)
  if at:
    for pattern, axes in RULES[at[1]]:
      if re.search(rf"{pattern}$", name[at.end() - 1 :]):
        return at[1], pattern, axes
  raise strict.ConfigError(
    f"no rule of sharding.RULES matches the parameter {name} {shape}; add one"
  )


def _check_divides(
  name: str, shape: tuple[int, ...], axes: tuple, mesh: Mesh
) -> None:
  for size, axis in zip(shape, axes, strict=True):
    if axis and size % mesh.shape[axis]:
      raise strict.ConfigError(
        f"{name} {shape}: {size} does not divide by the {mesh.shape[axis]} "
        f"devices of mesh axis {axis!r}; change config.mesh.{axis}"
      )
