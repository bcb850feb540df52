"""TFDS builder for any set in BEIR's form: a folder with

  corpus.jsonl               a JSON object a line: _id, title, text
  queries.jsonl              the same: _id, text
  qrels/train.tsv, dev.tsv, test.tsv    a header, then query, passage, grade

each plain or with `.gz` at the end. With queries that need no labels beside
them, the last two may be missing. A passage without text has its title for one;
one with neither is a fault, and some of BEIR's sets have such: these take
`data.on_error=skip`.
"""

import functools
import pathlib
import re
from collections.abc import Mapping

import tensorflow_datasets as tfds
from absl import logging

from prod_jax import json_files
from prod_jax.sets import files, formats, mistaken
from prod_jax.sets.collection import Collection
from prod_jax.sets.datasets import layout, published
from prod_jax.sets.lines import (
  Faults,
  OnError,
  Source,
  half_pair_at,
  read_lines,
)
from prod_jax.sets.records import DataError, Passage, Query

HEADER = "query-id\tcorpus-id\tscore"
_OF_PASSAGES = ("arguana", "quora")  # sets whose queries are passages
_KEYS = ("_id", "title", "text")


class Beir(tfds.core.ShardBasedBuilder):
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
  if not path or not pathlib.Path(path).is_dir():
    raise DataError(
      f"{path or 'data.path'}: expected a folder with corpus.jsonl, "
      "queries.jsonl and qrels/SPLIT.tsv, and there is no such folder"
    )
  folder = pathlib.Path(path).resolve()
  texts = files.require(folder, "corpus.jsonl")
  labels = {
    split: found
    for split in formats.SPLITS
    if (found := files.locate(folder / "qrels", f"{split}.tsv")) is not None
  }
  if not (labels or formats.has_bare_queries(folder)):
    raise DataError(
      f"{folder}/qrels: expected train.tsv, dev.tsv or test.tsv"
      f"{mistaken.other_name(folder, *formats.SPLITS)}"
    )
  queries = files.require(folder, "queries.jsonl") if labels else None
  if not labels and (unread := files.locate(folder, "queries.jsonl")):
    logging.warning(
      "%s: not read, for %s/qrels has no labels of its queries; those to learn "
      "from without labels stand in a file %s",
      unread,
      folder,
      formats.UNLABELLED[1],
    )
  slug = re.sub(r"[^\w.-]", "_", folder.name)
  return published.Source(
    name=folder.name,
    builder=Beir,
    configs=published.configs(
      [texts], [queries, *labels.values()] if queries else [], on_error, slug
    ),
    passages=functools.partial(Collection, texts, parse_passage, on_error),
    queries=functools.partial(_queries, queries, labels, on_error),
    labels=labels,
  )


def asks_with_passages(name: str) -> bool:
  """Whether queries of the set of this name are passages of it."""
  return name.casefold() in _OF_PASSAGES


def parse_passage(number: int, line: str, faults: Faults) -> Passage | None:
  """A line of a corpus; None where it is at fault."""
  row = parse_object(number, line, faults)
  if row is None:
    return None
  title, text = row["title"].strip(), row["text"].strip()
  if not text:
    title, text = "", title
  if faults.in_text(number, row["_id"], text):
    return None
  return Passage(row["_id"], title, text)


def _queries(
  path: Source | None,
  labels: Mapping[str, Source],
  on_error: OnError,
  known: Mapping[str, int],
) -> dict[str, list[Query]]:
  if path is None:
    return {}
  faults = Faults(path, on_error)
  texts: dict[str, str] = {}
  for number, line in read_lines(path, faults):
    row = parse_object(number, line, faults)
    if row is None:
      continue
    name, text = row["_id"], row["text"].strip()
    if not faults.in_text(number, name, text, texts):
      texts[name] = text
  faults.log()
  splits = {
    split: formats.label(
      texts,
      path,
      judged,
      known,
      on_error,
      header=HEADER,
      missed=split != "train",
    )
    for split, judged in labels.items()
  }
  labelled = {query.id for queries in splits.values() for query in queries}
  formats.log_left_out(path, len(texts) - len(labelled))
  return splits


def parse_object(number: int, line: str, faults: Faults) -> dict | None:
  """The object of a line, its keys as strings; None where it is at fault.

  A null is a text that is empty, and an id may be an integer.
  """
  try:
    row = json_files.parse(line)
  except ValueError as error:
    faults.add(number, "bad JSON", f"no JSON ({error})", "repair the line")
    return None
  row = _as_strings(row) if isinstance(row, dict) else None
  if row is None:
    what = "no object with the strings _id, text and perhaps title"
    faults.add(number, "bad object", what, "repair the line")
    return None
  for key in _KEYS:
    at = half_pair_at(row[key])
    if at is not None:
      what = f"{key} has half of a surrogate pair at character {at}"
      faults.add(number, "not UTF-8", what, "write the text anew, in UTF-8")
      return None
  return row


def _as_strings(row: dict) -> dict | None:
  """None where a key is none, nor null, nor an id that is an integer."""
  row = {**row, "title": row.get("title")}
  if type(row.get("_id")) is int:
    row["_id"] = str(row["_id"])
  for key in ("title", "text"):
    row[key] = "" if key in row and row[key] is None else row.get(key)
  return row if all(isinstance(row.get(key), str) for key in _KEYS) else None
