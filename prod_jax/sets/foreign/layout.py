"""Which format a file of scores or lists has, and where its columns are.

Most of the first lines say it, whatever the file is called; a parquet file is
known by its first bytes.
"""

import codecs
import collections
import gzip
import itertools
import pathlib
import re
import zlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

from absl import logging

from prod_jax import json_files
from prod_jax.sets import formats, lines
from prod_jax.sets.foreign import records
from prod_jax.sets.records import DataError

Format = Literal["run", "tsv", "json", "parquet"]

_PARQUET, _GZIP = b"PAR1", b"\x1f\x8b"
_FIRST_BYTES = 4096  # in which what is no text has a zero
_UTF16 = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE  # which is told elsewhere
# Columns of query id, passage id and score, by how many there are.
_TSV = {2: (0, 1, None), 3: (0, 1, 2)}
_RUN_WIDTH = 6
_RUN = (0, 2, 4)  # of query id, Q0, passage id, rank, score, tag
_TAKEN = (
  "a TREC run (6 columns), lines of query id, passage id and score (2 or 3 "
  "columns), JSON lines, or parquet"
)
_FIRST = 100  # lines that are looked at
_JSON = _OBJECT, _LIST = "{", "["
_KNOWN = (*_JSON, *map(str, (*_TSV, _RUN_WIDTH)))


class Layout(NamedTuple):
  """How a file is read.

  Attributes:
    path: of the file.
    format: that it has.
    width: columns of a line of "run" and "tsv".
    columns: of query id, passage id and score, which may be None.
    header: number of the line of "tsv" that names the columns, 0 for none.
    texts: queries or passages may be given by their text.
  """

  path: pathlib.Path
  format: Format
  width: int = 0
  columns: tuple[int, int, int | None] = (0, 1, None)
  header: int = 0
  texts: bool = False


def find(path: pathlib.Path, wanted: Format | Literal[""]) -> Layout:
  """Looks at the beginning of a file.

  Args:
    path: of the file.
    wanted: the format that it is said to have, "" where nobody says.

  Raises:
    DataError: it is not there, or in no format that is known, or in another.
  """
  if not path.is_file():
    raise DataError(f"{path}: there is no such file")
  found = _find(path)
  if wanted not in ("", found.format):
    raise DataError(
      f"{path}: looks like format {found.format!r}, not {wanted!r}; leave "
      "format out, or name the right file"
    )
  return found


def _find(path: pathlib.Path) -> Layout:
  with open(path, "rb") as file:
    if file.read(len(_PARQUET)) == _PARQUET:
      return Layout(path, "parquet", texts=True)
  _refuse_binary(path)
  numbered = _first_lines(path, "skip") or _first_lines(path, None)
  first = [line for _, line in numbered]
  if not first:
    raise DataError(f"{path}: is empty; expected {_TAKEN}")
  form = _form(first[0])
  if form not in _JSON:  # an object may go over lines of few words
    form = formats.usual(map(_form, first), _KNOWN) or form
  if form == _OBJECT:
    return Layout(path, "json", texts=_has_texts(first))
  if form == _LIST:
    raise DataError(
      f"{path}:1: a JSON list; expected {_TAKEN}. Write an object a line, as "
      "jq -c '.[]' does"
    )
  width = int(form)
  if width == _RUN_WIDTH:
    return Layout(path, "run", width, _RUN)
  if width not in _TSV:
    raise DataError(f"{path}:1: {width} columns; expected {_TAKEN}")
  # Above the columns' names may be a title, which is a line at fault.
  number, top = next((n, x) for n, x in numbered if _form(x) == form)
  named = records.header(top.split())
  if named is not None:
    return Layout(path, "tsv", width, named, header=number)
  if width == 3 and _are_ranks([x.split() for x in first if _form(x) == form]):
    logging.warning(
      "%s: its third column rises in whole numbers within each query, as ranks "
      "do: these are lists without scores; where they are scores, name the "
      "column score in a first line",
      path,
    )
    return Layout(path, "tsv", width, _TSV[2])
  return Layout(path, "tsv", width, _TSV[width])


def _refuse_binary(path: pathlib.Path) -> None:
  """Raises DataError for what is pickled, and other files that are no text."""
  with open(path, "rb") as file:
    packed = file.read(len(_GZIP)) == _GZIP
  with gzip.open(path) if packed else open(path, "rb") as file:
    try:
      first = file.read(_FIRST_BYTES)
    except (OSError, EOFError, zlib.error):
      return  # whoever reads its lines says that it is damaged
  if b"\0" in first and not first.startswith(_UTF16):
    what = "pickled, which is" if first.startswith(b"\x80") else "no text, and"
    raise DataError(
      f"{path}: {what} not read; write its scores as lines of query id, "
      "passage id and score"
    )


def _are_ranks(rows: Sequence[Sequence[str]]) -> bool:
  """Whether columns are those of MS MARCO's runs: query, passage, rank.

  They may count from 0, and have gaps where passages were taken out. A file of
  scores that rises in whole numbers within each query is none.
  """
  last: dict[str, int] = {}
  lines: collections.Counter[str] = collections.Counter()
  for query, _, said in rows:
    if not re.fullmatch("[0-9]{1,9}", said) or int(said) <= last.get(query, -1):
      return False
    last[query] = int(said)
    lines[query] += 1
  return max(lines.values()) > 2


def _first_lines(
  path: pathlib.Path, on_error: lines.OnError | None
) -> list[tuple[int, str]]:
  numbered = lines.read_lines(path, lines.Faults(path, on_error))
  return [*itertools.islice(numbered, _FIRST)]


def _form(line: str) -> str:
  """What a line looks like: JSON, or a number of columns."""
  begin = line.lstrip()[:1]
  return begin if begin in _JSON else str(len(line.split()))


def _has_texts(first: Sequence[str]) -> bool:
  """Whether a first object speaks of texts; broken ones are found later."""
  for line in first:
    try:
      said = records.said(json_files.parse(line))
    except (ValueError, records.Odd):
      continue
    return any(i.query.text or i.passage.text for i in said)
  return True
