"""Whether the folders that a config names are there.

Looked at before anything else: it takes no time, and a data set may have to be
downloaded first.
"""

import pathlib

from prod_jax import strict
from prod_jax.config import Config
from prod_jax.stages import encoders


def check(config: Config) -> None:
  """Raises ConfigError where a model's weights or a tokenizer are not."""
  for name, model in config.models.items():
    if model.weights:
      encoders.weights_folder(model, f"config.models.{name}.weights")
    if model.tokenizer:
      _check_folder(f"config.models.{name}.tokenizer", model.tokenizer)
  _check_folder("config.data.tokenizer", config.data.tokenizer)


def _check_folder(key: str, folder: str) -> None:
  if folder != "packaged" and not pathlib.Path(folder).is_dir():
    raise strict.ConfigError(
      f"{key} is {folder!r}, and there is no such folder; it takes one with "
      "tokenizer.json or vocab.txt"
    )
