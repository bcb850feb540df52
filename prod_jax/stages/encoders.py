"""The shape of an encoder: of its weights' folder, or as the config says."""

import dataclasses
import pathlib
from collections.abc import Callable

from prod_jax import config, packaged, strict
from prod_jax.batches import rows
from prod_jax.models import hf
from prod_jax.models.bert import BertConfig

# What a config may say of a shape, and config.json says too.
SHAPE = (
  "width",
  "depth",
  "heads",
  "mlp_width",
  "vocab_size",
  "type_vocab",
  "max_positions",
)


def encoder_of(
  where: str,
  model: config.Model,
  data: config.Data,
  vocab_size: Callable[[], int],
) -> BertConfig:
  """The encoder that a section of the config describes.

  Args:
    where: the section, for errors.
    model: its content.
    data: the lengths of texts.
    vocab_size: of the tokenizer; only asked where nothing else tells.

  Raises:
    ConfigError: the config's shape is not that of the weights, or a row is
      longer than the position table.
  """
  longest = _longest(model, data)
  if model.weights:
    source = weights_folder(model, f"{where}.weights")
    bert = _agreed(where, model, source)
  else:
    source = where
    bert = BertConfig(
      vocab_size=model.vocab_size or vocab_size(),
      width=model.width,
      depth=model.depth,
      heads=model.heads,
      mlp_width=model.mlp_width,
      max_positions=model.max_positions or longest,
      type_vocab=model.type_vocab,
    )
  # Behind its last position a table would be read at the last one.
  if longest > bert.max_positions:
    raise strict.ConfigError(
      f"{source} has {bert.max_positions} positions, and a model of kind "
      f"{model.kind} reads {longest} tokens; lower config.data.query_length or "
      "passage_length"
    )
  shares = data.packed and model.kind != "late"
  if shares and data.row_length and data.row_length < longest:
    raise strict.ConfigError(
      f"config.data.row_length is {data.row_length}, and {where}, a model of "
      f"kind {model.kind}, reads texts of {longest} tokens; make it longer, or "
      "0 to have it chosen"
    )
  # What a folder does not decide: how the model is trained.
  return dataclasses.replace(
    bert,
    dropout=model.dropout,
    attention_dropout=model.dropout,
    remat=model.remat,
    dtype=model.dtype,
  )


def weights_folder(model: config.Model, where: str = "weights") -> pathlib.Path:
  """Where the weights of a model with weights are.

  Raises:
    ConfigError: they are not there; `where` is the key.
  """
  if model.weights == "packaged":
    return packaged.model_folder()
  folder = pathlib.Path(model.weights)
  missing = [n for n in (hf.CONFIG, hf.WEIGHTS) if not (folder / n).is_file()]
  if missing:
    raise strict.ConfigError(
      f"{where} is {model.weights!r}, and there is no {missing[0]} in it; it "
      f"takes a folder with {hf.CONFIG} and {hf.WEIGHTS}, and the docstring of "
      "a config that names one says how to make it"
    )
  return folder


def _longest(model: config.Model, data: config.Data) -> int:
  """Tokens of the longest row that a model reads."""
  if model.kind == "cross":
    return rows.pair_length(data)
  if model.kind == "pairwise":
    return rows.triple_length(data)
  return max(data.query_length, data.passage_length)


def _agreed(
  where: str, model: config.Model, folder: pathlib.Path
) -> BertConfig:
  """The shape in `folder`, cut to the model's layers.

  Raises:
    ConfigError: the config gives a size too, and it is another one.
  """
  bert = hf.read_config(folder)
  bert = dataclasses.replace(bert, depth=len(model.layers) or bert.depth)
  for key in SHAPE:
    given, found = getattr(model, key), getattr(bert, key)
    # A field's default says nothing.
    if given not in (found, getattr(config.Model, key)):
      cut = f" cut to layers {model.layers}" if key == "depth" else ""
      raise strict.ConfigError(
        f"{where}.{key} is {given}, but {folder / hf.CONFIG}{cut} says "
        f"{found}; correct it, or leave it out"
      )
  return bert
