"""Whether the folders that a config names are there.

Looked at before anything else: it takes no time, and a data set may have to be
downloaded first.
"""

import pathlib

from prod_jax import packaged, strict
from prod_jax.config import Config
from prod_jax.stages import encoders


def check(config: Config) -> None:
  """Raises ConfigError where a model's weights or the tokenizer are not."""
  for name, model in config.models.items():
    if model.weights:
      encoders.weights_folder(model, f"config.models.{name}.weights")
  folder = config.data.tokenizer
  if folder not in packaged.FOLDERS and not pathlib.Path(folder).is_dir():
    raise strict.ConfigError(
      f"config.data.tokenizer is {folder!r}, and there is no such folder; it "
      "takes one with tokenizer.json or vocab.txt"
    )
