"""A foreign file as rows of queries and passages, read in parallel.

Texts are held of a block of lines at a time. What is kept is 13 bytes a pair.
"""

import collections
import contextlib
import functools
import itertools
import math
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from prod_jax import json_files
from prod_jax.sets import lines, parallel
from prod_jax.sets.foreign import names, records
from prod_jax.sets.foreign.layout import Layout
from prod_jax.sets.foreign.records import Ref, Said
from prod_jax.sets.records import DataError

_BLOCK_LINES = {"run": 500_000, "tsv": 500_000, "json": 5000}
_BATCH_ROWS = 5000  # of a parquet file
_EXAMPLES = 3

QUERIES, PASSAGES = "queries", "passages"
DIFFER = "differ"  # ids that stand beside the text of another one


class Pairs(NamedTuple):
  """What a file says of queries and passages that the set has, in its order.

  Attributes:
    query: int32 [N], number of the query in its split.
    passage: int32 [N], row of the collection.
    score: float32 [N], NaN where there is none.
    role: int8 [N], of `records`.
  """

  query: np.ndarray
  passage: np.ndarray
  score: np.ndarray
  role: np.ndarray


class Found(NamedTuple):
  """All of a file.

  Attributes:
    pairs: that are known.
    unknown: how many pairs name a query, or a passage, that is not in the set;
      and how many have an id beside the text of another one, by DIFFER.
    examples: some of these names, by the same keys.
  """

  pairs: Pairs
  unknown: collections.Counter[str]
  examples: dict[str, list[str]]


class _Named(NamedTuple):
  """What a part of a file says, as columns; names are ids, or `Ref`."""

  query: list[Any]
  passage: list[Any]
  score: list[float]
  role: list[int]


class _Part(NamedTuple):
  piece: Found
  skipped: collections.Counter[str]


def read(
  layout: Layout, folder: pathlib.Path, on_error: lines.OnError
) -> Found:
  """Reads a file in processes, one a core.

  Args:
    layout: of the file.
    folder: with the tables that `names.save` has written, of QUERIES and
      PASSAGES; a compressed file is unpacked to it.
    on_error: what to do with a line that says nothing of a query and a
      passage. Names that are unknown are counted, always.

  Raises:
    DataError: a line is at fault.
  """
  tasks: Sequence[Any]
  if layout.format == "parquet":
    work = functools.partial(_read_group, layout, folder, on_error)
    tasks = _groups(layout.path)
  else:
    path = lines.plain(layout.path, folder)
    work = functools.partial(_read_block, layout, folder, on_error)
    rows = _BLOCK_LINES[layout.format]
    tasks = lines.blocks_of(path, rows, layout.path)
  try:
    parts = [
      *parallel.in_order(work, tasks, name=f"reading {layout.path.name}")
    ]
  finally:
    lines.remove_unpacked(folder)
  faults = lines.Faults(layout.path, on_error)
  unknown: collections.Counter[str] = collections.Counter()
  examples: dict[str, list[str]] = {QUERIES: [], PASSAGES: [], DIFFER: []}
  for part in parts:
    faults.skipped.update(part.skipped)
    unknown.update(part.piece.unknown)
    for kind, some in part.piece.examples.items():
      examples[kind] = [*dict.fromkeys(examples[kind] + some)][:_EXAMPLES]
  faults.log()
  pairs = [part.piece.pairs for part in parts] or [_pairs([], [], [], [])]
  joined = Pairs(*(np.concatenate(x) for x in zip(*pairs, strict=True)))
  return Found(joined, unknown, examples)


def _read_block(
  layout: Layout,
  folder: pathlib.Path,
  on_error: lines.OnError,
  block: lines.Block,
) -> _Part:
  faults = lines.Faults(layout.path, on_error)
  numbered = lines.read_block(block, faults)
  if layout.format == "json":
    named = _columns(_of_object(numbered, faults))
  else:
    named = _of_columns(layout, numbered, faults)
  return _Part(_matched(named, folder), faults.skipped)


def _of_object(
  numbered: Iterator[tuple[int, str]], faults: lines.Faults
) -> Iterator[Said]:
  for number, line in numbered:
    try:
      record = json_files.parse(line)
    except ValueError as error:
      faults.add(number, "bad JSON", f"no JSON ({error})", "repair the line")
      continue
    yield from _of_record(number, record, faults)


def _of_record(
  number: int, record: Any, faults: lines.Faults
) -> Sequence[Said]:
  try:
    return records.said(record)
  except records.Odd as odd:
    faults.add(number, "bad object", str(odd), "repair the line")
    return []


