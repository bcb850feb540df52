"""A folder that sentence-transformers and transformers load as it is.

A dual encoder is a Transformer, a Pooling and, for a cosine, a Normalize; a
cross-encoder with a linear head is a Transformer, a Pooling and a Dense with
one output, its logit, and one with the head of its family the sequence
classifier that it came as. `AutoModel` finds the encoder alone beside them.
"""

import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from prod_jax import json_files, model_kinds, storage, strict
from prod_jax.export import tokenizer
from prod_jax.export.finished import Trained
from prod_jax.models import hf
from prod_jax.models.cross import CrossEncoder, Head
from prod_jax.models.dual import DualEncoder
from prod_jax.models.sentence_transformers import (
  ACTIVATIONS,
  LENGTH,
  MODULES,
  POOLING_KEYS,
  POOLINGS,
  SETTINGS,
)

_MODULES = "sentence_transformers.models"
# Their name of each activation, by ours.
_ACTIVATIONS = {ours: theirs for theirs, ours in ACTIVATIONS.items()}
_IDENTITY = _ACTIVATIONS[""]


class Part(NamedTuple):
  """A tower or a cross-encoder, which becomes a folder.

  Attributes:
    name: "query" or "passage" where there are two towers, else "", which is
      the folder itself.
    params: of the encoder, as `transformer.Transformer` has them.
  """

  name: str
  params: Any


def model_of(trained: Trained) -> model_kinds.Dual | model_kinds.Cross:
  """What the config says of a model that a folder can hold.

  Raises:
    ConfigError: no folder says what the model computes.
  """
  model = trained.model
  if isinstance(model, model_kinds.Dual | model_kinds.Cross):
    return model
  reason = {
    "late": "vectors of single tokens are not written",
    "pairwise": "sentence-transformers has no module for two passages",
  }[model.kind]
  raise strict.ConfigError(
    f"--stage: {trained.name} trains a model of kind {model.kind}, and "
    f"{reason}; export one of kind dual or cross"
  )


def parts(trained: Trained) -> list[Part]:
  """What a trained model's folders are made of; see `model_of`."""
  model, params = model_of(trained), trained.params
  if isinstance(model, model_kinds.Cross) or model.tied:
    return [Part("", params["encoder"])]
  return [Part(name, params[name]) for name in ("query", "passage")]


def write(
  folder: pathlib.Path, trained: Trained, part: Part, dtype: str = "float32"
) -> None:
  """Writes all files of a part but card and provenance.

  Args:
    folder: to write to; made where it is not there.
    trained: whose part it is.
    part: of `parts`.
    dtype: that the weights are stored in, one of `hf.DTYPES`.

  Raises:
    ConfigError: it does not hold them, or no config.json says what they are.
  """
  folder.mkdir(parents=True, exist_ok=True)
  shape, head = trained.encoder.transformer, _family_head(trained)
  try:
    hf.save(folder, part.params, shape, head=head, dtype=dtype)
  except ValueError as error:
    raise strict.ConfigError(f"--dtype={dtype}: {error}") from error
  tokenizer.write(
    folder,
    trained.tokenizer_folder,
    longest=trained.longest,
    ours=trained.tokenizer,
    types=shape.type_vocab > 1,
  )
  if head is not None:
    # A sequence classifier, which CrossEncoder takes as it is.
    _add_to_config(
      folder, {"sentence_transformers": {"activation_fn": _IDENTITY}}
    )
    return
  model = model_of(trained)
  modules = [_module(0, "", "Transformer"), _module(1, "1_Pooling", "Pooling")]
  _write(folder / "1_Pooling" / "config.json", _pooling(trained))
  if isinstance(model, model_kinds.Cross):
    modules.append(_module(2, "2_Dense", "Dense"))
    _write_layer(
      folder / "2_Dense", trained.params["head"], _IDENTITY, "scores"
    )
    # There is one label, so that scores are numbers.
    _add_to_config(
      folder, {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    )
  else:
    modules += _write_dense(folder, trained)
    if model.similarity == "cosine":
      number = len(modules)
      modules.append(_module(number, f"{number}_Normalize", "Normalize"))
      _write(folder / modules[-1]["path"] / "config.json", {})
  _write(folder / MODULES, modules)
  _write(folder / SETTINGS, _settings(trained))
  _write(
    folder / LENGTH,
    # Letters are the tokenizer's business.
    {"max_seq_length": trained.longest, "do_lower_case": False},
  )


def _family_head(trained: Trained) -> tuple[Head, Any] | None:
  """The head of a sequence classifier, where a model has one."""
  encoder = trained.encoder
  if not isinstance(encoder, CrossEncoder) or encoder.head.is_linear:
    return None
  return encoder.head, trained.params["head"]


def _module(number: int, path: str, kind: str) -> dict[str, Any]:
  return {
    "idx": number,
    "name": str(number),
    "path": path,
    "type": f"{_MODULES}.{kind}",
  }


def _pooling(trained: Trained) -> dict[str, Any]:
  chosen = model_of(trained).pooling
  return {
    "word_embedding_dimension": trained.encoder.transformer.width,
    **{
      key: POOLINGS.get(theirs) == chosen
      for key, theirs in POOLING_KEYS.items()
    },
    "include_prompt": True,
  }


def _settings(trained: Trained) -> dict[str, Any]:
  """What sentence-transformers keeps of a whole model."""
  model = model_of(trained)
  if isinstance(model, model_kinds.Cross):
    return {
      "model_type": "CrossEncoder",
      # predict() gives the logit that the model was trained on.
      "activation_fn": _IDENTITY,
      "prompts": {},
      "default_prompt_name": None,
    }
  return {
    "model_type": "SentenceTransformer",
    "prompts": {
      "query": trained.prompts["query"],
      "document": trained.prompts["passage"],
    },
    "default_prompt_name": None,
    "similarity_fn_name": model.similarity,
  }


def _write_dense(folder: pathlib.Path, trained: Trained) -> list[Any]:
  """The dense layers behind a dual encoder's pooling, and their modules."""
  modules: list[Any] = []
  encoder = trained.encoder
  assert isinstance(encoder, DualEncoder)
  for i, layer in enumerate(encoder.dense):
    modules.append(_module(2 + i, f"{2 + i}_Dense", "Dense"))
    activation = _ACTIVATIONS[layer.activation]
    params = trained.params["dense"][str(i)]
    _write_layer(folder / modules[-1]["path"], params, activation)
  return modules


def _write_layer(
  folder: pathlib.Path,
  params: Any,
  activation: str,
  output: str = "sentence_embedding",
) -> None:
  """A Dense module, of whose output a pipeline has the name."""
  kernel = np.asarray(params["kernel"], np.float32)
  _write(
    folder / "config.json",
    {
      "in_features": kernel.shape[0],
      "out_features": kernel.shape[1],
      "bias": "bias" in params,
      "activation_function": activation,
      "module_input_name": "sentence_embedding",
      "module_output_name": output,
    },
  )
  tensors = {"linear.weight": np.ascontiguousarray(kernel.T)}
  if "bias" in params:
    tensors["linear.bias"] = np.asarray(params["bias"], np.float32)
  hf.save_params(folder / hf.WEIGHTS, tensors)


def _add_to_config(folder: pathlib.Path, entries: dict[str, Any]) -> None:
  path = folder / hf.CONFIG
  config = json_files.read(path, dict, "export it again")
  _write(path, config | entries)


def _write(path: pathlib.Path, value: Any) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  storage.write_text(path, json.dumps(value, indent=2, ensure_ascii=False))
