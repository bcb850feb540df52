"""How passages and queries lie on disk as TFDS datasets in ArrayRecord.

Both builders have two configs, `passages` and `queries`, and share the
features, the cutting into shards and the tables of ids. Each keeps the order
of its source: row r of the collection is the r-th passage read. Beside the
records of a split stand its ids, `ids-SPLIT.npy`, and `order-SPLIT.npy`, which
sorts them, so that opening a collection does not read its texts.

Where the texts come from is in the builders' own files. TensorFlow is never
imported: TFDS does without it as long as nothing is shuffled at writing.
"""

import contextlib
import io
import itertools
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from absl import logging

from prod_jax.data.records import Passage, Query

Kind = Literal["passages", "queries"]

# TFDS reserves the name "all" for the union of the splits.
CORPUS = "corpus"

# TFDS holds the examples of one shard in memory: about 100 MB at this number.
_SHARD_ROWS = 100_000


def dataset_info(builder: Any, kind: Kind) -> tfds.core.DatasetInfo:
  """Features of the two configs."""
  text = tfds.features.Text
  features = {"id": text(), "text": text()}
  if kind == "passages":
    features["title"] = text()
  else:
    positive = {"id": text(), "grade": np.int32}
    features["positives"] = tfds.features.Sequence(positive)
  return tfds.core.DatasetInfo(
    builder=builder, features=tfds.features.FeaturesDict(features)
  )


def write_passages(
  builder: Any, ids: Sequence[str], passages: Iterable[Passage]
) -> Mapping[str, list[Callable]]:
  """Saves the ids and returns what `_shard_iterators_per_split` has to.

  Args:
    builder: the TFDS builder, while it prepares itself.
    ids: of all passages.
    passages: as many, in the same order; read once.
  """
  return {CORPUS: _split(builder, CORPUS, ids, passages)}


def write_queries(
  builder: Any, queries: Mapping[str, Sequence[Query]]
) -> Mapping[str, list[Callable]]:
  """The same for the queries of each split."""
  return {
    split: _split(builder, split, [query.id for query in rows], rows)
    for split, rows in queries.items()
  }


def prepared(make: Callable[[], Any]) -> Any:
  """A builder whose data is on disk, made now unless it is there already.

  TFDS writes to a folder `incomplete.*` and renames it at the end, so a killed
  run leaves nothing that passes for data. Such a folder may be deleted.

  Args:
    make: constructs the builder; called again after preparing.
  """
  builder = _quietly(make)
  if builder.data_path.exists():
    return builder
  name = builder.info.full_name
  logging.info("%s: preparing it under %s", name, builder.data_dir)
  start = time.monotonic()
  try:
    # TFDS prints to standard output, which belongs to the results of a command.
    with contextlib.redirect_stdout(io.StringIO()):
      builder.download_and_prepare()
  except OSError:
    # Another process may have finished first; its data is as good.
    if not builder.data_path.exists():
      raise
  logging.info("%s: prepared in %.1f s", name, time.monotonic() - start)
  return _quietly(make)


def read_ids(builder: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
  """Ids of a split in UTF-8 by row, and the rows in sorted order of ids."""
  ids, order = (
    np.load(path, mmap_mode="r", allow_pickle=False)
    for path in _tables(builder, split)
  )
  return ids, order


def _split(
  builder: Any, split: str, ids: Sequence[str], records: Iterable[Any]
) -> list[Callable]:
  table = np.array([name.encode() for name in ids])
  order = np.argsort(table, kind="stable")
  for path, array in zip(_tables(builder, split), (table, order), strict=True):
    np.save(path, array, allow_pickle=False)
  stream = iter(
    tqdm.tqdm(records, split, len(ids), unit=" records", disable=None)
  )

  def shard() -> Iterator[tuple[int, dict[str, Any]]]:
    yield from enumerate(map(_example, itertools.islice(stream, _SHARD_ROWS)))

  return [shard] * -(-len(ids) // _SHARD_ROWS)


def _example(record: Passage | Query) -> dict[str, Any]:
  example = record._asdict()
  if isinstance(record, Query):
    example["positives"] = [
      {"id": name, "grade": grade} for name, grade in record.positives
    ]
  return example


def _tables(builder: Any, split: str) -> list[pathlib.Path]:
  folder = pathlib.Path(builder.data_dir)
  return [folder / f"{table}-{split}.npy" for table in ("ids", "order")]


def _quietly(make: Callable[[], Any]) -> Any:
  # TFDS warns of any config that is not listed in the class; ours cannot be,
  # their names carry a fingerprint of the source.
  logger = logging.get_absl_logger()
  level = logger.level
  logger.setLevel("ERROR")
  try:
    return make()
  finally:
    logger.setLevel(level)
