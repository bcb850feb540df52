"""Weights in and out: Hugging Face folders of encoders, and our own parameters.

A Hugging Face folder holds config.json and weights under the names of its
family in transformers (see families/); these are read and written without
torch. Our own file is any parameter tree under its own names, for what only
prod_jax reads.
"""

import dataclasses
import json
import os
import pathlib
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import ml_dtypes
import numpy as np
import safetensors.numpy
from flax import traverse_util

from prod_jax import storage
from prod_jax.models import weights
from prod_jax.models.cross import Head
from prod_jax.models.families import (
  FAMILIES,
  Family,
  description,
  matching,
  tensors,
)
from prod_jax.models.families.description import CONFIG
from prod_jax.models.families.tensors import Shapes, Stored
from prod_jax.models.transformer_config import TransformerConfig
from prod_jax.models.weights import WEIGHTS, Path, WeightsError

PyTree = Any

DTYPES = {
  "float32": np.float32,
  "float16": np.float16,
  "bfloat16": ml_dtypes.bfloat16,
}

_TYPES = "type/embedding"
_LINEAR = "classifier.* reads the pooled last layer, no pooler"


def read_config(folder: Path) -> TransformerConfig:
  """The shape of the encoder in a folder.

  Raises:
    WeightsError: there is no config.json, or it describes an encoder that we
      do not compute.
  """
  path = pathlib.Path(folder) / CONFIG
  return description.config_of(path, description.described(path))


def load(
  path: Path, config: TransformerConfig, *, layers: Sequence[int] | None = None
) -> PyTree:
  """Reads an encoder, and of its file only the tensors that it needs.

  Args:
    path: a .safetensors file, or a folder with the weights, whole or in shards.
    config: of the encoder wanted; see `TransformerConfig.cut`.
    layers: which layers of the file to keep, in this order; None says that
      the file has `depth` layers and all are kept.

  Returns:
    Parameters of `transformer.Transformer` as numpy float32.

  Raises:
    WeightsError: the files cannot be read, or tensors are missing, left over
      or of another shape (the first of them are named).
    ValueError: `layers` are not `depth` many, or make no encoder.
  """
  names, shapes = FAMILIES[config.family].names, tensors.shapes_of(config)
  wanted = tensors.stored(names, shapes, _kept(config, layers))
  with weights.opened(path) as file:
    # Before any tensor is read: what does not fit is named at once.
    found, _ = _matched(file, config, layers)
    flat: dict[str, np.ndarray] = {}
    for name, keys in wanted.items():
      rows = tensors.stored_shape(keys, shapes)[0]
      flat |= tensors.split(file.read(found[name])[:rows], keys)
    if config.task_row:
      row = file.read(found[names.task])[:1]
      flat[_TYPES] = flat[_TYPES] + row
  return traverse_util.unflatten_dict(flat, sep="/")


def check(
  path: Path, config: TransformerConfig, *, layers: Sequence[int] | None = None
) -> list[str]:
  """Raises what `load` would but for numbers; only headers are read.

  Returns:
    What of the file is not read, in sentences.
  """
  with weights.opened(path) as file:
    return _matched(file, config, layers)[1]


def check_numbers(
  path: Path, config: TransformerConfig, *, layers: Sequence[int] | None = None
) -> None:
  """Raises WeightsError where `load` would find what is no number."""
  names, shapes = FAMILIES[config.family].names, tensors.shapes_of(config)
  with weights.opened(path) as file:
    found, _ = _matched(file, config, layers)
    for name in tensors.stored(names, shapes, _kept(config, layers)):
      file.read(found[name])


def _kept(
  config: TransformerConfig, layers: Sequence[int] | None
) -> tuple[int, ...]:
  """The layers that are read, in the order in which they are stacked."""
  kept = tuple(range(config.depth) if layers is None else layers)
  if len(kept) != config.depth:
    raise ValueError(f"layers {kept} are not the config's {config.depth}")
  config.check_cut(kept)
  return kept


