"""The set that a config names, with the files that a user put beside it."""

from prod_jax import config
from prod_jax.sets import download, generated, mistaken, unlabelled
from prod_jax.sets.datasets import (
  beir,
  folder,
  msmarco_document,
  msmarco_passage,
  nq,
  own,
  published,
  pydocs,
)
from prod_jax.sets.records import DataError

SPLITS = (
  "train",
  unlabelled.SPLIT,
  generated.SPLIT,
  *("dev", "test", "dl19", "dl20"),
)


def source(
  data: config.Data, downloads: download.Downloads
) -> published.Source:
  """Finds its files, downloaded now unless they are there.

  Raises:
    NotDownloaded: they are not there and may not be fetched.
    DataError: they are not there, or the set has no use for an option.
  """
  try:
    found = _published(data, downloads)
  except download.NotDownloaded:
    raise
  except DataError as error:
    meant = mistaken.other_form(data.path, data.name)
    raise DataError(f"{error}{meant}") from error
  found = own.with_negatives(found, data, SPLITS)
  return generated.with_file(unlabelled.with_file(found, data), data)


def _published(
  data: config.Data, downloads: download.Downloads
) -> published.Source:
  name, path, on_error = data.name, data.path, data.on_error
  if data.titles and name != "msmarco_passage":
    raise DataError(
      f"data.titles is {data.titles!r}, which {name!r} has no use for"
    )
  if data.max_characters and name != "msmarco_document":
    raise DataError(f"data.max_characters is set, and {name!r} cuts nothing")
  if name == "pydocs":
    return pydocs.source()
  if name == "folder":
    return folder.source(path, on_error)
  if name == "beir":
    return beir.source(path, on_error)
  if name == "nq":
    return nq.source(path, downloads, on_error)
  if name == "msmarco_passage":
    return msmarco_passage.source(path, downloads, on_error, data.titles)
  return msmarco_document.source(path, downloads, on_error, data.max_characters)
