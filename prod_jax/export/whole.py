"""The whole export, in order: folders, card, provenance."""

import dataclasses
import json
import pathlib

from absl import logging

from prod_jax import storage, strict
from prod_jax.export import card, folder, lineage
from prod_jax.export.finished import Trained

PROVENANCE = "provenance.json"


@dataclasses.dataclass(frozen=True)
class Options:
  """What is written, and where.

  Attributes:
    to: the folder.
    overwrite: replace an export that is there.
  """

  to: pathlib.Path
  overwrite: bool = False


def export(trained: Trained, options: Options) -> None:
  """Writes an export, whole or not at all.

  Raises:
    ConfigError: the folder is taken, or the model is of a kind that no folder
      can say.
  """
  _check_free(options)
  to = options.to
  with storage.whole_folder(to) as part:
    for each in folder.parts(trained):
      folder.write(part / each.name, trained, each)
    card.write(part / "README.md", trained, to.name)
    # The last file: its hashes are of all others.
    found = lineage.provenance(trained, part)
    storage.write_text(part / PROVENANCE, json.dumps(found, indent=2))
  logging.info("%s is in %s", trained.name, to)


def _check_free(options: Options) -> None:
  """Raises ConfigError where something stands that is not ours to delete."""
  to = options.to
  if to.is_file():
    raise strict.ConfigError(f"--to: {to} is a file; it takes a folder")
  if not to.is_dir() or not any(to.iterdir()):
    return
  if not options.overwrite:
    raise strict.ConfigError(
      f"--to: {to} is there and not empty; --overwrite replaces an export"
    )
  if not (to / PROVENANCE).is_file():
    raise strict.ConfigError(
      f"--to: {to} is no export, it has no {PROVENANCE}, and is not replaced; "
      "name another folder"
    )
