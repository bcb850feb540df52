"""Weights in and out: Hugging Face folders of BERT, and our own parameters.

A Hugging Face folder holds config.json and model.safetensors with the names
of `transformers.BertModel`; these are read and written without torch. Our own
file is any parameter tree under its own names, for what only prod_jax reads.
"""

import json
import os
import pathlib
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from prod_jax import storage
from prod_jax.models import transformer
from prod_jax.models.transformer import TransformerConfig

PyTree = Any
Path = str | os.PathLike[str]

CONFIG = "config.json"
WEIGHTS = "model.safetensors"

# Our field of a config and theirs.
_FIELDS = {
  "vocab_size": "vocab_size",
  "width": "hidden_size",
  "depth": "num_hidden_layers",
  "heads": "num_attention_heads",
  "mlp_width": "intermediate_size",
  "max_positions": "max_position_embeddings",
  "type_vocab": "type_vocab_size",
  "dropout": "hidden_dropout_prob",
  "attention_dropout": "attention_probs_dropout_prob",
  "layer_norm_eps": "layer_norm_eps",
}
# Our module and theirs; a layer's are looked up behind its prefix.
_MODULES = {
  "word": "embeddings.word_embeddings",
  "position": "embeddings.position_embeddings",
  "type": "embeddings.token_type_embeddings",
  "embedding_norm": "embeddings.LayerNorm",
  "attention/query": "attention.self.query",
  "attention/key": "attention.self.key",
  "attention/value": "attention.self.value",
  "attention/output": "attention.output.dense",
  "attention_norm": "attention.output.LayerNorm",
  "mlp/up": "intermediate.dense",
  "mlp/down": "output.dense",
  "mlp_norm": "output.LayerNorm",
}
_TASK = "embeddings.task_type_embeddings.weight"
# What a checkpoint may hold beside the encoder, and we have no place for.
_NOT_ENCODER = re.compile(
  r"pooler\.|cls\.|classifier\.|embeddings\.position_ids$"
)
_REMEDY = (
  "convert pickled weights (.bin, .pt), which may run code when they are "
  "read, to safetensors, say with save_pretrained of transformers"
)
_HEAD = {"kernel": "classifier.weight", "bias": "classifier.bias"}
_SUPPORTED = {
  "model_type": ("bert", "ernie"),
  "hidden_act": ("gelu",),
  "position_embedding_type": ("absolute",),
  "is_decoder": (False,),
}


def read_config(folder: Path) -> TransformerConfig:
  """The shape of the encoder in a folder.

  Raises:
    FileNotFoundError: there is no config.json.
    ValueError: it describes something other than a BERT encoder.
  """
  path = pathlib.Path(folder) / CONFIG
  if not path.is_file():
    raise FileNotFoundError(
      f"{path} is not there; expected a folder with {CONFIG} and {WEIGHTS}"
    )
  found = json.loads(path.read_text(encoding="utf-8"))
  for key, known in _SUPPORTED.items():
    value = found.get(key, known[0])
    if value not in known:
      raise ValueError(f"{path}: {key} is {value!r}; supported: {known}")
  if not found.keys() >= set(_FIELDS.values()):
    # Takes seconds, and imports torch where that is installed.
    import transformers

    found = transformers.BertConfig.from_json_file(str(path)).to_dict()
  return TransformerConfig(**{our: found[key] for our, key in _FIELDS.items()})


def load(
  path: Path, config: TransformerConfig, *, layers: Sequence[int] | None = None
) -> PyTree:
  """Reads an encoder, and of its file only the tensors that it needs.

  Args:
    path: a .safetensors file, or a folder with model.safetensors.
    config: shape of the encoder wanted; `depth` counts the layers kept.
    layers: which layers of the file to keep, in this order; None says that
      the file has `depth` layers and all are kept.

  Returns:
    Parameters of `transformer.Transformer` as numpy float32.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is of another format, `layers` are not `depth` many, or
      tensors are missing, left over or of another shape (all are named).
  """
  file = _weights_file(path)
  kept = tuple(range(config.depth) if layers is None else layers)
  if len(kept) != config.depth:
    raise ValueError(f"layers {kept} are not the config's {config.depth}")
  shapes = _shapes(config)
  names = {key: _name(key, kept) for key in shapes}
  with safetensors.safe_open(file, framework="numpy") as tensors:
    stored = _canonical(tensors.keys())
    # Before any tensor is read: what does not fit is named at once, and whole.
    _check(file, tensors, stored, names, shapes, whole=layers is None)
    flat = {
      key: _turned(key, tensors.get_tensor(stored[name]))
      for key, name in names.items()
    }
    if _TASK in stored:
      # ERNIE adds a row for its task to every token, row 0 unless told.
      task = tensors.get_tensor(stored[_TASK])[:1].astype(np.float32)
      flat["type/embedding"] = flat["type/embedding"] + task
  return traverse_util.unflatten_dict(flat, sep="/")


def load_head(path: Path) -> PyTree:
  """Reads a cross-encoder's head that `save` wrote beside its encoder.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it holds no head of one output, or is of another format.
  """
  file = _weights_file(path)
  with safetensors.safe_open(file, framework="numpy") as tensors:
    present = set(tensors.keys())
    if not present.issuperset(_HEAD.values()):
      raise ValueError(f"{file} holds no classifier.weight and classifier.bias")
    head = {k: _turned(k, tensors.get_tensor(n)) for k, n in _HEAD.items()}
  if head["bias"].shape != (1,):
    raise ValueError(f"{file}: the head has {head['bias'].size} outputs, not 1")
  return head


