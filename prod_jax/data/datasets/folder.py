"""TFDS builder for a folder in the MS MARCO layout.

What the files look like, and what counts as a fault in them, is formats.py.
"""

import dataclasses
import functools
import hashlib
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

from prod_jax import packaged
from prod_jax.data import formats
from prod_jax.data.datasets import layout
from prod_jax.data.records import DataError, Query

# Above this size a file is known by its name, size and time of change: the
# content of MS MARCO would take longer to hash than a stage takes to start.
_HASHED_BYTES = 256 << 20


@dataclasses.dataclass(eq=False)
class FolderConfig(tfds.core.BuilderConfig):
  """Which folder, and which half of it.

  Attributes:
    kind: "passages" or "queries".
    path: of the folder.
    on_error: "raise" at a malformed line, or "skip" and count.
  """

  kind: layout.Kind = "passages"
  path: str = ""
  on_error: formats.OnError = "raise"


class MsMarcoFolder(tfds.core.ShardBasedBuilder):
  """Passages (split `corpus`) and queries of a folder."""

  VERSION = tfds.core.Version("1.0.0")

  def _info(self) -> tfds.core.DatasetInfo:
    return layout.dataset_info(self, self.builder_config.kind)

  def _shard_iterators_per_split(
    self, dl_manager: Any
  ) -> Mapping[str, list[Callable]]:
    folder = pathlib.Path(self.builder_config.path)
    on_error = self.builder_config.on_error
    collection = formats.find_file(folder, "collection")
    ids = formats.read_passage_ids(collection, on_error=on_error)
    if not ids:
      raise DataError(f"{collection}: there is no passage in it")
    if self.builder_config.kind == "passages":
      passages = formats.read_collection(collection, on_error=on_error)
      return layout.write_passages(self, ids, passages)
    known = frozenset(ids)
    return layout.write_queries(
      self,
      {
        split: _queries(folder, split, known, on_error)
        for split in formats.find_splits(folder)
      },
    )


def builders(
  path: str, data_dir: str, on_error: formats.OnError
) -> dict[layout.Kind, Callable[[], MsMarcoFolder]]:
  """Constructors of the two builders of a folder.

  Raises:
    DataError: the folder or one of its files is not there.
  """
  folder = pathlib.Path(path).resolve()
  if not folder.is_dir():
    raise DataError(
      f"{path or 'data.path'}: expected a folder with collection.tsv, "
      "queries.SPLIT.tsv and qrels.SPLIT.tsv"
    )
  collection = [formats.find_file(folder, "collection")]
  labels = [
    formats.find_file(folder, f"{stem}.{split}")
    for split in formats.find_splits(folder)
    for stem in ("queries", "qrels")
  ]
  slug = re.sub(r"[^\w.-]", "_", folder.name)
  return {
    kind: functools.partial(
      MsMarcoFolder,
      data_dir=data_dir,
      file_format="array_record",
      config=FolderConfig(
        name=f"{slug}-{kind}-{_fingerprint(files, on_error)}",
        kind=kind,
        path=str(folder),
        on_error=on_error,
      ),
    )
    for kind, files in (
      ("passages", collection),
      ("queries", collection + labels),
    )
  }


def base_name(path: str) -> str:
  """What a set read from this folder is called."""
  return pathlib.Path(path).resolve().name


def _queries(
  folder: pathlib.Path,
  split: str,
  known: frozenset[str],
  on_error: formats.OnError,
) -> list[Query]:
  """Queries of a split that have a positive, in the order of their file."""
  path = formats.find_file(folder, f"queries.{split}")
  labels = formats.find_file(folder, f"qrels.{split}")
  texts = dict(formats.read_queries(path, on_error=on_error))
  qrels = formats.read_qrels(
    labels, queries=texts, passages=known, on_error=on_error
  )
  rows = []
  for name, text in texts.items():
    judged = qrels.get(name, {}).items()
    positives = tuple(
      (passage, grade) for passage, grade in judged if grade > 0
    )
    if positives:
      rows.append(Query(name, text, positives))
  without = len(texts) - len(rows)
  if not rows:
    raise DataError(
      f"{path}: none of its {without} queries has a passage of grade > 0 in "
      f"{labels.name}; remove both files or label some"
    )
  if without:
    logging.info("%s: left out %d queries without a positive", path, without)
  return rows


def _fingerprint(files: Sequence[pathlib.Path], on_error: str) -> str:
  digest = hashlib.sha256(on_error.encode())
  for file in files:
    stat = file.stat()
    small = stat.st_size <= _HASHED_BYTES
    known_by = packaged.sha256(file) if small else stat.st_mtime_ns
    digest.update(f"\n{file.name} {stat.st_size} {known_by}".encode())
  return digest.hexdigest()[:16]
