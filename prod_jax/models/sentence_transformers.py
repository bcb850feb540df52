"""What a folder of sentence-transformers says beside the encoder's own files.

modules.json names the modules that a text goes through: the encoder, pooling,
dense layers, normalisation. Whatever of them we do not compute is refused, and
so is a module of one's own code, because it would have to be run.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from prod_jax.models import weights
from prod_jax.models.dual import Dense
from prod_jax.models.texts import Pooling
from prod_jax.models.weights import Path, WeightsError

PyTree = Any
T = TypeVar("T")

MODULES = "modules.json"
CONFIG = "config.json"
SETTINGS = "config_sentence_transformers.json"
LENGTH = "sentence_bert_config.json"
TOKENIZER = "tokenizer_config.json"

# Their name of a pooling -> ours; the older files have a key for each.
POOLINGS: dict[str, Pooling] = {
  "cls": "cls",
  "mean": "mean",
  "max": "max",
  "mean_sqrt_len_tokens": "mean_sqrt_len",
  "lasttoken": "last",
}
POOLING_KEYS = {
  "pooling_mode_cls_token": "cls",
  "pooling_mode_mean_tokens": "mean",
  "pooling_mode_max_tokens": "max",
  "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
  "pooling_mode_weightedmean_tokens": "weightedmean",
  "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATIONS = {
  "torch.nn.modules.linear.Identity": "",
  "torch.nn.modules.activation.Tanh": "tanh",
}
# Our texts -> what they call them, of which the first counts.
_TEXTS = {
  "query": ("query",),
  "passage": ("document", "passage", "corpus"),
}
# The file of lengths has been called after each of their encoders.
_LENGTHS = (
  LENGTH,
  *(
    f"sentence_{name}_config.json"
    for name in (
      "roberta",
      "distilbert",
      "camembert",
      "albert",
      "xlm-roberta",
      "xlnet",
    )
  ),
)
_NO_LENGTH = 1_000_000  # what a tokenizer without a limit says is larger
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
  return Described(
    encoder=encoder,
    pooling=pooling_of(folder_of(folder, modules[1])),
    dense=tuple(dense_of(folder_of(folder, module)) for module in dense),
    normalize=kinds[-1] == "Normalize",
    similarity=_similarity(folder / SETTINGS, settings),
    prompts=prompts_of(folder / SETTINGS, settings),
    max_length=max_length(encoder),
    lower_case=said(*_limits(encoder), "do_lower_case", bool, False),
  )


def max_length(encoder: pathlib.Path) -> int:
  """Tokens of the longest text that a folder's model was made for, 0 unknown.

  Where no file of lengths says it, the tokenizer's settings do, as there.
  """
  length = said(*_limits(encoder), "max_seq_length", int, 0)
  if length:
    return length
  path = encoder / TOKENIZER
  found = said(path, optional_json(path), "model_max_length", float, 0.0)
  return int(found) if 0 < found < _NO_LENGTH else 0


def load_dense(described: Described, width: int) -> PyTree:
  """Parameters of the dense layers, {"0", "1", …}, as numpy float32.

  Args:
    described: what the folder says.
    width: of the encoder.

  Raises:
    WeightsError: the weights are not there, or of another shape.
  """
  params = {}
  for i, (layer, folder) in enumerate(described.dense):
    params[str(i)] = load_layer(layer, folder, width)
    width = layer.width
  return params


def files(folder: Path) -> list[pathlib.Path]:
  """The files that `read` and `load_dense` read."""
  described = read(folder)
  if described is None:
    return []
  folder = pathlib.Path(folder)
  named = [folder / name for name in (MODULES, SETTINGS)]
  named += [described.encoder / name for name in (*_LENGTHS, TOKENIZER)]
  named += [
    path for _, layer in described.dense for path in weights.files(layer)
  ]
  named += [folder_of(folder, m) / CONFIG for m in modules_of(folder)[1:]]
  return [path for path in named if path.is_file()]


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
  # 60 letters have at most 240 bytes, and a disk takes 255.
  plain = pathlib.PurePath(name).name == name and len(name) <= 60
  if name and (not plain or name == ".."):
    raise WeightsError(
      f"{folder / MODULES} names a path {name!r}, not a folder beside it"
    )
  return folder / name


def optional_json(path: pathlib.Path) -> dict[str, Any]:
  """A JSON object, an empty one where there is no such file."""
  return dict(weights.read_json(path)) if path.is_file() else {}


def said(
  path: pathlib.Path,
  settings: Mapping[str, Any],
  key: str,
  kind: type[T],
  otherwise: T,
) -> T:
  """A value of a file; WeightsError for another kind, or a size below 0."""
  value = settings.get(key)
  if value is None:
    return otherwise
  kinds: Any = (int, float) if kind is float else kind
  # A bool is an int to Python.
  if not isinstance(value, kinds) or isinstance(value, bool) != (kind is bool):
    raise WeightsError(
      f"{path}: {key} is {value!r}, not of type {kind.__name__}; correct it"
    )
  if kind is int and value < 0:
    raise WeightsError(f"{path}: {key} is {value}, below 0; correct it")
  return value


def prompts_of(
  path: pathlib.Path, settings: Mapping[str, Any]
) -> dict[str, str]:
  """In front of queries and passages; theirs know "query" and "document" alone.

  Args:
    path: of the settings, for errors.
    settings: with `prompts`, and the name of that of texts that are neither.
  """
  prompts = said(path, settings, "prompts", dict, {})
  named = said(path, settings, "default_prompt_name", str, "")
  if named not in ("", "query", "document", *prompts):  # theirs begin with two
    raise WeightsError(
      f"{path}: default_prompt_name is {named!r}, and there is no such prompt"
    )
  found = {
    ours: next((prompts[name] for name in names if name in prompts), "")
    for ours, names in _TEXTS.items()
  }
  for name, prompt in found.items():
    if not isinstance(prompt, str):
      raise WeightsError(
        f"{path}: the prompt of a {name} is {prompt!r}, no text"
      )
  return {name: prompt for name, prompt in found.items() if prompt}


def pooling_of(folder: pathlib.Path) -> Pooling:
  """That of a Pooling; WeightsError where we do not compute it."""
  path = folder / CONFIG
  found = weights.read_json(path)
  modes = found.get("pooling_mode")
  if modes is None:
    modes = [mode for key, mode in POOLING_KEYS.items() if found.get(key)]
  modes = (modes if isinstance(modes, list) else [modes]) or ["mean"]
  if len(modes) > 1 or modes[0] not in tuple(POOLINGS):
    raise WeightsError(
      f"{path}: the pooling is {' and '.join(map(str, modes))}; it takes one "
      f"of {', '.join(POOLINGS)}"
    )
  if found.get("include_prompt") is False:
    raise WeightsError(
      f"{path}: include_prompt is false, and prompts are pooled here"
    )
  return POOLINGS[modes[0]]


def check_width(folder: Path, width: int) -> None:
  """Raises WeightsError where a Pooling is of vectors of another width.

  Args:
    folder: of all modules, or of an encoder alone.
    width: of the encoder.
  """
  folder = pathlib.Path(folder)
  if not (folder / MODULES).is_file():
    return
  for module in modules_of(folder):
    if kind_of(module) != "Pooling":
      continue
    path = folder_of(folder, module) / CONFIG
    found = weights.read_json(path)
    for key in ("embedding_dimension", "word_embedding_dimension"):
      if said(path, found, key, int, width) != width:
        raise WeightsError(
          f"{path}: {key} is {found[key]}, and the encoder's vectors have "
          f"{width} coordinates; correct it, or fetch the folder again"
        )


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
  if activation not in ACTIVATIONS:
    raise WeightsError(
      f"{path}: activation_function is {activation!r}; it takes "
      f"{', '.join(ACTIVATIONS)}"
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
  width = said(path, found, "out_features", int, 0)
  if width < 1:
    raise WeightsError(f"{path} does not say out_features")
  bias = said(path, found, "bias", bool, True)
  return Dense(width, bias, ACTIVATIONS[activation]), folder


def load_layer(layer: Dense, folder: pathlib.Path, width: int) -> PyTree:
  """Parameters of one dense layer, for vectors of a width, in float32.

  Raises:
    WeightsError: the weights are not there, or of another shape.
  """
  with weights.opened(folder) as file:
    expected = {"linear.weight", *(["linear.bias"] if layer.bias else [])}
    shape = (layer.width, width)
    if file.names != expected or file.shape("linear.weight") != shape:
      held = (f"{n} {list(file.shape(n))}" for n in sorted(file.names))
      raise WeightsError(
        f"{file.source} holds {', '.join(held)}, and its config.json and the "
        f"layer in front ask for {list(shape)}; fetch the folder again"
      )
    params = {"kernel": file.read("linear.weight").T.copy()}
    if layer.bias:
      params["bias"] = file.read("linear.bias")
    return params


def _limits(encoder: pathlib.Path) -> tuple[pathlib.Path, dict[str, Any]]:
  """The file of lengths, and what it says."""
  there = [encoder / n for n in _LENGTHS if (encoder / n).is_file()]
  path = there[0] if there else encoder / LENGTH
  return path, optional_json(path)


def _similarity(
  path: pathlib.Path, settings: Mapping[str, Any]
) -> Literal["", "cosine", "dot"]:
  name = settings.get("similarity_fn_name")
  if not name:
    return ""
  if name not in tuple(_SIMILARITIES):
    raise WeightsError(
      f"{path}: similarity_fn_name is {name!r}; it takes "
      f"{', '.join(_SIMILARITIES)}"
    )
  return _SIMILARITIES[name]
