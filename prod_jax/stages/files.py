"""Whether the folders that a config names are there, and hold what is needed.

Looked at before anything else: it takes little time, for of weights only the
headers are read, and a data set may have to be downloaded first.
"""

import pathlib

from absl import logging

from prod_jax import model_kinds, strict
from prod_jax.models import hub
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
  for name, model in models.items():
    if model.weights:
      _read(run, name)


def _find(run: Run, where: str, model: model_kinds.Model) -> None:
  """Looks for a model's folders, and asks the hub for one that is its."""
  if model.tokenizer:
    _check_folder(f"{where}.tokenizer", model.tokenizer)
  if not model.weights:
    return
  if run.may_fetch and hub.is_name(model.weights):
    _fetch(f"{where}.weights", model.weights)
  folders.weights_folder(model, f"{where}.weights")


def _read(run: Run, name: str) -> None:
  """What the folder of a model says of itself, against all that is asked."""
  where = f"config.models.{name}"
  shape = run.model(name).transformer
  folders.check_tensors(where, run.settled(name), shape)
  run.check_tokenizer(name)
  folders.check_texts(
    where, run.settled(name), run.config.data, run.tokenizer_of(name)
  )
  if tokenizer.has_none(run.config, name):
    logging.info(
      "%s.weights is %r, a folder without a tokenizer: that of "
      "config.data.tokenizer is taken, %r",
      *(where, run.model_config(name).weights, run.config.data.tokenizer),
    )


def _fetch(key: str, name: str) -> None:
  if pathlib.Path(name).is_dir():
    return
  try:
    hub.fetch(name)
  except hub.NotCached as error:
    raise strict.ConfigError(f"{key}: {error}") from error


def _check_folder(key: str, folder: str) -> None:
  if folder != folders.PACKAGED and not pathlib.Path(folder).is_dir():
    raise strict.ConfigError(
      f"{key} is {folder!r}, and there is no such folder; it takes one with "
      "tokenizer.json or vocab.txt"
    )
