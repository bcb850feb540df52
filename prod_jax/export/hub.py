"""An export sent to a hub, with the token that its user has there.

The token is huggingface_hub's business: it takes HF_TOKEN or what `hf auth
login` has stored, and is neither read nor logged here.
"""

import pathlib

from absl import logging

from prod_jax import strict
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
      "--push: nobody is logged in to the hub; set HF_TOKEN or run: hf auth "
      "login"
    )


def push(folder: pathlib.Path, name: str, *, private: bool) -> None:
  """Sends a folder as one commit; the repository is made if it is not there.

  Raises:
    ConfigError: the hub refuses it, or cannot be reached.
  """
  import huggingface_hub
  from huggingface_hub.errors import HfHubHTTPError

  try:
    huggingface_hub.create_repo(name, private=private, exist_ok=True)
    huggingface_hub.upload_folder(
      repo_id=name, folder_path=folder, commit_message="Export of prod_jax"
    )
  except HfHubHTTPError as error:
    status = error.response.status_code if error.response is not None else "?"
    raise strict.ConfigError(
      f"--push: the hub answered {status} for {name}; the export is in {folder}"
    ) from None
  except Exception as error:  # also those of its HTTP library
    raise strict.ConfigError(
      f"--push: {name} cannot be sent ({type(error).__name__}); the export is "
      f"in {folder}"
    ) from None
  logging.info("%s is on the hub as %s", folder, name)