def save(
  folder: Path,
  encoder: PyTree,
  config: TransformerConfig,
  *,
  head: PyTree | None = None,
  tokenizer_files: Sequence[Path] = (),
  metadata: Mapping[str, str] | None = None,
) -> None:
  """Writes a folder that `transformers.BertModel.from_pretrained` reads.

  Args:
    folder: made where it is not there. Each file is replaced at once, the
      weights last, so that a folder with weights is a whole one.
    encoder: parameters of `transformer.Transformer`.
    config: its shape.
    head: a cross-encoder's; stored as the classifier.* of a sequence
      classifier. There it would read a pooler, which we have not.
    tokenizer_files: copied beside the weights.
    metadata: notes for the header of the weights, say the pooling.

  Raises:
    ValueError: the parameters are not of the config's shape.
  """
  import transformers  # takes seconds

  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  flat = traverse_util.flatten_dict(jax.device_get(encoder), sep="/")
  if {key: x.shape for key, x in flat.items()} != _shapes(config):
    raise ValueError(f"{folder}: the parameters are not an encoder of {config}")
  kept = tuple(range(config.depth))
  tensors = {_name(key, kept): _turned(key, x) for key, x in flat.items()}
  notes = {"format": "pt", **(metadata or {})}
  if head is not None:
    tensors |= {_HEAD[key]: _turned(key, x) for key, x in head.items()}
    notes["head"] = "classifier.* reads the pooled last layer, no pooler"
  described = transformers.BertConfig(
    architectures=["BertModel"],
    **{key: getattr(config, our) for our, key in _FIELDS.items()},
  )
  for source in map(pathlib.Path, tokenizer_files):
    with storage.whole_file(folder / source.name) as part:
      shutil.copyfile(source, part)
  with storage.whole_file(folder / CONFIG) as part:
    described.to_json_file(part)
  # The last file: who finds weights finds the others.
  with storage.whole_file(folder / WEIGHTS) as part:
    safetensors.numpy.save_file(tensors, part, metadata=notes)


def save_params(path: Path, params: PyTree) -> None:
  """Writes a tree of arrays under its own names, at once."""
  flat = traverse_util.flatten_dict(jax.device_get(params), sep="/")
  tensors = {key: np.ascontiguousarray(x) for key, x in flat.items()}
  with storage.whole_file(pathlib.Path(path)) as part:
    safetensors.numpy.save_file(tensors, part)


def load_params(path: Path) -> PyTree:
  """Reads what `save_params` wrote, as numpy arrays."""
  flat = safetensors.numpy.load_file(path)
  return traverse_util.unflatten_dict(flat, sep="/")


def _weights_file(path: Path) -> pathlib.Path:
  file = pathlib.Path(path)
  file = file / WEIGHTS if file.is_dir() else file
  if not file.is_file():
    raise FileNotFoundError(f"{file} is not there; {_REMEDY}")
  if file.suffix != ".safetensors":
    raise ValueError(f"{file} is no .safetensors file; {_REMEDY}")
  return file


def _shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
  """The shape of each of our parameters, by its path."""
  flat = traverse_util.flatten_dict(transformer.shapes(config), sep="/")
  return {key: x.shape for key, x in flat.items()}


def _name(key: str, layers: Sequence[int]) -> str:
  """Their name of our parameter, whose layer_i is number layers[i]."""
  module, leaf = key.rsplit("/", 1)
  leaf = "bias" if leaf == "bias" else "weight"
  layer, _, inner = module.partition("/")
  if not layer.startswith("layer_"):
    return f"{_MODULES[module]}.{leaf}"
  number = layers[int(layer.removeprefix("layer_"))]
  return f"encoder.layer.{number}.{_MODULES[inner]}.{leaf}"


def _turned(key: str, tensor: np.ndarray) -> np.ndarray:
  """float32; torch stores a dense layer's matrix as [out, in]."""
  turned = tensor.T if key.endswith("kernel") else tensor
  return np.ascontiguousarray(turned, np.float32)


def _canonical(names: Sequence[str]) -> dict[str, str]:
  """Today's bare name of each stored one: no prefix, no gamma and beta."""

  def bare(name: str) -> str:
    name = re.sub(r"^(bert|ernie)\.", "", name)
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
    return name.replace("LayerNorm.beta", "LayerNorm.bias")

  return {bare(name): name for name in names}


def _check(
  file: pathlib.Path,
  tensors: safetensors.safe_open,
  stored: Mapping[str, str],
  names: Mapping[str, str],
  shapes: Mapping[str, tuple[int, ...]],
  *,
  whole: bool,
) -> None:
  """Raises ValueError that names every tensor which does not fit."""
  wrong = []
  for key, name in names.items():
    step = -1 if key.endswith("kernel") else 1
    shape = list(shapes[key][::step])
    if name not in stored:
      wrong.append(f"{name} {shape} is missing")
      continue
    found = tensors.get_slice(stored[name]).get_shape()
    if found != shape:
      wrong.append(f"{stored[name]} is {found}, the config asks for {shape}")
  for name in stored.keys() - set(names.values()) - {_TASK}:
    cut = not whole and name.startswith("encoder.layer.")
    if not cut and not _NOT_ENCODER.match(name):
      wrong.append(f"{stored[name]} is left over")
  if wrong:
    raise ValueError(f"{file} does not fit:\n  " + "\n  ".join(sorted(wrong)))
