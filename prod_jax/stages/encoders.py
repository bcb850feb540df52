"""The shape of an encoder: of its weights' folder, or as the config says."""

import dataclasses
import pathlib
from collections.abc import Callable

from prod_jax import config, model_kinds, strict
from prod_jax.batches import rows
from prod_jax.models import hf
from prod_jax.models.families import FAMILIES
from prod_jax.models.transformer import TransformerConfig
from prod_jax.stages import folders


def shape_of(
  where: str,
  settled: folders.Settled,
  data: config.Data,
  vocab_size: Callable[[], int],
) -> TransformerConfig:
  """The shape of the encoder that a section of the config describes.

  Args:
    where: the section, for errors.
    settled: its content, with its folder.
    data: the lengths of texts.
    vocab_size: of the tokenizer; only asked where nothing else tells.

  Raises:
    ConfigError: the config's shape is not that of the weights, or their tables
      are too short for what the model reads.
  """
  model, folder = settled.model, settled.encoder
  longest = rows.longest(model.kind, data)
  if folder:
    source = f"{where}.weights, {folder},"
    transformer = _agreed(where, model, folder)
  else:
    source = where
    transformer = TransformerConfig(
      vocab_size=model.vocab_size or vocab_size(),
      width=model.width,
      depth=model.depth,
      heads=model.heads,
      mlp_width=model.mlp_width,
      max_positions=model.max_positions or longest,
      type_vocab=model.type_vocab or 2,  # query and passage, as BERT's
    )
  # Positions and types behind the end of a table would be NaN in the step.
  if longest > transformer.usable_positions:
    raise strict.ConfigError(
      f"{source} has {transformer.usable_positions} positions, and a model of "
      f"kind {model.kind} reads {longest} tokens; lower "
      "config.data.query_length or passage_length"
    )
  types = FAMILIES[transformer.family].types
  paired = model.kind in ("cross", "pairwise")
  if types and paired and transformer.type_vocab < 2:
    raise strict.ConfigError(
      f"{source} has {transformer.type_vocab} token type, and a model of kind "
      f"{model.kind} tells query and passage apart by 2; set another "
      f"{where}.weights or type_vocab"
    )
  _check_row_length(where, model, data)
  # What a folder does not decide: how the model is trained.
  return dataclasses.replace(
    transformer,
    dropout=model.dropout,
    attention_dropout=model.dropout,
    remat=model.remat,
    dtype=model.dtype,
  )


def _check_row_length(
  where: str, model: model_kinds.Model, data: config.Data
) -> None:
  """Raises ConfigError where a text does not fit the rows that are shared."""
  longest = rows.longest(model.kind, data)
  shares = data.packed and model.kind != "late"
  if shares and data.row_length and data.row_length < longest:
    raise strict.ConfigError(
      f"config.data.row_length is {data.row_length}, and {where}, a model of "
      f"kind {model.kind}, reads texts of {longest} tokens; make it longer, or "
      "0 to have it chosen"
    )


def _agreed(
  where: str, model: model_kinds.Model, folder: pathlib.Path
) -> TransformerConfig:
  """The shape in `folder`, cut to the model's layers.

  Raises:
    ConfigError: it is of no family we know, has not all those layers, or the
      config gives a size too, and it is another one.
  """
  try:
    transformer = hf.read_config(folder)
  except ValueError as error:
    raise strict.ConfigError(f"{where}.weights: {error}") from error
  if model.layers:
    if max(model.layers) >= transformer.depth:
      raise strict.ConfigError(
        f"{where}.layers is {model.layers}, but {folder / hf.CONFIG} has "
        f"layers 0 to {transformer.depth - 1}"
      )
    try:
      transformer = transformer.cut(model.layers)
    except ValueError as error:
      raise strict.ConfigError(f"{where}.layers: {error}") from error
  for key in model_kinds.SHAPE:
    given, theirs = getattr(model, key), getattr(transformer, key)
    if given and given != theirs:
      raise strict.ConfigError(
        f"{where}.{key} is {given}, but {folder / hf.CONFIG} says {theirs}; "
        "correct it, or leave it out"
      )
  return transformer
