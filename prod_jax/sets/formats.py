"""Readers of the MS MARCO layout: a collection, queries, and qrels.

A folder holds, each plain or with `.gz` at the end of its name,

  collection.tsv       passage id TAB title TAB text, or passage id TAB text
  queries.SPLIT.tsv    query id TAB text
  qrels.SPLIT.tsv      query id, 0, passage id, grade; or query id, passage id,
                       grade; or query id, passage id

with SPLIT one of train, dev, test, and perhaps

  qidpidtriples.train.full.2.tsv    query id, positive, negative

Qrels are divided by any white space, so that TREC's own files are read too.
Files are streamed line by line; what counts as a line, and what becomes of one
that is at fault, is lines.py.

What is kept on disk after reading, and how, is datasets/.
"""

import collections
import itertools
import pathlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from absl import logging

from prod_jax.sets import files, mistaken
from prod_jax.sets.lines import Faults, OnError, Source, read_lines
from prod_jax.sets.records import DataError, Passage, Query

SPLITS = ("train", "dev", "test")
TRIPLES = "qidpidtriples.train.full.2.tsv"
# What `unlabelled` and `generated` read.
UNLABELLED = ("queries.unlabelled.tsv", "queries.unlabelled.jsonl")
GENERATED = "queries.generated.jsonl"
BARE_QUERIES = (*UNLABELLED, GENERATED)

_OF_SPLIT = ("queries", "qrels")

T = TypeVar("T", int, str)

# Columns of query, passage and grade, by how many there are.
_PLAIN = {2: (0, 1, None), 3: (0, 1, 2), 4: (0, 2, 3)}
_JUDGEMENT = (
  "query id, 0, passage id, grade (or query id, passage id, grade; or query "
  "id, passage id)"
)
_ZEROS = {"0", "Q0"}  # in the second column of TREC's judgements
_HEADED = {3: (0, 1, 2)}
_GRADE = re.compile(r"-?[0-9]{1,9}")  # they are kept as int32
_FIRST = 100  # lines by which a layout is told


def find_file(folder: pathlib.Path, stem: str) -> pathlib.Path:
  """The file `STEM.tsv` or `STEM.tsv.gz` of a folder.

  Raises:
    DataError: neither is there, or both are.
  """
  names = [f"{stem}.tsv", f"{stem}.tsv.gz"]
  found = [folder / name for name in names if (folder / name).is_file()]
  if not found:
    meant = mistaken.packed(folder, names[0]) or mistaken.other_name(
      folder, stem.partition(".")[2]
    )
    raise DataError(
      f"{folder}: expected a file {names[0]} or {names[1]} in it{meant}"
    )
  if len(found) > 1:
    raise DataError(f"{folder}: has both {names[0]} and {names[1]}; remove one")
  return found[0]


def find_splits(folder: pathlib.Path) -> list[str]:
  """The splits that have queries or qrels, in the order train, dev, test.

  Raises:
    DataError: there is none, nor queries without labels.
  """
  found = [
    split
    for split in SPLITS
    if any(_is_there(folder, f"{what}.{split}.tsv") for what in _OF_SPLIT)
  ]
  if not (found or has_bare_queries(folder)):
    raise DataError(
      f"{folder}: expected queries.SPLIT.tsv and qrels.SPLIT.tsv in it, with "
      f"SPLIT among {', '.join(SPLITS)}; or {' or '.join(BARE_QUERIES)}"
      f"{mistaken.other_name(folder, *SPLITS)}"
    )
  return found


def _is_there(folder: pathlib.Path, name: str) -> bool:
  """In a form that is read, or in one that is to be unpacked; no old copy."""
  return bool(files.locate(folder, name) or mistaken.packed(folder, name))


def has_bare_queries(folder: pathlib.Path) -> bool:
  """Whether a folder has queries that need no file of labels."""
  return any(files.locate(folder, name) for name in BARE_QUERIES)


def usual(forms: Iterable[T], known: Collection[T]) -> T | None:
  """What most of a file's first lines are, of what is known; None: none is.

  One file, one layout: a mix would hide lost columns, and the first line of all
  may be the odd one.

  Args:
    forms: of each line, such as its number of columns.
    known: those that there are.
  """
  first = itertools.islice((form for form in forms if form in known), _FIRST)
  counts = collections.Counter(first)
  return counts.most_common(1)[0][0] if counts else None


def passage_width(source: Source) -> int:
  """Columns of most of a collection's first lines that have 2 or 3, or 0."""
  lines = read_lines(source, Faults(source, "skip"))
  return usual((line.count("\t") + 1 for _, line in lines), (2, 3)) or 0


def parse_passage(
  number: int, line: str, faults: Faults, *, width: int
) -> Passage | None:
  """A line of a collection of so many columns; None where it is at fault."""
  columns = line.split("\t")
  if len(columns) != width:
    wanted = "passage id TAB title TAB text (or passage id TAB text) throughout"
    faults.columns(number, len(columns), wanted, usual=width)
    return None
  name, text = columns[0], columns[-1].strip()
  if number == 1 and faults.header(name, text):
    return None
  if faults.in_text(number, name, text):
    return None
  return Passage(name, columns[1].strip() if width == 3 else "", text)


def read_queries(
  source: Source,
  *,
  on_error: OnError = "raise",
) -> Iterator[tuple[str, str]]:
  """Streams (query id, text).

  Args:
    source: the file.
    on_error: what to do with a line that is no query.

  Raises:
    DataError: the file cannot be read, or a line is at fault.
  """
  faults = Faults(source, on_error)
  seen: set[str] = set()
  for number, line in read_lines(source, faults):
    columns = line.split("\t")
    if len(columns) != 2:
      faults.columns(number, len(columns), "query id TAB text")
      continue
    name, text = columns[0], columns[1].strip()
    if number == 1 and faults.header(name, text):
      continue
    if faults.in_text(number, name, text, seen):
      continue
    seen.add(name)
    yield name, text
  faults.log()