def _matched(
  file: weights.Tensors,
  config: TransformerConfig,
  layers: Sequence[int] | None,
) -> tuple[Mapping[str, str], list[str]]:
  """The stored name of each tensor of an encoder that fits; what is left."""
  names, shapes = FAMILIES[config.family].names, tensors.shapes_of(config)
  wanted = tensors.stored(names, shapes, _kept(config, layers))
  found = matching.found_in(file, wanted, config.family)
  left = matching.check_shapes(file, wanted, found, shapes)
  for name in wanted:
    file.check_dtype(found[name])
  cut = names.layer.split("{}")[0] if layers is not None else None
  task = [names.task] if config.task_row else []
  matching.check_there(file, task, found)
  left += matching.check_others(file, [*wanted, *task], found, cut)
  return found, left


def read_head(folder: Path) -> Head | None:
  """The shape of a folder's head, as of AutoModelForSequenceClassification.

  Args:
    folder: with config.json and weights.

  Returns:
    None where the folder holds an encoder alone.

  Raises:
    WeightsError: the folder cannot be read, or the head has neither one label
      nor two, or lacks tensors.
  """
  path = pathlib.Path(folder) / CONFIG
  described = description.described(path)
  family = description.family_of(path, described)
  with weights.opened(folder) as file:
    if file.metadata.get("head") == _LINEAR:
      head = Head(file.metadata.get("pooling", "cls"))
    else:
      head = description.head_of(path, described)
    last = matching.ending(file, f"{_head_modules(family, head)['']}.weight")
    if last is None:
      return None
    labels = (*file.shape(last), 0)[0]
    if labels not in (1, 2):
      raise WeightsError(
        f"{file.source}: the head has {labels} labels; a score takes one, or "
        "two by their difference"
      )
    head = dataclasses.replace(head, labels=labels)
    _head_found(file, head, path, described)
    return head


def load_head(folder: Path, head: Head) -> PyTree:
  """Reads a cross-encoder's head.

  Args:
    folder: with config.json and weights.
    head: as of `read_head`.

  Raises:
    WeightsError: tensors are missing or of another shape.
  """
  path = pathlib.Path(folder) / CONFIG
  described = description.described(path)
  with weights.opened(folder) as file:
    wanted, found = _head_found(file, head, path, described)
    flat: dict[str, np.ndarray] = {}
    for name, keys in wanted.items():
      flat |= tensors.split(file.read(found[name]), keys)
  return traverse_util.unflatten_dict(flat, sep="/")


def _head_found(
  file: weights.Tensors,
  head: Head,
  path: pathlib.Path,
  described: Mapping[str, Any],
) -> tuple[Stored, Mapping[str, str]]:
  """Which tensors hold a head, and how each is called in the file."""
  shapes = _head_shapes(head, description.config_of(path, described))
  family = description.family_of(path, described)
  wanted = _head_stored(family, head, shapes)
  found = {n: s for n in wanted if (s := matching.ending(file, n)) is not None}
  matching.check_shapes(file, wanted, found, shapes)
  return wanted, found


def save(
  folder: Path,
  encoder: PyTree,
  config: TransformerConfig,
  *,
  head: tuple[Head, PyTree] | None = None,
  dtype: str = "float32",
  tokenizer_files: Sequence[Path] = (),
  metadata: Mapping[str, str] | None = None,
) -> None:
  """Writes a folder that transformers reads.

  `AutoModel` reads an encoder, and `AutoModelForSequenceClassification` one
  with the head of its family. A linear head has no class there: it is stored
  beside an encoder, as classifier.*, and only `load_head` reads it.

  Args:
    folder: made where it is not there. Each file is replaced at once, the
      weights last, so that a folder with weights is a whole one.
    encoder: parameters of `transformer.Transformer`.
    config: its shape.
    head: a cross-encoder's, and its parameters.
    dtype: that the weights are stored in, one of `DTYPES`.
    tokenizer_files: copied beside the weights.
    metadata: notes for the header of the weights.

  Raises:
    ValueError: the parameters are not of the config's shape, or its family
      cannot say what it is, or `dtype` does not hold the numbers.
  """
  folder = pathlib.Path(folder)
  family, shapes = FAMILIES[config.family], tensors.shapes_of(config)
  described = description.description(config, head and head[0]) | {
    "dtype": dtype
  }
  linear = head is None or head[0].is_linear
  flat = _flat(encoder, shapes, f"{folder}: an encoder of {config}")
  # A classifier's encoder has a name of its own in front.
  prefix = "" if linear else family.prefix
  stored = tensors.stored(family.names, shapes, range(config.depth))
  written = {f"{prefix}{n}": tensors.joined(flat, k) for n, k in stored.items()}
  notes = {"format": "pt", **(metadata or {})}
  if head is not None:
    written |= _head_tensors(family, head, config)
    if linear:
      notes |= {"head": _LINEAR, "pooling": head[0].pooling}
  cast = {name: _cast(name, x, dtype) for name, x in written.items()}
  folder.mkdir(parents=True, exist_ok=True)
  for source in map(pathlib.Path, tokenizer_files):
    with storage.whole_file(folder / source.name) as part:
      shutil.copyfile(source, part)
  with storage.whole_file(folder / CONFIG) as part:
    part.write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")
  # The last file: who finds weights finds the others.
  with storage.whole_file(folder / WEIGHTS) as part:
    _save(cast, part, notes)


