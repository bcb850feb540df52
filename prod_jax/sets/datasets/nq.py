"""TFDS builder for Natural Questions in the form of DPR.

Reads DPR's files, each plain or with `.gz` at the end:

  psgs_w100.tsv             a header, then id TAB text TAB title, CSV-quoted
  biencoder-nq-train.json   a list of objects with question, answers,
                            positive_ctxs, hard_negative_ctxs   split train
  biencoder-nq-dev.json     the same                            dev
  nq-test.qa.csv            question TAB a list of answers, CSV-quoted    test

Queries of train and dev have labelled passages, the gold one first; those of
test have answers only. Questions have no ids there: they are numbered. The
JSON files take many times their size as Python objects, so that they are read
one object at a time.
"""

import ast
import csv
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from prod_jax import progress
from prod_jax.sets import download, files, ids, json_list
from prod_jax.sets.collection import Collection
from prod_jax.sets.datasets import layout, published
from prod_jax.sets.lines import Faults, OnError, Source, read_lines
from prod_jax.sets.negatives import Found, Pairs, Tables
from prod_jax.sets.records import DataError, Passage, Query

_HEADER = "id\ttext\ttitle"
_META = "https://dl.fbaipublicfiles.com/dpr"
# MD5s: ir_datasets, etc/downloads.json at 02a8f21c; nobody states one of the
# last. Nothing was downloaded where this was written.
_REMOTES = (
  download.Remote(
    f"{_META}/wikipedia_split/psgs_w100.tsv.gz",
    "612fe66e0b6b41ee28f806140226c563",
  ),
  download.Remote(
    f"{_META}/data/retriever/biencoder-nq-train.json.gz",
    "a1c927b5adae71388eb064329387709f",
  ),
  download.Remote(
    f"{_META}/data/retriever/biencoder-nq-dev.json.gz",
    "2640483dbe0df7ae29c6da419c551a80",
  ),
  download.Remote(f"{_META}/data/retriever/nq-test.qa.csv"),
)
_FILES = {
  "train": "biencoder-nq-train.json",
  "dev": "biencoder-nq-dev.json",
  "test": "nq-test.qa.csv",
}
_ANSWERS = "a list of answers such as ['one', 'two']"


class NqDpr(tfds.core.ShardBasedBuilder):
  """Passages (split `corpus`) and queries (train, dev, test)."""

  VERSION = tfds.core.Version("1.0.0")
  _info = layout.info
  _shard_iterators_per_split = layout.shard_iterators
  _download_and_prepare = layout.write


class Example(NamedTuple):
  """A question of a JSON file.

  Attributes:
    line: that it begins at.
    question, answers: of it.
    positives, negatives: passage ids, those of the gold passage first.
  """

  line: int
  question: str
  answers: tuple[str, ...]
  positives: tuple[str, ...]
  negatives: tuple[str, ...]


def source(
  path: str, downloads: download.Downloads, on_error: OnError
) -> published.Source:
  """The set in a folder, or downloaded.

  Raises:
    DataError: a file is not there, or cannot be downloaded.
  """
  folder = download.folder_of(path, downloads, _REMOTES)
  texts = files.require(folder, "psgs_w100.tsv")
  sources = {
    split: source
    for split, name in _FILES.items()
    if (source := files.locate(folder, name)) is not None
  }
  if not sources:
    raise DataError(f"{folder}: expected {' or '.join(_FILES.values())} in it")
  return published.Source(
    name="nq",
    builder=NqDpr,
    configs=published.configs([texts], [*sources.values()], on_error),
    passages=functools.partial(
      Collection, texts, _parse, on_error, header=_HEADER
    ),
    queries=functools.partial(_queries, sources, on_error),
    negatives={
      split: functools.partial(_negatives, split, sources[split], on_error)
      for split in ("train", "dev")
      if split in sources
    },
    answers=True,
  )


def read_examples(path: Source, on_error: OnError) -> Iterator[Example]:
  """Streams the questions of a JSON file that have a positive.

  Raises:
    DataError: the file cannot be read, or an object is at fault.
  """
  faults = Faults(path, on_error)
  without = 0
  items = progress.shown(
    json_list.read(path), f"reading {path.name}", "questions"
  )
  for line, item in items:
    try:
      example = _example(line, item)
    except (KeyError, TypeError, UnicodeEncodeError) as error:
      lacks = isinstance(error, KeyError)
      what = f"an object without {error}" if lacks else f"no question: {error}"
      faults.add(line, "bad object", what, "take the file as DPR publishes it")
      continue
    if not example.question or not example.answers:
      what = "an object whose question or answers are empty"
      faults.add(line, "bad object", what, "remove it")
    elif example.positives:
      yield example
    else:
      without += 1
  if without:
    logging.info("%s: left out %d questions without a positive", path, without)
  faults.log()


