"""All readers."""

import re

from tests.fuzz import of_models, of_runs, of_sets

READERS = {
  reader.name: reader
  for module in (of_sets, of_models, of_runs)
  for reader in module.READERS
}


def slug(name: str) -> str:
  """A reader's name as that of a folder."""
  return re.sub(r"[^\w.]+", "-", name)