def save_params(path: Path, params: PyTree) -> None:
  """Writes a tree of arrays under its own names, at once."""
  flat = traverse_util.flatten_dict(jax.device_get(params), sep="/")
  arrays = {key: np.ascontiguousarray(x) for key, x in flat.items()}
  with storage.whole_file(pathlib.Path(path)) as part:
    _save(arrays, part)


def _save(
  arrays: dict[str, np.ndarray],
  path: pathlib.Path,
  notes: dict[str, str] | None = None,
) -> None:
  """Raises OSError with the file's name, which the library leaves out."""
  try:
    safetensors.numpy.save_file(arrays, path, metadata=notes)
  except safetensors.SafetensorError as error:
    if not (code := re.search(r"os error (\d+)", str(error))):
      raise
    number = int(code[1])
    raise OSError(number, os.strerror(number), str(path)) from error


def load_params(path: Path) -> PyTree:
  """Reads what `save_params` wrote, as numpy arrays.

  Raises:
    WeightsError: it is cut or damaged.
  """
  try:
    flat = safetensors.numpy.load_file(path)
  except safetensors.SafetensorError as error:
    raise WeightsError(
      f"{path} is cut, damaged or no safetensors ({error}); run its stage again"
    ) from error
  return traverse_util.unflatten_dict(flat, sep="/")


def _flat(tree: PyTree, shapes: Shapes, what: str) -> dict[str, np.ndarray]:
  """Parameters by their paths; ValueError where they are not of the shapes."""
  flat = traverse_util.flatten_dict(jax.device_get(tree), sep="/")
  if {key: x.shape for key, x in flat.items()} != dict(shapes):
    raise ValueError(f"{what}: the parameters are of another shape")
  return flat


def _cast(name: str, x: np.ndarray, dtype: str) -> np.ndarray:
  with np.errstate(over="ignore"):
    cast = x.astype(DTYPES[dtype])
  if not np.array_equal(np.isfinite(cast), np.isfinite(x)):
    raise ValueError(f"{name} has numbers that {dtype} does not hold")
  return cast


def _head_modules(family: Family, head: Head) -> Mapping[str, str]:
  return {"": "classifier"} if head.is_linear else family.head.modules


def _head_shapes(
  head: Head, config: TransformerConfig
) -> dict[str, tuple[int, ...]]:
  made = jax.eval_shape(lambda: head.init(config, jax.random.key(0)))
  flat = traverse_util.flatten_dict(made, sep="/")
  return {key: x.shape for key, x in flat.items()}


def _head_stored(family: Family, head: Head, shapes: Shapes) -> Stored:
  """Which tensor holds which of the head's parameters."""
  return {
    tensors.name_of(module, leaf): (f"{ours}/{leaf}" if ours else leaf,)
    for ours, module in _head_modules(family, head).items()
    for leaf in tensors.LEAVES
    if (f"{ours}/{leaf}" if ours else leaf) in shapes
  }


def _head_tensors(
  family: Family, head: tuple[Head, PyTree], config: TransformerConfig
) -> dict[str, np.ndarray]:
  shape, params = head
  shapes = _head_shapes(shape, config)
  flat = _flat(params, shapes, f"a head {shape}")
  stored = _head_stored(family, shape, shapes)
  # BERT's pooler is a part of its encoder, under the encoder's prefix.
  return {
    f"{family.prefix if name.startswith('pooler.') else ''}{name}": (
      tensors.joined(flat, keys)
    )
    for name, keys in stored.items()
  }