def _example(line: int, item: Any) -> Example:
  """The question that an object is.

  Raises:
    KeyError, TypeError, UnicodeEncodeError: it is none.
  """
  question, answers = item["question"], item["answers"]
  texts = isinstance(answers, list) and [question, *answers]
  if not texts or not all(isinstance(text, str) for text in texts):
    raise TypeError("question is a text, and answers a list of texts")
  "".join(texts).encode()  # half of a surrogate pair has no bytes
  return Example(
    line,
    question.strip(),
    tuple(answers),
    *(
      tuple(dict.fromkeys(str(c["passage_id"]) for c in item[key]))
      for key in ("positive_ctxs", "hard_negative_ctxs")
    ),
  )


def read_test(path: Source, on_error: OnError) -> Iterator[Query]:
  """Streams the questions of the test file, numbered.

  Raises:
    DataError: the file cannot be read, or a line is at fault.
  """
  faults = Faults(path, on_error)
  count = 0
  for number, line in read_lines(path, faults):
    columns = _columns(number, line, faults, f"question TAB {_ANSWERS}", 2)
    if columns is None:
      continue
    answers = _literal(columns[1])
    if answers is None or not columns[0].strip():
      faults.add(
        number, "bad answers", f"no question with {_ANSWERS}", "repair the line"
      )
      continue
    yield Query(f"test{count}", columns[0].strip(), (), answers)
    count += 1
  faults.log()


def _parse(number: int, line: str, faults: Faults) -> Passage | None:
  columns = _columns(number, line, faults, "passage id TAB text TAB title", 3)
  if columns is None:
    return None
  name, text, title = columns[0], columns[1].strip(), columns[2].strip()
  if faults.in_text(number, name, text):
    return None
  return Passage(name, title, text)


def _columns(
  number: int, line: str, faults: Faults, wanted: str, count: int
) -> list[str] | None:
  """So many columns, None where there are others.

  DPR writes and reads these files with csv.
  """
  try:
    columns = next(csv.reader([line], delimiter="\t"))
  except csv.Error as error:
    what = f"no columns as csv writes them ({error}), expected {wanted}"
    faults.add(number, "bad CSV", what, "repair the line")
    return None
  if len(columns) != count:
    faults.columns(number, len(columns), wanted)
    return None
  return columns


def _literal(text: str) -> tuple[str, ...] | None:
  """A list of strings in Python's notation, or None."""
  try:
    value = ast.literal_eval(text)
    if not isinstance(value, list) or not value:
      return None
    "".join(value).encode()  # half of a surrogate pair has no bytes
  # The latter two of brackets too deep; TypeError of what is no text.
  except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
    return None
  return tuple(value)


def _queries(
  sources: Mapping[str, Source], on_error: OnError, known: ids.RowOf
) -> dict[str, list[Query]]:
  queries = {}
  for split, path in sources.items():
    if split == "test":
      queries[split] = list(read_test(path, on_error))
      _check_some(path, queries[split])
      continue
    faults = Faults(path, on_error)
    queries[split] = [
      Query(f"{split}{number}", example.question, labels, example.answers)
      for number, example in enumerate(read_examples(path, on_error))
      if (labels := _labels(example, known, faults))
    ]
    faults.log()
    _check_some(path, queries[split])
  return queries


def _check_some(path: Source, queries: Sequence[Query]) -> None:
  """Raises DataError where nothing of a file is left."""
  if not queries:
    raise DataError(
      f"{path}: no question in it can be used; remove the file, or take it as "
      "DPR publishes it"
    )


def _labels(
  example: Example, known: ids.RowOf, faults: Faults
) -> tuple[tuple[str, int], ...]:
  for name in example.positives:
    if name not in known:
      faults.unknown(example.line, "passage", name)
  return tuple((name, 1) for name in example.positives if name in known)


def _negatives(split: str, path: Source, on_error: OnError) -> Found:
  return Found(
    published.fingerprint([path], on_error),
    functools.partial(_pairs, split, path, on_error),
  )


def _pairs(
  split: str,
  path: Source,
  on_error: OnError,
  tables: Tables,
  folder: pathlib.Path,
) -> Iterator[Pairs]:
  del folder  # nothing is unpacked
  queries, passages = ids.load(*tables.queries), ids.load(*tables.passages)
  faults = Faults(path, on_error)
  for number, example in enumerate(read_examples(path, on_error)):
    if not example.negatives:
      continue
    names = np.array([name.encode() for name in example.negatives])
    rows = passages.rows(names)
    for at in np.flatnonzero(rows < 0):
      faults.unknown(example.line, "passage", example.negatives[at])
    query = queries.rows(np.array([f"{split}{number}".encode()]))
    yield np.repeat(query, len(rows)), rows
  faults.log()
