"""A model as it is, in a folder or on a hub, ready to read a set's texts.

The folder says what kind of model it is, how its vectors are pooled and how
long its texts are. A text is cut where the folder says; of a cross-encoder's
tokens a query gets `PAIR_QUERY` at most, and the passage the others. An export
of ours has one length, as any folder, and its provenance the two of its run.
"""

import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from absl import logging

from prod_jax import config, model_kinds, strict
from prod_jax.batches import tokens
from prod_jax.batches.tokens import Tokenizer
from prod_jax.export import lineage
from prod_jax.export.finished import BATCH_TOKENS
from prod_jax.models import (
  colbert,
  cross_modules,
  hf,
  hub,
  sentence_transformers,
)
from prod_jax.models.families import description
from prod_jax.models.weights import WeightsError
from prod_jax.processes import Processes
from prod_jax.retrieval.forward import FrozenModel
from prod_jax.stages import files, folders
from prod_jax.stages import tokenizer as tokenizers
from prod_jax.stages.run import Run

PAIR_QUERY = 64
LONGEST = 512  # tokens of a text whose folder does not say it
_NAME = "model"
# Keys of config.data that say which texts there are, not how they are read.
SET = (
  "name",
  "path",
  "titles",
  "max_characters",
  "on_error",
  "max_queries",
  "max_passages",
  "data_dir",
)


class Reader(NamedTuple):
  """A model that reads texts.

  Attributes:
    kind: of the model.
    frozen: with its weights.
    tokenizer: that it has.
    prompts: in front of each "query" and each "passage", where there are any.
  """

  kind: str
  frozen: FrozenModel
  tokenizer: Tokenizer
  prompts: Mapping[str, str]


def reading(
  own: config.Data, data: config.Data, given: Mapping[str, Any]
) -> config.Data:
  """A set's data, read as a model reads its own, but for what was given."""
  taken = {key: getattr(data, key) for key in (*SET, *given)}
  return dataclasses.replace(own, **taken)


def opening(
  weights: str, data: config.Data, given: Mapping[str, Any]
) -> Callable[[], Reader]:
  """Looks at a model's folder, and says how its weights are read.

  Args:
    weights: its folder, or its name on a hub, from where it is fetched.
    data: of the set.
    given: the keys of `data` that count more than what the folder says.

  Returns:
    What opens the model; it raises ConfigError where weights are damaged.

  Raises:
    ConfigError: there is none, or it says something that we do not compute.
  """
  try:
    is_here = folders.is_here(weights)
    folder = pathlib.Path(weights) if is_here else hub.fetch(weights)
    model = _model(folder)
    own = _lengths(folder, model.kind)
    run = _looked_at(model, reading(own, data, given), weights)
  except (WeightsError, hub.NotCached) as error:
    raise strict.ConfigError(str(error)) from error

  def open_model() -> Reader:
    try:
      return of_run(run, _NAME)
    except WeightsError as error:
      raise strict.ConfigError(str(error)) from error

  return open_model


def _looked_at(
  model: model_kinds.Model, data: config.Data, weights: str
) -> Run:
  """A run of the model alone, which reads its texts and weights."""
  made = config.Config(0, data, config.Mesh(), {_NAME: model}, {})
  # Nothing is written there.
  run = Run(made, Processes(pathlib.Path(tempfile.gettempdir())))
  settled = run.settled(_NAME)
  assert settled.encoder is not None
  _check_tokenizer(settled.encoder)
  tokenizer, shape = run.tokenizer_of(_NAME), run.model(_NAME).transformer
  if tokenizer.vocab_size > shape.vocab_size:
    raise strict.ConfigError(
      f"{weights}: its embeddings are {shape.vocab_size:,} rows, and its "
      f"tokenizer has {tokenizer.vocab_size:,} tokens; put the one there that "
      "goes with them"
    )
  for left in hf.check(settled.encoder, shape):
    logging.info("%s", left)
  sentence_transformers.check_width(model.weights, shape.width)
  files.check_texts(weights, settled, data, tokenizer)
  run.check_tokenizer(_NAME)
  return run


def _check_tokenizer(encoder: pathlib.Path) -> None:
  """Raises ConfigError where a folder has none that is read."""
  if tokens.holds_tokenizer(encoder):
    return
  if others := tokens.other_tokenizer(encoder):
    raise strict.ConfigError(
      f"{encoder} holds its tokenizer as {', '.join(others)}, which is not "
      f"read; {tokenizers.WRITE}"
    )
  raise strict.ConfigError(
    f"{encoder} has no tokenizer; put its tokenizer.json there"
  )


def of_run(run: Run, name: str) -> Reader:
  """A model of a run, with the weights that it came with."""
  model, tokenizer = run.settled(name).model, run.tokenizer_of(name)
  frozen = FrozenModel.of(
    run.model(name),
    run.first_params(name, seed=0),
    special=tokenizer.special,
    data=run.config.data,
    batch_tokens=BATCH_TOKENS,
  )
  return Reader(model.kind, frozen, tokenizer, getattr(model, "prompts", {}))


def _model(folder: pathlib.Path) -> model_kinds.Model:
  """What the folder is of.

  Raises:
    ConfigError: it does not say it.
    WeightsError: it cannot be read.
  """
  weights = str(folder)
  encoder = sentence_transformers.encoder_folder(folder)
  if encoder == folder and not any(folder.glob("*config.json")):
    raise strict.ConfigError(
      f"{folder} is no model's folder: there is no {hf.CONFIG} in it; of a "
      "run's folder name a stage, as WORKDIR:STAGE"
    )
  description.check_family(encoder)
  if colbert.read(folder):
    return model_kinds.Late(kind="late", weights=weights)
  if cross_modules.read(folder):
    return model_kinds.Cross(kind="cross", weights=weights)
  head = hf.read_head(encoder)
  if head:
    two = head.labels == 2
    return model_kinds.Cross(kind="cross", weights=weights, difference=two)
  if sentence_transformers.read(folder) is None:
    raise strict.ConfigError(
      f"{folder} has an encoder alone, and does not say how its vectors are "
      f"pooled; it takes a folder with {sentence_transformers.MODULES}"
    )
  return model_kinds.Dual(kind="dual", weights=weights)


def _lengths(folder: pathlib.Path, kind: str) -> config.Data:
  """How texts are read, as the folder says it."""
  if in_run := lineage.texts_of(folder):
    return config.Data(**in_run)
  encoder = sentence_transformers.encoder_folder(folder)
  late = colbert.read(folder) if kind == "late" else None
  said = late.max_length if late else sentence_transformers.max_length(encoder)
  longest = min(said or LONGEST, hf.read_config(encoder).usable_positions)
  if kind == "cross":
    query = min(PAIR_QUERY, longest // 2)
    return config.Data(query_length=query, passage_length=longest - query)
  query = (late.query_limit if late else 0) or longest
  return config.Data(query_length=query, passage_length=longest)
