"""How passages and queries lie on disk as TFDS datasets in ArrayRecord.

Every builder has two configs, `passages` and `queries`, and is made of what
stands here: the features, the cutting into shards, writing these in several
processes or on Beam, and the tables of ids. Each keeps the order of its source:
row r of the collection is the r-th passage read. Beside the records of a split
stand its ids as sets/ids.py keeps them, so that opening a collection does not
read its texts.

Where the texts come from is in the builders' own files. TensorFlow is never
imported: TFDS does without it as long as nothing is shuffled at writing.
"""

import contextlib
import dataclasses
import functools
import io
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core import example_serializer, splits, writer

from prod_jax import artefacts, storage
from prod_jax.sets import collection, ids, lines, parallel
from prod_jax.sets.datasets.published import Kind, Source
from prod_jax.sets.records import DataError, Passage, Query

# TFDS reserves the name "all" for the union of the splits.
CORPUS = "corpus"

_FORMAT = "array_record"
_SLICE_ROWS = 100_000


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
  """One of the two configs.

  Attributes:
    kind: "passages" or "queries".
    reader: gives the passages, or the queries by split.
    answers: queries carry answers.
  """

  kind: Kind = "passages"
  reader: Callable[[], Any] | None = None
  answers: bool = False


class _Info(tfds.core.DatasetInfo):
  """TFDS's notes, the last files of a folder: then it is sealed."""

  def write_to_directory(
    self, dataset_info_dir: Any, all_metadata: bool = True
  ) -> None:
    super().write_to_directory(dataset_info_dir, all_metadata)
    artefacts.seal(pathlib.Path(dataset_info_dir))


def info(builder: Any) -> tfds.core.DatasetInfo:
  """The `_info` of every builder."""
  config = builder.builder_config
  return _Info(builder=builder, features=_features(config.kind, config.answers))


def shard_iterators(
  builder: Any, dl_manager: Any
) -> dict[str, list[Callable[[], Iterator]]]:
  """The `_shard_iterators_per_split`: saves the ids, returns the shards.

  A shard is a function without arguments, can be pickled and needs nothing but
  the files: TFDS hands it to Beam as it is.
  """
  del dl_manager  # the files are there
  config, folder = builder.builder_config, pathlib.Path(builder.data_dir)
  content = config.reader()
  if isinstance(content, collection.Collection):
    parts: dict[str, Any] = {CORPUS: collection.index(content, folder)}
  else:
    rows = {CORPUS: content} if config.kind == "passages" else content
    parts = {
      split: (_slices(records), ids.table([record.id for record in records]))
      for split, records in rows.items()
    }
  shards: dict[str, list[Callable[[], Iterator]]] = {}
  for split, (pieces, row_of) in parts.items():
    ids.save(row_of, folder, split)
    shards[split] = [functools.partial(_examples, piece) for piece in pieces]
  return shards


def write(builder: Any, dl_manager: Any, download_config: Any = None) -> None:
  """The `_download_and_prepare`: in processes, or on the Beam runner given.

  TFDS by itself writes one shard after the other, unless there is Beam.
  """
  folder = pathlib.Path(builder.data_dir)
  try:
    if download_config is not None and download_config.beam_runner is not None:
      tfds.core.ShardBasedBuilder._download_and_prepare(
        builder, dl_manager, download_config
      )
      for path in folder.glob("*.shard_infos.json"):
        path.unlink()  # TFDS's notes on how it went
      return
    written = [
      _write_split(builder, split, shards)
      for split, shards in shard_iterators(builder, dl_manager).items()
    ]
    builder.info.set_splits(splits.SplitDict(written))
  finally:
    lines.remove_unpacked(folder)


def prepared(
  source: Source, data_dir: str, beam: Sequence[str] = ()
) -> dict[Kind, Any]:
  """Builders whose data is on disk, made now unless it is there already.

  TFDS writes to a folder `incomplete.*` and renames it at the end, so a killed
  run leaves nothing that passes for data. Such a folder may be deleted.

  Args:
    source: of the data.
    data_dir: where prepared data is kept.
    beam: pipeline options of the Beam runner that is to write the shards;
      without any, processes of this machine do.
  """
  passages = _prepared(source, "passages", source.passages, data_dir, beam)
  # Queries are checked against the passages, whose ids are on disk by now.
  known = read_ids(passages, CORPUS)
  reader = functools.partial(source.queries, known)
  queries = _prepared(source, "queries", reader, data_dir, beam)
  return {"passages": passages, "queries": queries}


def names(source: Source) -> dict[Kind, str]:
  """What TFDS calls the two of a set, and their folders where data is kept.

  It reads what is there when it makes a builder, so that none is asked.
  """
  of: Any = source.builder
  return {
    kind: f"{of.name}/{config}/{of.VERSION}"
    for kind, config in source.configs.items()
  }


def are_whole(source: Source, data_dir: str) -> bool:
  """Whether both are there, and as they were made."""
  folders = [_folder(source, kind, data_dir) for kind in names(source)]
  return all(path.exists() and not artefacts.broken(path) for path in folders)


def read_ids(builder: Any, split: str) -> ids.RowOf:
  """The table of a prepared split."""
  return ids.load(pathlib.Path(builder.data_dir), split)