def _layouts(
  first: Sequence[Sequence[str]],
) -> dict[int, tuple[int, int, int | None]]:
  """Columns of judgements by how many there are, for lines like the first ones.

  Three are no judgement where all have the zero and lack the grade.
  """
  seconds = {columns[1] for columns in first if len(columns) == 3}
  lacks = bool(seconds) and seconds <= _ZEROS
  return {n: at for n, at in _PLAIN.items() if n != 3 or not lacks}


def read_qrels(
  source: Source,
  *,
  queries: Collection[str] | None = None,
  passages: Collection[str] | None = None,
  header: str = "",
  on_error: OnError = "raise",
  missed: bool = False,
) -> dict[str, dict[str, int]]:
  """Reads judgements, TREC's too: {query id: {passage id: grade}}.

  Grades are kept as they are, 0 and below included; two columns mean grade 1.

  Args:
    source: the file.
    queries: the known query ids; None takes any.
    passages: the known passage ids; None takes any.
    header: of a file that begins with one, and then has three columns.
    on_error: what to do with a line that is no judgement, or is of an unknown
      query or passage.
    missed: with "skip" a passage of grade > 0 stays though it is unknown.

  Raises:
    DataError: the file cannot be read, or a line is at fault.
  """
  faults = Faults(source, on_error)
  numbered = read_lines(source, faults)
  if header:
    check_header(source, next(numbered, (1, ""))[1], header)
  qrels: dict[str, dict[str, int]] = {}
  keeps = missed and on_error == "skip"
  first = [*itertools.islice(numbered, _FIRST)]
  layouts = _HEADED if header else _layouts([line.split() for _, line in first])
  width = usual((len(line.split()) for _, line in first), layouts) or 0
  for number, line in itertools.chain(first, numbered):
    columns = line.split()
    if len(columns) != width or not columns:
      faults.columns(number, len(columns), header or _JUDGEMENT, usual=width)
      continue
    query, passage, grade = (
      "1" if at is None else columns[at] for at in layouts[width]
    )
    unknown = passages is not None and passage not in passages
    if not _GRADE.fullmatch(grade):
      faults.add(
        number,
        "bad grade",
        f"grade {grade[:40]!r} is not a whole number of 9 digits at most",
        "write it as 0, 1, 2, … and remove a header line",
      )
    elif queries is not None and query not in queries:
      faults.unknown(number, "query", query)
    elif unknown and not (keeps and int(grade) > 0):
      faults.unknown(number, "passage", passage)
    elif passage in qrels.get(query, ()):
      faults.duplicate(number, f"{query} {passage}")
    else:
      qrels.setdefault(query, {})[passage] = int(grade)
  faults.log()
  return qrels


def check_header(source: Source, line: str, header: str) -> None:
  """Raises DataError unless a file's first line is its header."""
  if line != header:
    raise DataError(
      f"{source}:1: begins with {line[:40]!r}, expected the header {header!r}"
    )


def read_splits(
  files: Mapping[str, tuple[Source, Source]],
  on_error: OnError,
  passages: Collection[str],
) -> dict[str, list[Query]]:
  """Reads files of queries and of judgements, by split, as `read_labelled`."""
  return {
    split: read_labelled(
      queries, labels, passages, on_error, missed=split != "train"
    )
    for split, (queries, labels) in files.items()
  }


def read_labelled(
  queries: Source,
  labels: Source,
  passages: Collection[str],
  on_error: OnError = "raise",
  *,
  missed: bool = False,
) -> list[Query]:
  """Reads queries that have a passage of grade > 0, in order of their file.

  Args:
    queries, labels: the files.
    passages: the known passage ids.
    on_error: as in `read_queries` and `read_qrels`.
    missed: as in `read_qrels`: what is looked for and cannot be found counts
      in a mean, and nobody learns from it.

  Raises:
    DataError: a file is at fault, or there is no such query.
  """
  texts = dict(read_queries(queries, on_error=on_error))
  rows = label(texts, queries, labels, passages, on_error, missed=missed)
  log_left_out(queries, len(texts) - len(rows))
  return rows


def log_left_out(queries: Source, count: int) -> None:
  """Says how many queries of a file nobody will see, if any."""
  if count:
    logging.info("%s: left out %d queries without a positive", queries, count)


def label(
  texts: Mapping[str, str],
  queries: Source,
  labels: Source,
  passages: Collection[str],
  on_error: OnError = "raise",
  *,
  header: str = "",
  missed: bool = False,
) -> list[Query]:
  """The same where the queries' texts, by id, have been read already.

  They may be those of several splits; nothing is logged of those without one.
  """
  if not texts:
    raise DataError(
      f"{queries}: there is no query in it; fill it, or remove it and its "
      f"{labels.name}"
    )
  qrels = read_qrels(
    labels,
    queries=texts,
    passages=passages,
    on_error=on_error,
    header=header,
    missed=missed,
  )
  rows = []
  for name, text in texts.items():
    judged = qrels.get(name, {}).items()
    positives = tuple(
      (passage, grade) for passage, grade in judged if grade > 0
    )
    if positives:
      rows.append(Query(name, text, positives))
  if not rows:
    raise DataError(
      f"{queries}: none of its {len(texts)} queries has a passage of grade > 0 "
      f"in {labels.name}; remove both files or label some"
    )
  return rows
