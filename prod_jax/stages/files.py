"""Whether the folders that a config names are there.

Looked at before anything else: it takes no time, and a data set may have to be
downloaded first.
"""

import pathlib

from prod_jax import strict
from prod_jax.config import Config
from prod_jax.models import hf


def check(config: Config) -> None:
  """Raises ConfigError where a model's weights or the tokenizer are not."""
  for name, model in config.models.items():
    if model.weights not in ("", "packaged"):
      _check_weights(f"config.models.{name}.weights", model.weights)
  folder = config.data.tokenizer
  if folder != "packaged" and not pathlib.Path(folder).is_dir():
    raise strict.ConfigError(
      f"config.data.tokenizer is {folder!r}, and there is no such folder; it "
      "takes one with tokenizer.json or vocab.txt"
    )


def _check_weights(where: str, folder: str) -> None:
  for file in (hf.CONFIG, hf.WEIGHTS):
    if not (pathlib.Path(folder) / file).is_file():
      raise strict.ConfigError(
        f"{where} is {folder!r}, and there is no {file} in it; it takes a "
        f"folder with {hf.CONFIG} and {hf.WEIGHTS}, and the docstring of a "
        "config that names one says how to make it"
      )
