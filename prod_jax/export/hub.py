"""An export sent to a hub, with the token that its user has there.

The token is huggingface_hub's business: it takes HF_TOKEN or what `hf auth
login` has stored, and no line of ours shows it.
"""

import pathlib
import shlex

from absl import logging

from prod_jax import json_files, strict
from prod_jax.export.lineage import PROVENANCE
from prod_jax.models import hub


def check(name: str) -> None:
  """Raises ConfigError for what is no name on a hub, or where nobody is
  logged in.
  """
  import huggingface_hub  # takes half a second

  if not hub.is_name(name) or "@" in name:
    raise strict.ConfigError(f"--push is {name!r}; it takes ORG/NAME")
  if huggingface_hub.get_token() is None:
    raise strict.ConfigError(
      f"--push: nobody is logged in to the hub; {hub.LOG_IN}"
    )


def push(folder: pathlib.Path, name: str, *, private: bool) -> None:
  """Sends a folder as one commit; the repository is made if it is not there.

  Raises:
    ConfigError: the hub refuses it, or cannot be reached.
  """
  try:
    _send(folder, name, private=private)
  except strict.ConfigError as error:  # to send it by hand would be the same
    raise strict.ConfigError(
      f"--push: {error}; the export is in {folder}"
    ) from None
  except Exception as error:  # also those of its HTTP library
    words = ["hf", "upload", name, str(folder)]
    again = shlex.join([*words, "--private"] if private else words)
    raise strict.ConfigError(
      f"--push: {_refusal(name, error)}; the export is in {folder}, and is "
      f"sent by: {again}"
    ) from None
  logging.info("%s is on the hub as %s", folder, name)


def _send(folder: pathlib.Path, name: str, *, private: bool) -> None:
  import huggingface_hub

  # What is not asked to be private is what its owner's settings say.
  huggingface_hub.create_repo(name, private=private or None, exist_ok=True)
  if private and not huggingface_hub.model_info(name).private:
    raise strict.ConfigError(
      f"{name} is there already, and everybody sees it; make it private on its "
      "page, or take another name"
    )
  huggingface_hub.upload_folder(
    repo_id=name,
    folder_path=folder,
    commit_message="Export of prod_jax",
    delete_patterns=_sent_before(name) or None,
  )


def _sent_before(name: str) -> list[str]:
  """The files of an export that is there; what else is there is its owner's."""
  import huggingface_hub
  from huggingface_hub.errors import RemoteEntryNotFoundError

  try:
    path = huggingface_hub.hf_hub_download(name, PROVENANCE)
  except RemoteEntryNotFoundError:
    return []
  remedy = f"it is that of {name}; delete it there, or take another name"
  found = json_files.read(pathlib.Path(path), {"files": {str: str}}, remedy)
  return [*found["files"]]


def _refusal(name: str, error: Exception) -> str:
  """Why a hub has not taken an export, and what to do."""
  from huggingface_hub.errors import HfHubHTTPError

  match error:
    case HfHubHTTPError():
      status = error.response.status_code
      return f"{name}: {hub.answered(status, hub.words_of(error), 'write')}"
    case ValueError():  # a name, or a card, that is none
      why = f"{type(error).__name__}: {' '.join(str(error).split())}"
    case _:  # its text may hold all that was sent
      why = type(error).__name__
  return f"{name} cannot be sent ({why})"
