"""Models of a hub, by NAME/MODEL or NAME/MODEL@REVISION, kept on this machine.

Only weights in safetensors and the files that describe them are fetched; no
code of a repository ever is.
"""

import pathlib
import re

from absl import logging

from prod_jax.models import sentence_transformers, weights
from prod_jax.models.weights import WeightsError

_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")


class NotCached(Exception):
  """A model is not on this machine; the line says what to do."""


def is_name(text: str) -> bool:
  """Whether it may be the name of a model on a hub."""
  return bool(_NAME.fullmatch(text)) and not text.startswith(".")


def cached(name: str) -> pathlib.Path:
  """The folder of a model that was fetched before.

  Raises:
    NotCached: it was not.
  """
  try:
    return _snapshot(name, may_fetch=False)
  except (OSError, ValueError) as error:
    raise NotCached(
      f"{name!r} is no folder here, and no model that was fetched from a hub "
      "before; run without --dry_run to fetch it, or give a folder"
    ) from error


def fetch(name: str) -> pathlib.Path:
  """The same, fetched where it is not there.

  Raises:
    NotCached: it cannot be, say without a network.
  """
  try:
    folder = cached(name)
    # Other programs leave a config or a tokenizer alone in the cache.
    weights.files(sentence_transformers.encoder_folder(folder))
    return folder
  except (NotCached, WeightsError):
    logging.info("%s: asks the hub for it", name)
  try:
    return _snapshot(name, may_fetch=True)
  except Exception as error:  # also those of its HTTP library
    reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
    raise NotCached(
      f"{name!r} is no folder here, and the hub cannot be asked for it "
      f"({type(error).__name__}: {reason}); give a folder, or fetch it where "
      "there is a network with: hf download " + name.partition("@")[0]
    ) from error


def _snapshot(name: str, *, may_fetch: bool) -> pathlib.Path:
  import huggingface_hub  # takes half a second

  repository, _, revision = name.partition("@")
  return pathlib.Path(
    huggingface_hub.snapshot_download(
      repository,
      revision=revision or None,
      allow_patterns=list(_FILES),
      local_files_only=not may_fetch,
    )
  )
