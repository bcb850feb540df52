"""A cross-encoder's linear head among the modules of sentence-transformers.

Their CrossEncoder is a sequence classifier, whose head is with its weights, or
a Transformer, a Pooling and a Dense layer that gives scores, as an export of a
linear head is. The latter is read here.
"""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from prod_jax.models import sentence_transformers, weights
from prod_jax.models.dual import Dense
from prod_jax.models.sentence_transformers import CONFIG, MODULES, SETTINGS
from prod_jax.models.texts import Pooling
from prod_jax.models.weights import Path, WeightsError

PyTree = Any

_SCORES = "scores"  # their name of what the last layer gives


class Scores(NamedTuple):
  """A linear head behind its pooling.

  Attributes:
    pooling: one of `texts.POOLINGS`.
    layer: with one output.
    folder: of the layer.
    files: all that say it.
  """

  pooling: Pooling
  layer: Dense
  folder: pathlib.Path
  files: tuple[pathlib.Path, ...]


def read(folder: Path) -> Scores | None:
  """The head in a folder.

  Returns:
    None where its modules are of no cross-encoder, or a Transformer alone.

  Raises:
    WeightsError: it names a module that we do not compute, or a file of it is
      damaged.
  """
  folder = pathlib.Path(folder)
  if not (folder / MODULES).is_file():
    return None
  modules = sentence_transformers.modules_of(folder)
  kinds = [sentence_transformers.kind_of(module) for module in modules]
  places = [sentence_transformers.folder_of(folder, m) for m in modules]
  settings = sentence_transformers.optional_json(folder / SETTINGS)
  last = sentence_transformers.optional_json(places[-1] / CONFIG)
  gives_scores = last.get("module_output_name") == _SCORES
  declared = settings.get("model_type") == "CrossEncoder"
  if declared:
    _check_prompt(folder / SETTINGS, settings)
  if kinds == ["Transformer"] or not (declared or gives_scores):
    return None
  if kinds != ["Transformer", "Pooling", "Dense"]:
    raise WeightsError(
      f"{folder / MODULES} names the modules {', '.join(kinds)}; of a "
      "cross-encoder it takes Transformer, or Transformer, Pooling, Dense"
    )
  layer, place = sentence_transformers.dense_of(places[2], gives=_SCORES)
  if layer.width != 1 or layer.activation:
    raise WeightsError(
      f"{place / CONFIG}: the layer gives {layer.width} scores, with the "
      f"activation {layer.activation or 'none'!r}; it takes one score, as it is"
    )
  said = (folder / MODULES, *(p / CONFIG for p in places[1:]))
  return Scores(
    sentence_transformers.pooling_of(places[1]),
    layer,
    place,
    (*said, *weights.files(place)),
  )


def _check_prompt(path: pathlib.Path, settings: Mapping[str, Any]) -> None:
  """Raises WeightsError where a prompt stands before what is scored."""
  name = settings.get("default_prompt_name")
  prompts = settings.get("prompts")
  prompt = prompts.get(name) if isinstance(prompts, dict) else None
  if name and prompt:
    raise WeightsError(
      f"{path}: default_prompt_name is {name!r}, which puts {prompt!r} before "
      "queries; a cross-encoder's are read without a prompt, so take the key "
      "out if it is to score them so"
    )


def load(scores: Scores, width: int) -> PyTree:
  """Parameters of the head, for states of a width, as numpy float32.

  Raises:
    WeightsError: the weights are not there, or of another shape.
  """
  params = sentence_transformers.load_layer(scores.layer, scores.folder, width)
  return {"bias": np.zeros(1, np.float32)} | params
