"""What a folder of sentence-transformers says beside the encoder's own files.

modules.json names the modules that a text goes through: the encoder, pooling,
dense layers, normalisation. Whatever of them we do not compute is refused, and
so is a module of one's own code, because it would have to be run.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from prod_jax.models import weights
from prod_jax.models.dual import Dense
from prod_jax.models.texts import Pooling
from prod_jax.models.weights import Path, WeightsError

PyTree = Any

MODULES = "modules.json"
CONFIG = "config.json"
SETTINGS = "config_sentence_transformers.json"
LENGTH = "sentence_bert_config.json"

# Their name of a pooling -> ours; the older files have a key for each.
_POOLINGS: dict[str, Pooling] = {
  "cls": "cls",
  "mean": "mean",
  "max": "max",
  "mean_sqrt_len_tokens": "mean_sqrt_len",
  "lasttoken": "last",
}
_OLD_KEYS = {
  "pooling_mode_cls_token": "cls",
  "pooling_mode_mean_tokens": "mean",
  "pooling_mode_max_tokens": "max",
  "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
  "pooling_mode_weightedmean_tokens": "weightedmean",
  "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS = {
  "torch.nn.modules.linear.Identity": "",
  "torch.nn.modules.activation.Tanh": "tanh",
}
_SCORES = "scores"  # their name of what a cross-encoder's last layer gives
# What they call a text -> what we do.
_TEXTS = {"query": "query", "document": "passage", "passage": "passage"}
_SIMILARITIES: dict[str, Literal["cosine", "dot"]] = {
  "cosine": "cosine",
  "dot": "dot",
  "dot_product": "dot",
}


@dataclasses.dataclass(frozen=True)
class Described:
  """The modules behind an encoder, and how their vectors are meant.

  Attributes:
    encoder: folder of the encoder's own files.
    pooling: one of `texts.POOLINGS`.
    dense: layers behind it, and the folder of each.
    normalize: vectors of length 1.
    similarity: "cosine" or "dot", "" where it is not said.
    prompts: in front of each "query" and each "passage", where there are any.
    max_length: tokens of the longest text, special ones too; 0 is not said.
    lower_case: texts are lower-cased before they are tokenised.
  """

  encoder: pathlib.Path
  pooling: Pooling
  dense: tuple[tuple[Dense, pathlib.Path], ...]
  normalize: bool
  similarity: Literal["", "cosine", "dot"]
  prompts: Mapping[str, str]
  max_length: int
  lower_case: bool


class Scores(NamedTuple):
  """The linear head of a cross-encoder, behind its pooling.

  Attributes:
    pooling: one of `texts.POOLINGS`.
    layer: with one output.
    folder: of it.
  """

  pooling: Pooling
  layer: Dense
  folder: pathlib.Path


def encoder_folder(folder: Path) -> pathlib.Path:
  """Where the encoder's files are: the folder, or one in it.

  Raises:
    WeightsError: modules.json is damaged or names a folder elsewhere.
  """
  folder = pathlib.Path(folder)
  if not (folder / MODULES).is_file():
    return folder
  return folder_of(folder, modules_of(folder)[0])


def read(folder: Path) -> Described | None:
  """What the folder says; None where it is no folder of theirs.

  Raises:
    WeightsError: it names a module that we do not compute, or a file of it is
      damaged.
  """
  folder = pathlib.Path(folder)
  if not (folder / MODULES).is_file():
    return None
  modules = modules_of(folder)
  encoder = folder_of(folder, modules[0])
  kinds = [kind_of(module) for module in modules]
  dense = [m for m, kind in zip(modules, kinds, strict=True) if kind == "Dense"]
  expected = ["Transformer", "Pooling", *["Dense"] * len(dense)]
  if kinds not in (expected, [*expected, "Normalize"]):
    raise WeightsError(
      f"{folder / MODULES} names the modules {', '.join(kinds)}; it takes "
      "Transformer, Pooling, then any number of Dense, then Normalize or not"
    )
  settings = optional_json(folder / SETTINGS)
  limits = optional_json(encoder / LENGTH)
  return Described(
    encoder=encoder,
    pooling=_pooling(folder_of(folder, modules[1])),
    dense=tuple(dense_of(folder_of(folder, module)) for module in dense),
    normalize=kinds[-1] == "Normalize",
    similarity=_similarity(folder / SETTINGS, settings),
    prompts=prompts_of(settings),
    max_length=limits.get("max_seq_length") or 0,
    lower_case=bool(limits.get("do_lower_case")),
  )


def read_scores(folder: Path) -> Scores | None:
  """What a cross-encoder of theirs makes of its encoder's states.

  Returns:
    None where the folder is of none, or of one that is a Transformer alone: a
    sequence classifier, whose head is with its weights.

  Raises:
    WeightsError: it names a module that we do not compute, or a file of it is
      damaged.
  """
  folder = pathlib.Path(folder)
  if not (folder / MODULES).is_file():
    return None
  modules = modules_of(folder)
  kinds = [kind_of(module) for module in modules]
  places = [folder_of(folder, module) for module in modules]
  kind = optional_json(folder / SETTINGS).get("model_type")
  last = optional_json(places[-1] / CONFIG).get("module_output_name")
  if kinds == ["Transformer"] or (kind != "CrossEncoder" and last != _SCORES):
    return None
  if kinds != ["Transformer", "Pooling", "Dense"]:
    raise WeightsError(
      f"{folder / MODULES} names the modules {', '.join(kinds)}; of a "
      "cross-encoder it takes Transformer, or Transformer, Pooling, Dense"
    )
  layer, place = dense_of(places[2], gives=_SCORES)
  if layer.width != 1 or layer.activation:
    raise WeightsError(
      f"{place / CONFIG}: the layer gives {layer.width} scores, with the "
      f"activation {layer.activation or 'none'!r}; it takes one score, as it is"
    )
  return Scores(_pooling(places[1]), layer, place)


def load_scores(scores: Scores) -> PyTree:
  """Parameters of a cross-encoder's linear head as numpy float32.

  Raises:
    WeightsError: the weights are not there, or of another shape.
  """
  params = load_layer(scores.layer, scores.folder)
  return {"bias": np.zeros(1, np.float32)} | params


def load_dense(described: Described) -> PyTree:
  """Parameters of the dense layers, {"0", "1", …}, as numpy float32.

  Raises:
    WeightsError: the weights are not there, or of another shape.
  """
  return {
    str(i): load_layer(layer, folder)
    for i, (layer, folder) in enumerate(described.dense)
  }


def files(folder: Path) -> list[pathlib.Path]:
  """The files that `read` and `load_dense` read."""
  described = read(folder)
  if described is None:
    return []
  folder = pathlib.Path(folder)
  named = [folder / MODULES, folder / SETTINGS, described.encoder / LENGTH]
  return _there(folder, named, [layer for _, layer in described.dense])


def files_of_scores(folder: Path) -> list[pathlib.Path]:
  """The files that `read_scores` and `load_scores` read."""
  scores, folder = read_scores(folder), pathlib.Path(folder)
  if scores is None:
    return []
  return _there(folder, [folder / MODULES], [scores.folder])


def modules_of(folder: pathlib.Path) -> list[dict[str, Any]]:
  """What modules.json lists; a text encoder is the first.

  Raises:
    WeightsError: it is damaged, or begins with something else.
  """
  path = folder / MODULES
  found = weights.read_json_list(path)
  if not found or kind_of(found[0]) != "Transformer":
    raise WeightsError(
      f"{path} does not begin with a Transformer; it takes text encoders"
    )
  return found


def kind_of(module: Mapping[str, Any]) -> str:
  """The class of a module; one of another package by its whole name."""
  name = str(module.get("type", ""))
  own = name.startswith("sentence_transformers.")
  return name.rsplit(".", 1)[-1] if own else name or "?"


def folder_of(folder: pathlib.Path, module: Mapping[str, Any]) -> pathlib.Path:
  """Its own folder, which is within that of all."""
  name = str(module.get("path", ""))
  if name and (pathlib.PurePath(name).name != name or name == ".."):
    raise WeightsError(
      f"{folder / MODULES} names a path {name!r}, not a folder beside it"
    )
  return folder / name


def optional_json(path: pathlib.Path) -> dict[str, Any]:
  """A JSON object, an empty one where there is no such file."""
  return dict(weights.read_json(path)) if path.is_file() else {}


def prompts_of(settings: Mapping[str, Any]) -> dict[str, str]:
  """In front of each "query" and each "passage", where there are any."""
  prompts = settings.get("prompts") or {}
  return {
    ours: str(prompts[theirs])
    for theirs, ours in _TEXTS.items()
    if prompts.get(theirs)
  }


def dense_of(
  folder: pathlib.Path, reads: str = "sentence_embedding", gives: str = ""
) -> tuple[Dense, pathlib.Path]:
  """A dense layer of what it `reads`, and its folder.

  Args:
    folder: of it.
    reads: the name of its input.
    gives: of its output; "" is the same.

  Raises:
    WeightsError: we do not compute such a one.
  """
  path = folder / CONFIG
  found = weights.read_json(path)
  activation = str(found.get("activation_function", "Tanh"))
  if activation not in _ACTIVATIONS:
    raise WeightsError(
      f"{path}: activation_function is {activation!r}; it takes "
      f"{', '.join(_ACTIVATIONS)}"
    )
  for key, name in (
    ("module_input_name", reads),
    ("module_output_name", gives or reads),
  ):
    if (found.get(key) or reads) != name:
      raise WeightsError(
        f"{path}: {key} is {found.get(key)!r}; here a dense layer takes "
        f"{reads} and gives {gives or reads}"
      )
  if found.get("use_residual"):
    raise WeightsError(f"{path}: use_residual is true, which is not computed")
  width = found.get("out_features")
  if not isinstance(width, int):
    raise WeightsError(f"{path} does not say out_features")
  layer = Dense(width, bool(found.get("bias", True)), _ACTIVATIONS[activation])
  return layer, folder


def load_layer(layer: Dense, folder: pathlib.Path) -> PyTree:
  """Parameters of one dense layer as numpy float32.

  Raises:
    WeightsError: the weights are not there, or of another shape.
  """
  with weights.opened(folder) as file:
    expected = {"linear.weight", *(["linear.bias"] if layer.bias else [])}
    if file.names != expected or file.shape("linear.weight")[0] != layer.width:
      raise WeightsError(
        f"{file.source} does not fit its config.json: it holds "
        f"{', '.join(sorted(file.names))}; fetch both again"
      )
    params = {"kernel": file.read("linear.weight").T.copy()}
    if layer.bias:
      params["bias"] = file.read("linear.bias")
    return params


def _there(
  folder: pathlib.Path,
  named: list[pathlib.Path],
  layers: list[pathlib.Path],
) -> list[pathlib.Path]:
  """Those of the files, with weights of layers and settings of modules."""
  named += [path for layer in layers for path in weights.files(layer)]
  for module in modules_of(folder)[1:]:
    named.append(folder_of(folder, module) / CONFIG)
  return [path for path in named if path.is_file()]


def _pooling(folder: pathlib.Path) -> Pooling:
  path = folder / CONFIG
  found = weights.read_json(path)
  modes = found.get("pooling_mode")
  if modes is None:
    modes = [mode for key, mode in _OLD_KEYS.items() if found.get(key)]
  modes = [modes] if isinstance(modes, str) else list(modes) or ["mean"]
  if len(modes) > 1 or modes[0] not in _POOLINGS:
    raise WeightsError(
      f"{path}: the pooling is {' and '.join(modes)}; it takes one of "
      f"{', '.join(_POOLINGS)}"
    )
  if found.get("include_prompt") is False:
    raise WeightsError(
      f"{path}: include_prompt is false, and prompts are pooled here"
    )
  return _POOLINGS[modes[0]]


def _similarity(
  path: pathlib.Path, settings: Mapping[str, Any]
) -> Literal["", "cosine", "dot"]:
  name = settings.get("similarity_fn_name")
  if not name:
    return ""
  if name not in _SIMILARITIES:
    raise WeightsError(
      f"{path}: similarity_fn_name is {name!r}; it takes "
      f"{', '.join(_SIMILARITIES)}"
    )
  return _SIMILARITIES[name]
