"""Which format a file of scores or lists has, and where its columns are.

The first line says it, whatever the file is called; a parquet file is known by
its first bytes.
"""

import pathlib
from typing import Literal, NamedTuple

from prod_jax import json_files
from prod_jax.sets import lines
from prod_jax.sets.foreign import records
from prod_jax.sets.records import DataError

Format = Literal["run", "tsv", "json", "parquet"]

_PARQUET = b"PAR1"
# Columns of query id, passage id and score, by how many there are.
_TSV = {2: (0, 1, None), 3: (0, 1, 2)}
_RUN = (0, 2, 4)  # of query id, Q0, passage id, rank, score, tag
_TAKEN = (
  "a TREC run (6 columns), lines of query id, passage id and score (2 or 3 "
  "columns), JSON lines, or parquet"
)


class Layout(NamedTuple):
  """How a file is read.

  Attributes:
    path: of the file.
    format: that it has.
    width: columns of a line of "run" and "tsv".
    columns: of query id, passage id and score, which may be None.
    header: the first line of "tsv" names the columns.
    texts: queries or passages may be given by their text.
  """

  path: pathlib.Path
  format: Format
  width: int = 0
  columns: tuple[int, int, int | None] = (0, 1, None)
  header: bool = False
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
  faults = lines.Faults(path, None)
  first = next(lines.read_lines(path, faults), (1, ""))[1]
  if not first:
    raise DataError(f"{path}: is empty; expected {_TAKEN}")
  if first.lstrip().startswith("{"):
    return Layout(path, "json", texts=_has_texts(first))
  if first.lstrip().startswith("["):
    raise DataError(
      f"{path}:1: a JSON list; expected {_TAKEN}. Write an object a line, as "
      "jq -c '.[]' does"
    )
  columns = first.split()
  if len(columns) == 6:
    return Layout(path, "run", 6, _RUN)
  if len(columns) not in _TSV:
    raise DataError(f"{path}:1: {len(columns)} columns; expected {_TAKEN}")
  named = records.header(columns)
  if named is not None:
    return Layout(path, "tsv", len(columns), named, header=True)
  return Layout(path, "tsv", len(columns), _TSV[len(columns)])


def _has_texts(line: str) -> bool:
  """Whether a first object speaks of texts; a broken one is found later."""
  try:
    said = records.said(json_files.parse(line))
  except (ValueError, records.Odd):
    return True
  return any(i.query.text or i.passage.text for i in said)
