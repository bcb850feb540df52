"""TFDS builder for a folder in the MS MARCO layout.

What the files look like, and what counts as a fault in them, is
sets/formats.py.
"""

import functools
import pathlib
import re
from collections.abc import Mapping

import tensorflow_datasets as tfds

from prod_jax.sets import formats
from prod_jax.sets.collection import Collection
from prod_jax.sets.datasets import layout, published
from prod_jax.sets.lines import OnError
from prod_jax.sets.records import DataError, Query


class MsMarcoFolder(tfds.core.ShardBasedBuilder):
  """Passages (split `corpus`) and queries of a folder."""

  VERSION = tfds.core.Version("1.0.0")
  _info = layout.info
  _shard_iterators_per_split = layout.shard_iterators
  _download_and_prepare = layout.write


def source(path: str, on_error: OnError) -> published.Source:
  """The set in a folder, which is named after it.

  Raises:
    DataError: the folder or one of its files is not there.
  """
  if not pathlib.Path(path).is_dir():
    raise DataError(
      f"{path or 'data.path'}: expected a folder with collection.tsv, "
      "queries.SPLIT.tsv and qrels.SPLIT.tsv, and there is no such folder"
    )
  folder = pathlib.Path(path).resolve()
  collection = [formats.find_file(folder, "collection")]
  found = formats.find_splits(folder)
  queries, judged = (
    {split: formats.find_file(folder, f"{stem}.{split}") for split in found}
    for stem in ("queries", "qrels")
  )
  labels = [file for split in found for file in (queries[split], judged[split])]
  slug = re.sub(r"[^\w.-]", "_", folder.name)
  return published.Source(
    name=folder.name,
    builder=MsMarcoFolder,
    configs=published.configs(collection, labels, on_error, slug),
    passages=functools.partial(_passages, collection[0], on_error),
    queries=functools.partial(_all_queries, folder, on_error),
    labels=judged,
  )


def _passages(path: pathlib.Path, on_error: OnError) -> Collection:
  width = formats.passage_width(path)
  parse = functools.partial(formats.parse_passage, width=width)
  return Collection(path, parse, on_error)


def _all_queries(
  folder: pathlib.Path, on_error: OnError, known: Mapping[str, int]
) -> dict[str, list[Query]]:
  return {
    split: _queries(folder, split, known, on_error)
    for split in formats.find_splits(folder)
  }


def _queries(
  folder: pathlib.Path, split: str, known: Mapping[str, int], on_error: OnError
) -> list[Query]:
  """Queries of a split that have a positive, in the order of their file."""
  path = formats.find_file(folder, f"queries.{split}")
  labels = formats.find_file(folder, f"qrels.{split}")
  missed = split != "train"
  return formats.read_labelled(path, labels, known, on_error, missed=missed)