def _folder(source: Source, kind: Kind, data_dir: str) -> pathlib.Path:
  return pathlib.Path(data_dir, names(source)[kind]).expanduser()


def _prepared(
  source: Source,
  kind: Kind,
  reader: Callable[[], Any],
  data_dir: str,
  beam: Sequence[str],
) -> Any:
  name, folder = names(source)[kind], _folder(source, kind, data_dir)
  if artefacts.is_whole(folder):
    return _builder(source, kind, data_dir, reader)
  builder = _builder(source, kind, data_dir, reader)
  logging.info("%s: preparing it under %s", name, folder)
  start = time.monotonic()
  if (of_set := folder.parents[1]).exists():
    storage.check_links(of_set)
  try:
    # TFDS prints to standard output, which belongs to the results of a command.
    with contextlib.redirect_stdout(io.StringIO()):
      builder.download_and_prepare(download_config=_beam_config(beam))
  except OSError:
    # Another process may have finished first; its data is as good.
    if not folder.exists():
      raise
  logging.info("%s: prepared in %.1f s", name, time.monotonic() - start)
  return _builder(source, kind, data_dir, reader)


def _beam_config(options: Sequence[str]) -> tfds.download.DownloadConfig | None:
  if not options:
    return None
  try:
    from apache_beam.options import pipeline_options
  except ImportError as error:
    raise DataError(
      "apache-beam is not installed here; install the extra: "
      "pip install 'prod_jax[beam]', in an environment of its own"
    ) from error
  parsed = pipeline_options.PipelineOptions(list(options))
  return tfds.download.DownloadConfig(
    beam_runner=parsed.view_as(pipeline_options.StandardOptions).runner
    or "DirectRunner",
    beam_options=parsed,
  )


def _features(kind: Kind, answers: bool) -> tfds.features.FeaturesDict:
  text = tfds.features.Text
  features = {"id": text(), "text": text()}
  if kind == "passages":
    features["title"] = text()
  else:
    positive = {"id": text(), "grade": np.int32}
    features["positives"] = tfds.features.Sequence(positive)
    if answers:
      features["answers"] = tfds.features.Sequence(text())
  return tfds.features.FeaturesDict(features)


def _write_split(
  builder: Any, split: str, shards: Sequence[Callable]
) -> tfds.core.SplitInfo:
  template = builder._get_filename_template(split_name=split)
  paths = [
    str(template.sharded_filepath(shard_index=i, num_shards=len(shards)))
    for i in range(len(shards))
  ]
  config = builder.builder_config
  work = functools.partial(_write_shard, config.kind, config.answers)
  tasks = list(zip(paths, shards, strict=True))
  lengths = list(parallel.in_order(work, tasks, name=f"writing {split}"))
  return tfds.core.SplitInfo(
    name=split,
    shard_lengths=lengths,
    num_bytes=sum(pathlib.Path(path).stat().st_size for path in paths),
    filename_template=template,
  )


def _write_shard(
  kind: Kind, answers: bool, task: tuple[str, Callable[[], Iterator]]
) -> int:
  """Writes the file of one shard; returns its number of records."""
  path, shard = task
  features = _features(kind, answers)
  serializer = example_serializer.ExampleSerializer(
    features.get_serialized_info()
  )
  rows = 0

  def serialised() -> Iterator[tuple[int, bytes]]:
    nonlocal rows
    for key, example in shard():
      yield key, serializer.serialize_example(features.encode_example(example))
      rows += 1

  writer.ExampleWriter(tfds.core.FileFormat(_FORMAT)).write(path, serialised())
  return rows


def _examples(
  piece: Callable[[], Iterator[Passage | Query]],
) -> Iterator[tuple[int, dict[str, Any]]]:
  return enumerate(map(_example, piece()))


def _slices(records: Sequence[Passage | Query]) -> list[Callable]:
  return [
    functools.partial(iter, records[start : start + _SLICE_ROWS])
    for start in range(0, len(records), _SLICE_ROWS)
  ]


def _example(record: Passage | Query) -> dict[str, Any]:
  example = record._asdict()
  if isinstance(record, Query):
    example["positives"] = [
      {"id": name, "grade": grade} for name, grade in record.positives
    ]
    if not record.answers:
      del example["answers"]
    del example["missing"]  # one of the positives, as they are written
  return example


def _builder(
  source: Source,
  kind: Kind,
  data_dir: str,
  reader: Callable[[], Any] | None = None,
) -> Any:
  # TFDS warns of any config that is not listed in the class; ours cannot be,
  # their names carry a fingerprint of the source.
  logger = logging.get_absl_logger()
  level = logger.level
  logger.setLevel("ERROR")
  try:
    return source.builder(
      data_dir=data_dir,
      file_format=_FORMAT,
      config=Config(
        name=source.configs[kind],
        kind=kind,
        reader=reader,
        answers=source.answers,
      ),
    )
  except (OSError, MemoryError):
    raise
  # Whatever is wrong with its notes, TFDS has an error for it.
  except Exception as error:
    folder = _folder(source, kind, data_dir)
    if not folder.exists():
      raise
    raise DataError(
      f"{folder} cannot be read ({error}); delete it, and it is made again"
    ) from error
  finally:
    logger.setLevel(level)
