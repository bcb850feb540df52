"""The prepared queries of a set by split, all or a fixed choice of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from prod_jax.sets.datasets import layout
from prod_jax.sets.passages import smallest_hashes, stream
from prod_jax.sets.records import DataError, Query


def read(
  builder: Any, splits: Sequence[str], limits: Mapping[str, int]
) -> tuple[dict[str, list[Query]], dict[str, Sequence[int]]]:
  """The queries kept, and their rows among all of their split.

  Args:
    builder: of the prepared queries.
    splits: that there may be, in their order.
    limits: by split, how many of it are kept.

  Raises:
    DataError: a limit is of a split that is not there, or below 1.
  """
  splits = [split for split in splits if split in builder.info.splits]
  for split, most in limits.items():
    if split not in splits or most < 1:
      raise DataError(
        f"max_queries asks for {most} queries of {split!r}; there are the "
        f"splits {', '.join(splits)}, and it takes 1 or more"
      )
  queries: dict[str, list[Query]] = {}
  numbers: dict[str, Sequence[int]] = {}
  for split in splits:
    rows: Sequence[int] = range(builder.info.splits[split].num_examples)
    if split in limits:
      names = layout.read_ids(builder, split).ids
      rows = smallest_hashes(names, rows, limits[split])
    source = builder.as_data_source(split=split)
    queries[split] = [_query(record) for record in stream(source, rows)]
    numbers[split] = rows
  return queries, numbers


def _query(record: Mapping[str, Any]) -> Query:
  positives = record["positives"]
  answers = record.get("answers", ())
  return Query(
    record["id"].decode(),
    record["text"].decode(),
    tuple(
      (name.decode(), int(grade))
      for name, grade in zip(positives["id"], positives["grade"], strict=True)
    ),
    tuple(answer.decode() for answer in answers),
  )
