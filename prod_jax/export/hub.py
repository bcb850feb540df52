"""An export sent to a hub, with the token that its user has there.

The token is huggingface_hub's business: it takes HF_TOKEN or what `hf auth
login` has stored, and no line of ours shows it.
"""

import pathlib
import shlex

from absl import logging

from prod_jax import strict
from prod_jax.export import lineage
from prod_jax.export.lineage import CARD, PROVENANCE
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
  there = _sent_before(name)
  keeps_card = _keeps_card(folder, name, there)
  huggingface_hub.upload_folder(
    repo_id=name,
    folder_path=folder,
    commit_message="Export of prod_jax",
    ignore_patterns=CARD if keeps_card else None,
    delete_patterns=sorted(there.files) or None,
  )
  if keeps_card:
    logging.warning(
      "the card of %s is not as an export wrote it, or an earlier version did: "
      "it stays, with figures of then; deleted there, the next export brings "
      "it anew",
      name,
    )


def _keeps_card(
  folder: pathlib.Path, name: str, there: lineage.Written
) -> bool:
  """Whether the card there is somebody's, and the one here nobody's."""
  card = _fetched(name, CARD)
  if card is None or there.is_own_card(card):
    return False
  remedy = f"export again, or take away {folder / PROVENANCE}"
  return lineage.written(folder / PROVENANCE, remedy).is_own_card(folder / CARD)


def _sent_before(name: str) -> lineage.Written:
  """The files of an export that is there; what else is there is its owner's."""
  path = _fetched(name, PROVENANCE)
  if path is None:
    return lineage.Written(frozenset(), card=None)
  remedy = f"it is that of {name}; delete it there, or take another name"
  return lineage.written(path, remedy)


def _fetched(name: str, file: str) -> pathlib.Path | None:
  """A file that is there, fetched; None where it is not."""
  import huggingface_hub
  from huggingface_hub.errors import RemoteEntryNotFoundError

  try:
    return pathlib.Path(huggingface_hub.hf_hub_download(name, file))
  except RemoteEntryNotFoundError:
    return None


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
