"""Whether the folders that a config names are there, and hold what is needed.

Looked at before anything else: it takes little time, for of weights only the
headers are read, and a data set may have to be downloaded first.
"""

import pathlib

from prod_jax import strict
from prod_jax.models import hub
from prod_jax.stages import folders
from prod_jax.stages.run import Run


def check(run: Run) -> None:
  """Reads what all folders say of themselves; fetches models of a hub.

  Raises:
    ConfigError: a folder is not there, or its weights, its tokenizer and the
      config do not go together.
  """
  config = run.config
  _check_folder("config.data.tokenizer", config.data.tokenizer)
  for name, model in config.models.items():
    where = f"config.models.{name}"
    if model.tokenizer:
      _check_folder(f"{where}.tokenizer", model.tokenizer)
    if not model.weights:
      continue
    if run.may_fetch and hub.is_name(model.weights):
      _fetch(f"{where}.weights", model.weights)
    folders.check_tensors(where, model, run.model(name).transformer)
    run.check_tokenizer(name)
    folders.check_texts(
      where, run.settled(name), config.data, run.tokenizer_of(name)
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
