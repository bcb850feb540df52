"""From a family's tensors to our parameters, and back.

Torch stores a dense layer's matrix as [out, in], and some families lay several
layers in one tensor, one behind the other.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from flax import traverse_util

from prod_jax.models import transformer
from prod_jax.models.families.family import Modules, Names
from prod_jax.models.transformer_config import TransformerConfig

Shapes = Mapping[str, tuple[int, ...]]
Stored = dict[str, tuple[str, ...]]  # a tensor -> parameters stacked in it

LEAVES = ("kernel", "embedding", "scale", "bias")


def shapes_of(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
  """The shape of each parameter of an encoder, by its path."""
  flat = traverse_util.flatten_dict(transformer.shapes(config), sep="/")
  return {key: x.shape for key, x in flat.items()}


def stored(names: Names, shapes: Shapes, layers: Sequence[int]) -> Stored:
  """Which tensor holds which parameters, layer_i being number layers[i]."""
  found = _stored(names.outer, shapes, "", "")
  for i, number in enumerate(layers):
    at = names.layer.format(number)
    found |= _stored(names.inner, shapes, at, f"layer_{i}/")
  return found


def _stored(modules: Modules, shapes: Shapes, theirs: str, ours: str) -> Stored:
  found = {}
  for module, parts in modules.items():
    for leaf in LEAVES:
      keys = tuple(f"{ours}{part}/{leaf}" for part in parts)
      if keys[0] in shapes:
        found[name_of(f"{theirs}{module}", leaf)] = keys
  return found


def name_of(module: str, leaf: str) -> str:
  """Their name of a leaf of ours."""
  return f"{module}.{'bias' if leaf == 'bias' else 'weight'}"


def stored_shape(keys: Sequence[str], shapes: Shapes) -> tuple[int, ...]:
  """Of the tensor that holds these parameters."""
  first, *rest = turned(keys[0], np.broadcast_to(0.0, shapes[keys[0]])).shape
  return (first * len(keys), *rest)


def split(tensor: np.ndarray, keys: Sequence[str]) -> dict[str, np.ndarray]:
  """The parameters in a tensor."""
  parts = np.split(tensor, len(keys))
  return {
    key: np.ascontiguousarray(turned(key, part))
    for key, part in zip(keys, parts, strict=True)
  }


def joined(params: Mapping[str, np.ndarray], keys: Sequence[str]) -> np.ndarray:
  """The tensor of these parameters."""
  parts = [turned(key, np.asarray(params[key], np.float32)) for key in keys]
  return np.ascontiguousarray(np.concatenate(parts))


def turned(key: str, x: np.ndarray) -> np.ndarray:
  """A dense layer's matrix the other way round, anything else as it is."""
  return x.T if key.endswith("kernel") else x
