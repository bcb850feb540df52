"""Whether the folders that a config names are there, and hold what is needed.

Looked at before anything else: it takes little time, for of weights only the
headers are read, and a data set may have to be downloaded first.
"""

import itertools
import pathlib
import string

from absl import logging

from prod_jax import config, model_kinds, strict
from prod_jax.batches.tokens import Tokenizer
from prod_jax.models import hf, hub, sentence_transformers
from prod_jax.models.families import description
from prod_jax.models.families.description import CONFIG
from prod_jax.models.transformer import TransformerConfig
from prod_jax.models.weights import WeightsError
from prod_jax.stages import folders, tokenizer
from prod_jax.stages.run import Run


def check(run: Run) -> None:
  """Reads what all folders say of themselves; fetches models of a hub.

  Raises:
    ConfigError: a folder is not there, or its weights, its tokenizer and the
      config do not go together.
  """
  models = run.config.models
  for name, model in models.items():
    _find(run, f"config.models.{name}", model)
  _check_folder("config.data.tokenizer", run.config.data.tokenizer)
  left = [_read(run, name) for name, model in models.items() if model.weights]
  # Several models may have one folder.
  for said in dict.fromkeys(itertools.chain(*left)):
    logging.info("%s", said)


def check_numbers(run: Run) -> None:
  """Reads all weights, of which `check` reads headers: 50 ms for 90 MB.

  Raises:
    ConfigError: a weight is no number.
  """
  for name, model in run.config.models.items():
    encoder, layers = run.settled(name).encoder, model.layers or None
    if encoder is None:
      continue
    try:
      hf.check_numbers(encoder, run.model(name).transformer, layers=layers)
    except WeightsError as error:
      raise strict.ConfigError(
        f"config.models.{name}.weights: {error}"
      ) from error


def _find(run: Run, where: str, model: model_kinds.Model) -> None:
  """Looks for a model's folders, and asks the hub for one that is its."""
  if model.tokenizer:
    _check_folder(f"{where}.tokenizer", model.tokenizer)
  if not model.weights:
    return
  if run.may_fetch and hub.is_name(model.weights):
    _fetch(f"{where}.weights", model.weights)
  folders.weights_folder(model, f"{where}.weights")


def _read(run: Run, name: str) -> list[str]:
  """What the folder of a model says of itself, against all that is asked.

  Returns:
    What of its weights is not read, in sentences.
  """
  where = f"config.models.{name}"
  shape = run.model(name).transformer
  settled = run.settled(name)
  left = _check_tensors(where, settled, shape)
  run.check_tokenizer(name)
  tokens = run.tokenizer_of(name)
  _check_padding(where, settled, tokens)
  check_texts(f"{where}.weights", settled, run.config.data, tokens)
  if tokenizer.has_none(run.config, name):
    logging.info(
      "%s.weights is %r, a folder without a tokenizer: that of "
      "config.data.tokenizer is taken, %r",
      *(where, run.model_config(name).weights, run.config.data.tokenizer),
    )
  return left


def _check_tensors(
  where: str, settled: folders.Settled, shape: TransformerConfig
) -> list[str]:
  """Raises ConfigError where the weights are not those of the shape.

  Only the headers of files are read.

  Returns:
    What of them is not read, in sentences.
  """
  if settled.encoder is None:
    return []
  layers = settled.model.layers or None
  try:
    left = hf.check(settled.encoder, shape, layers=layers)
    sentence_transformers.check_width(
      folders.weights_folder(settled.model), shape.width
    )
    folders.load_behind(settled, shape.width)  # which is small
    return left
  except (WeightsError, ValueError) as error:
    raise strict.ConfigError(f"{where}.weights: {error}") from error


def check_texts(
  key: str,
  settled: folders.Settled,
  data: config.Data,
  tokenizer: Tokenizer,
) -> None:
  """Raises ConfigError where texts are not read as the folder says.

  Args:
    key: that names the weights, for errors.
    settled: the model.
    data: the lengths of texts.
    tokenizer: that it has.
  """
  described = settled.described or settled.late
  if not described:
    return
  letters = " ".join(string.ascii_uppercase)
  upper, lower = tokenizer.encode([letters, letters.lower()])
  if described.lower_case and upper.tolist() != lower.tolist():
    raise strict.ConfigError(
      f"{key}: {described.encoder / sentence_transformers.LENGTH} says "
      "do_lower_case, and the model's tokenizer tells A from a; give the model "
      "the tokenizer that it was trained with"
    )
  late = settled.late
  if late and late.query_length not in (0, data.query_length):
    raise strict.ConfigError(
      f"config.data.query_length is {data.query_length}, and {key} fill "
      f"queries up to {late.query_length} tokens, which take part; set "
      f"query_length={late.query_length}"
    )
  for prompt in late.prompts.values() if late else ():
    if prompt.startswith("[") and not len(tokenizer.split_prompt(prompt)[0]):
      raise strict.ConfigError(
        f"{key}: its texts begin with {prompt.strip()!r}, and the model's "
        "tokenizer has no such token; fetch the folder again"
      )


def _check_padding(
  where: str, settled: folders.Settled, tokenizer: Tokenizer
) -> None:
  """Warns where encoder and tokenizer pad with other ids.

  Nothing attends to padding, so that it changes no figure; but the two were
  perhaps not made for each other.
  """
  if settled.encoder is None:
    return
  path = settled.encoder / CONFIG
  pad = description.described(path).get("pad_token_id")
  if pad not in (None, tokenizer.special.pad):
    logging.warning(
      "%s.weights: %s says pad_token_id %s, and the model's tokenizer pads "
      "with %d; is it the one that goes with the weights?",
      where,
      path,
      pad,
      tokenizer.special.pad,
    )


def _fetch(key: str, name: str) -> None:
  if pathlib.Path(name).is_dir():
    return
  try:
    hub.fetch(name)
  except hub.NotCached as error:
    raise strict.ConfigError(f"{key}: {error}{folders.near(name)}") from error


def _check_folder(key: str, folder: str) -> None:
  if folder != folders.PACKAGED and not pathlib.Path(folder).is_dir():
    raise strict.ConfigError(
      f"{key} is {folder!r}, and {folders.absent(folder)}; it takes a folder "
      f"with tokenizer.json or vocab.txt{folders.near(folder)}"
    )
