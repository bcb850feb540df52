"""Readers of the MS MARCO layout: a collection, queries, and qrels.

A folder holds, each plain or with `.gz` at the end of its name,

  collection.tsv       passage id TAB title TAB text, or passage id TAB text
  queries.SPLIT.tsv    query id TAB text
  qrels.SPLIT.tsv      query id, 0, passage id, grade; or query id, passage id

with SPLIT one of train, dev, test. Qrels are divided by any white space, so
that TREC's own files are read too. Files are streamed line by line. A byte
order mark, Windows line ends and wholly empty lines are passed over; anything
else that is odd raises `DataError` with file and line, or is counted.

What is kept on disk after reading, and how, is datasets/.
"""

import codecs
import collections
import gzip
import pathlib
import zlib
from collections.abc import Collection, Iterator
from typing import Literal

from absl import logging

from prod_jax.data.records import DataError, Passage

SPLITS = ("train", "dev", "test")

OnError = Literal["raise", "skip"]


def find_file(folder: pathlib.Path, stem: str) -> pathlib.Path:
  """The file `STEM.tsv` or `STEM.tsv.gz` of a folder.

  Raises:
    DataError: neither is there, or both are.
  """
  names = [f"{stem}.tsv", f"{stem}.tsv.gz"]
  found = [folder / name for name in names if (folder / name).is_file()]
  if not found:
    raise DataError(f"{folder}: expected a file {names[0]} or {names[1]} in it")
  if len(found) > 1:
    raise DataError(f"{folder}: has both {names[0]} and {names[1]}; remove one")
  return found[0]


def find_splits(folder: pathlib.Path) -> list[str]:
  """The splits that have queries or qrels, in the order train, dev, test.

  Raises:
    DataError: there is none.
  """
  found = [
    split
    for split in SPLITS
    if any(folder.glob(f"queries.{split}.tsv*"))
    or any(folder.glob(f"qrels.{split}.tsv*"))
  ]
  if not found:
    raise DataError(
      f"{folder}: expected queries.SPLIT.tsv and qrels.SPLIT.tsv in it, with "
      f"SPLIT among {', '.join(SPLITS)}"
    )
  return found


def read_collection(
  path: pathlib.Path,
  *,
  on_error: OnError = "raise",
  skipped: collections.Counter[str] | None = None,
) -> Iterator[Passage]:
  """Streams the passages of a collection file.

  Args:
    path: of the file.
    on_error: what to do with a line that is no passage.
    skipped: is filled with the number of skipped lines by reason.

  Raises:
    DataError: the file cannot be read, or a line is at fault.
  """
  faults = _Faults(path, on_error, skipped)
  yield from _collection(path, faults)
  faults.log()


def read_passage_ids(
  path: pathlib.Path, *, on_error: OnError = "raise"
) -> list[str]:
  """Ids of what `read_collection` yields; leaves the logging to it."""
  return [row.id for row in _collection(path, _Faults(path, on_error, None))]


def read_queries(
  path: pathlib.Path,
  *,
  on_error: OnError = "raise",
  skipped: collections.Counter[str] | None = None,
) -> Iterator[tuple[str, str]]:
  """Streams (query id, text). Arguments and errors as `read_collection`."""
  faults = _Faults(path, on_error, skipped)
  seen = set()
  for number, line in _lines(path, faults):
    columns = line.split("\t")
    if len(columns) != 2:
      faults.columns(number, len(columns), "query id TAB text")
      continue
    name, text = columns[0], columns[1].strip()
    if faults.in_text(number, name, text, seen):
      continue
    seen.add(name)
    yield name, text
  faults.log()


def read_qrels(
  path: pathlib.Path,
  *,
  queries: Collection[str] | None = None,
  passages: Collection[str] | None = None,
  on_error: OnError = "raise",
  skipped: collections.Counter[str] | None = None,
) -> dict[str, dict[str, int]]:
  """Reads judgements, TREC's too: {query id: {passage id: grade}}.

  Grades are kept as they are, 0 and below included; two columns mean grade 1.

  Args:
    path: of the file.
    queries: the known query ids; None takes any.
    passages: the known passage ids; None takes any.
    on_error: what to do with a line that is no judgement, or is of an unknown
      query or passage.
    skipped: is filled with the number of skipped lines by reason.

  Raises:
    DataError: the file cannot be read, or a line is at fault.
  """
  path = pathlib.Path(path)
  faults = _Faults(path, on_error, skipped)
  qrels: dict[str, dict[str, int]] = {}
  width = None
  for number, line in _lines(path, faults):
    columns = line.split()
    if width is None and len(columns) in (2, 4):
      width = len(columns)
    if len(columns) != width:
      wanted = "query id, 0, passage id, grade (or query id, passage id)"
      faults.columns(number, len(columns), wanted)
      continue
    query, passage = columns[0], columns[1 if width == 2 else 2]
    grade = "1" if width == 2 else columns[3]
    if not grade.removeprefix("-").isdecimal():
      faults.add(
        number,
        "bad grade",
        f"grade {grade!r} is not a whole number",
        "write it as 0, 1, 2, … and remove a header line",
      )
    elif queries is not None and query not in queries:
      faults.unknown(number, "query", query)
    elif passages is not None and passage not in passages:
      faults.unknown(number, "passage", passage)
    elif passage in qrels.get(query, ()):
      faults.duplicate(number, f"{query} {passage}")
    else:
      qrels.setdefault(query, {})[passage] = int(grade)
  faults.log()
  return qrels


