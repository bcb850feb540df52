"""Models of a hub, by NAME/MODEL or NAME/MODEL@REVISION, kept on this machine.

Only weights in safetensors and the files that describe them are fetched; no
code of a repository ever is.
"""

import contextlib
import pathlib
import re

from absl import logging

from prod_jax.models import sentence_transformers, weights
from prod_jax.models.weights import WeightsError

_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_PAGES = ("models", "datasets", "spaces")  # of the hub, and so nobody's name
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.metadata")

LOG_IN = "set HF_TOKEN or run: hf auth login"


class NotCached(Exception):
  """A model is not on this machine; the line says what to do."""


def is_name(text: str) -> bool:
  """Whether it may be the name of a model on a hub."""
  owner = text.partition("/")[0]
  return (
    bool(_NAME.fullmatch(text))
    and not text.startswith(".")
    and owner not in _PAGES
  )


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
  """The same, fetched where it is not there, or not all of it.

  Other programs leave a part of a model in the cache: an encoder without the
  files that say how its vectors are made is another model.

  Raises:
    NotCached: the hub does not give it, or cannot be asked.
    OSError: the disk does not take it.
  """
  try:
    kept = cached(name)
  except NotCached:
    kept = None
  if kept and _mark(kept).exists():
    return kept
  logging.info("%s: asks the hub for it", name)
  # What is here is not changed for a newer one.
  wanted = f"{name.partition('@')[0]}@{kept.name}" if kept else name
  serves = kept is not None and _has_weights(kept)
  try:
    folder = _snapshot(wanted, may_fetch=True)
    damaged = _damaged(name, folder, keeps=serves)
  except Exception as error:  # also those of its HTTP library
    if getattr(error, "errno", None):
      raise
    why = _refusal(name, error)
    if kept and serves:
      logging.warning(
        "%s: %s; what is in %s is taken, and nobody knows whether it is all",
        name,
        why,
        kept,
      )
      return kept
    raise NotCached(f"{name!r} is no folder here, and {why}") from error
  if damaged:
    raise NotCached(
      f"{name!r}: {' and '.join(damaged)} came with other bytes than the hub's "
      "checksums say, and nothing of that is kept; run it again"
    )
  # A cache may be another one's: then the hub is asked each time.
  with contextlib.suppress(PermissionError):
    _mark(folder).touch()
  return folder


def _mark(folder: pathlib.Path) -> pathlib.Path:
  """Stands beside the snapshots of a model where all of one has come."""
  return folder.parents[1] / f".prod_jax-{folder.name}"


def _has_weights(folder: pathlib.Path) -> bool:
  try:
    weights.files(sentence_transformers.encoder_folder(folder))
  except WeightsError:
    return False
  return True


def words_of(error: BaseException) -> str:
  """What a hub or its client says of an error, in a line without the token."""
  import huggingface_hub

  # Behind the first line of its own the client says what it would do.
  own = str(error).partition("\n")[0]
  said = getattr(error, "server_message", None) or own
  token = huggingface_hub.get_token() or "\n"
  return " ".join(said.replace(token, "***").split())


def answered(status: int, said: str, to: str) -> str:
  """What a hub answered, and what to do.

  Args:
    status: of the answer.
    said: its words.
    to: what its user was about to do, "read" or "write".
  """
  remedy = (
    f"log in with a token that may {to} it: {LOG_IN}"
    if status in (401, 403)
    else "try again later"
  )
  return f"the hub answered {status} ({said}); {remedy}"


def _refusal(name: str, error: BaseException) -> str:
  """Why there is nothing of a model from the hub, and what to do."""
  from huggingface_hub import errors

  repository, _, revision = name.partition("@")
  reached = not isinstance(error, errors.LocalEntryNotFoundError)
  # What the client has met before it looked on this machine.
  error = error if reached else error.__cause__ or error
  why = f"{type(error).__name__}: {words_of(error)}"
  match error:
    case errors.RevisionNotFoundError():
      return (
        f"the hub's {repository} has no revision {revision or 'main'!r}; name "
        "a branch, a tag or a commit of it"
      )
    case errors.GatedRepoError():  # which is a RepositoryNotFoundError, too
      return (
        f"the hub's {repository} is gated; ask for access on its page there, "
        f"and log in: {LOG_IN}"
      )
    case errors.RepositoryNotFoundError():
      return (
        f"the hub shows no {repository}; look at its name, and where it is "
        f"private log in: {LOG_IN}"
      )
    case errors.HfHubHTTPError():
      return answered(error.response.status_code, words_of(error), "read")
    case errors.HFValidationError():
      return f"no name on a hub ({why}); give a folder"
    case _ if reached:
      return (
        f"it did not come from the hub ({why}); run it again, what has come "
        "whole is kept, or give a folder"
      )
  at = f" --revision {revision}" if revision else ""
  return (
    f"the hub cannot be asked for it ({why}); give a folder, or fetch it where "
    f"there is a network with: hf download {repository}{at}"
  )


def _damaged(name: str, folder: pathlib.Path, *, keeps: bool) -> list[str]:
  """Deletes what has other bytes than the hub says; returns the names.

  The client looks at sizes alone.

  Args:
    name: of the model.
    folder: of it.
    keeps: what is there, and was before, where nobody says its digests.
  """
  import huggingface_hub

  repository = name.partition("@")[0]
  try:
    found = huggingface_hub.HfApi().verify_repo_checksums(
      repository, revision=folder.name
    )
  except BaseException:
    # What nobody has looked at would be taken for whole the next time.
    for unchecked in () if keeps else folder.rglob("*.safetensors"):
      unchecked.resolve().unlink(missing_ok=True)
    raise
  damaged = [wrong["path"] for wrong in found.mismatches]
  for path in damaged:
    (folder / path).resolve().unlink(missing_ok=True)
  return damaged


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
