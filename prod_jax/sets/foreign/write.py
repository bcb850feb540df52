"""Candidate lists as files that other trainers read.

JSON lines are FlagEmbedding's, which sentence-transformers loads as columns:
query, pos, neg, pos_scores, neg_scores, with the ids beside the texts. Parquet
has a row a pair. Files are whole or not there.
"""

import json
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from prod_jax import storage
from prod_jax.sets.records import Passage, Query, joined

_ROWS = 100_000  # of parquet that are written at once


class Item(NamedTuple):
  """A passage of a list; a score or a rank that it has not is None."""

  passage: Passage
  label: bool
  score: float | None
  rank: int | None


class List(NamedTuple):
  """A query with its passages."""

  query: Query
  items: list[Item]


def json_lines(
  path: pathlib.Path, lists: Iterable[List], *, title_join: str
) -> int:
  """Writes a line a query, passages as encoders read them; returns how many."""
  count = 0
  with (
    storage.whole_file(path) as part,
    open(part, "w", encoding="utf-8", newline="\n") as file,
  ):
    for query, items in lists:
      line: dict[str, Any] = {"query_id": query.id, "query": query.text}
      has_scores = any(item.score is not None for item in items)
      for side, label in (("pos", True), ("neg", False)):
        own = [item for item in items if item.label == label]
        line[side] = [
          joined(item.passage.title, item.passage.text, title_join)
          for item in own
        ]
        line[f"{side}_id"] = [item.passage.id for item in own]
        if has_scores:
          line[f"{side}_scores"] = [item.score for item in own]
      file.write(json.dumps(line, ensure_ascii=False) + "\n")
      count += 1
  return count


def parquet(path: pathlib.Path, lists: Iterable[List]) -> int:
  """Writes query_id, passage_id, score, rank and label; returns how many."""
  # Imported here: only who writes such a file waits for it.
  import pyarrow
  import pyarrow.parquet

  schema = pyarrow.schema(
    [
      ("query_id", pyarrow.string()),
      ("passage_id", pyarrow.string()),
      ("score", pyarrow.float32()),
      ("rank", pyarrow.int32()),
      ("label", pyarrow.int8()),
    ]
  )
  count = 0
  with (
    storage.whole_file(path) as part,
    pyarrow.parquet.ParquetWriter(str(part), schema) as file,
  ):
    for rows in _tables(lists):
      file.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
      count += len(rows)
  return count


def _tables(lists: Iterable[List]) -> Iterator[list[dict[str, Any]]]:
  rows: list[dict[str, Any]] = []
  for query, items in lists:
    rows += [
      {
        "query_id": query.id,
        "passage_id": item.passage.id,
        "score": item.score,
        "rank": item.rank,
        "label": int(item.label),
      }
      for item in items
    ]
    if len(rows) >= _ROWS:
      yield rows
      rows = []
  if rows:
    yield rows