class _Faults:
  """Faults in the lines of one file: the first raises, or all are counted."""

  def __init__(
    self,
    path: pathlib.Path,
    on_error: OnError,
    skipped: collections.Counter[str] | None,
  ):
    if on_error not in ("raise", "skip"):
      raise ValueError(f"on_error is {on_error!r}; it takes 'raise' or 'skip'")
    self._path = path
    self._raises = on_error == "raise"
    self._skipped = collections.Counter() if skipped is None else skipped

  def add(self, number: int, reason: str, what: str, remedy: str) -> None:
    if self._raises:
      raise DataError(
        f"{self._path}:{number}: {what}; {remedy}, or let such lines be left "
        "out with on_error='skip'"
      )
    self._skipped[reason] += 1

  def columns(self, number: int, found: int, wanted: str) -> None:
    self.add(
      number,
      "wrong number of columns",
      f"{found} columns, expected {wanted}",
      "take out tabs and line breaks inside a text and any header line",
    )

  def duplicate(self, number: int, name: str) -> None:
    self.add(
      number, "duplicate id", f"{name} occurs again", "keep one of the lines"
    )

  def unknown(self, number: int, kind: str, name: str) -> None:
    home = "queries" if kind == "query" else "collection"
    self.add(
      number,
      f"unknown {kind}",
      f"{kind} {name} is not in the {home} file",
      "add it there or remove this line",
    )

  def in_text(
    self, number: int, name: str, text: str, seen: Collection[str]
  ) -> bool:
    """Whether a line of an id and a text has a fault."""
    if name.split() != [name]:
      what = f"id {name!r} is empty or has white space in it"
      self.add(number, "bad id", what, "rename it")
    elif not text:
      self.add(
        number, "empty text", f"{name} has no text", "give it one or remove it"
      )
    elif name in seen:
      self.duplicate(number, name)
    else:
      return False
    return True

  def log(self) -> None:
    """One line about all that was skipped, if anything was."""
    if self._skipped:
      reasons = ", ".join(f"{n} {r}" for r, n in self._skipped.most_common())
      total = self._skipped.total()
      logging.warning("%s: skipped %d lines: %s", self._path, total, reasons)


def _collection(path: pathlib.Path, faults: _Faults) -> Iterator[Passage]:
  seen = set()
  width = None
  for number, line in _lines(path, faults):
    columns = line.split("\t")
    if width is None and len(columns) in (2, 3):
      width = len(columns)  # one file, one layout: a mix hides lost columns
    if len(columns) != width:
      wanted = (
        "passage id TAB title TAB text (or passage id TAB text) throughout"
      )
      faults.columns(number, len(columns), wanted)
      continue
    name, text = columns[0], columns[-1].strip()
    if faults.in_text(number, name, text, seen):
      continue
    seen.add(name)
    yield Passage(name, columns[1].strip() if width == 3 else "", text)


def _lines(path: pathlib.Path, faults: _Faults) -> Iterator[tuple[int, str]]:
  """Yields (line number from 1, line) of a UTF-8 file, plain or gzipped."""
  opened = gzip.open if path.suffix == ".gz" else open
  try:
    with opened(path, "rb") as file:
      for number, raw in enumerate(file, 1):
        if number == 1:
          raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
          line = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
          what = f"byte {error.start} of the line is not UTF-8"
          faults.add(number, "not UTF-8", what, "convert the file with iconv")
          continue
        if line:
          yield number, line
  except (OSError, EOFError, zlib.error) as error:
    raise DataError(
      f"{path}: cannot be read ({error}); expected a text file in UTF-8"
      + (", compressed by gzip" if path.suffix == ".gz" else "")
    ) from error