def _of_columns(
  layout: Layout, numbered: Iterator[tuple[int, str]], faults: lines.Faults
) -> _Named:
  # Such files have tens of millions of lines: no object is made for one.
  named = _Named([], [], [], [])
  query, passage, score = layout.columns
  for number, line in numbered:
    if number == layout.header:
      continue
    columns = line.split()
    if len(columns) != layout.width:
      width = layout.width
      faults.columns(number, len(columns), f"{width}", usual=width)
      continue
    value = math.nan
    if score is not None:
      try:
        value = records.number(float(columns[score]))
      except ValueError:
        what = f"score {columns[score]!r} is not a number"
        faults.add(number, "bad score", what, "correct it")
        continue
    named.query.append(columns[query])
    named.passage.append(columns[passage])
    named.score.append(value)
  named.role.extend([records.NEITHER] * len(named.query))
  return named


def _groups(path: pathlib.Path) -> list[tuple[int, int]]:
  """(number, first row from 1) of each row group of a parquet file."""
  with _open(path) as file:
    sizes = [
      file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)
    ]
  starts = itertools.accumulate(sizes, initial=1)
  return [*enumerate(itertools.islice(starts, len(sizes)))]


def _read_group(
  layout: Layout,
  folder: pathlib.Path,
  on_error: lines.OnError,
  numbered: tuple[int, int],
) -> _Part:
  faults = lines.Faults(layout.path, on_error)
  number, row = numbered
  parts = []
  with _open(layout.path) as file:
    for rows in _rows_of(file, layout.path, number):
      said = itertools.chain.from_iterable(
        _of_record(row + i, record, faults) for i, record in enumerate(rows)
      )
      parts.append(_matched(_columns(said), folder))
      row += len(rows)
  unknown = sum((part.unknown for part in parts), collections.Counter())
  examples = {
    kind: [name for part in parts for name in part.examples[kind]][:_EXAMPLES]
    for kind in (QUERIES, PASSAGES, DIFFER)
  }
  pairs = [part.pairs for part in parts] or [_pairs([], [], [], [])]
  joined = Pairs(*(np.concatenate(x) for x in zip(*pairs, strict=True)))
  return _Part(Found(joined, unknown, examples), faults.skipped)


def _open(path: pathlib.Path) -> Any:
  # Imported here: only who has such a file waits for it.
  import pyarrow.parquet

  with _readable(path):
    return pyarrow.parquet.ParquetFile(path)


def _rows_of(
  file: Any, path: pathlib.Path, number: int
) -> Iterator[list[dict[str, Any]]]:
  """The rows of a row group, some at a time."""
  with _readable(path):
    for batch in file.iter_batches(_BATCH_ROWS, row_groups=[number]):
      yield batch.to_pylist()


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[None]:
  """Raises DataError where a file turns out to be no parquet."""
  import pyarrow

  try:
    yield
  except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
    raise DataError(
      f"{path}: cannot be read as parquet ({error}); write it again"
    ) from error


def _columns(said: Iterable[Said]) -> _Named:
  named = _Named([], [], [], [])
  columns: tuple[list[Any], ...] = named
  for one in said:
    for column, value in zip(columns, one, strict=True):
      column.append(value)
  return named


def _matched(named: _Named, folder: pathlib.Path) -> Found:
  """What of it is known, and what is not."""
  unknown: collections.Counter[str] = collections.Counter()
  examples: dict[str, list[str]] = {DIFFER: []}
  rows = {}
  for kind, refs in ((QUERIES, named.query), (PASSAGES, named.passage)):
    # A query stands in many pairs, and is looked up once.
    once = [*dict.fromkeys(refs)]
    number = {ref: i for i, ref in enumerate(once)}
    table = names.load(folder, kind)
    ids = bool(once) and isinstance(once[0], str)
    of_once = table.rows_of_ids(once) if ids else table.rows(once)
    at = np.array([number[ref] for ref in refs], np.int64)
    rows[kind] = found = of_once[at]
    if not ids:
      differ = table.differ(once, of_once)
      unknown[DIFFER] += int(differ[at].sum())
      others = [once[i].id for i in np.flatnonzero(differ)]
      examples[DIFFER] = (examples[DIFFER] + others)[:_EXAMPLES]
    unknown[kind] = int((found < 0).sum())
    lost = itertools.islice(np.flatnonzero(of_once < 0), _EXAMPLES)
    examples[kind] = [_shown(once[i]) for i in lost]
  there = (rows[QUERIES] >= 0) & (rows[PASSAGES] >= 0)
  pairs = _pairs(rows[QUERIES], rows[PASSAGES], named.score, named.role)
  return Found(Pairs(*(x[there] for x in pairs)), unknown, examples)


def _pairs(query: Any, passage: Any, score: Any, role: Any) -> Pairs:
  return Pairs(
    np.array(query, np.int32),
    np.array(passage, np.int32),
    np.array(score, np.float32),
    np.array(role, np.int8),
  )


def _shown(ref: Ref | str) -> str:
  if isinstance(ref, str):
    return ref
  return ref.id or f"“{ref.text[:40]}”"
