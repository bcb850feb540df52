"""The prepared queries of a set by split, all or a fixed choice of them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from absl import logging

from prod_jax.sets.datasets import layout
from prod_jax.sets.passages import smallest_hashes, stream
from prod_jax.sets.records import DataError, Query


def read(
  builder: Any,
  splits: Sequence[str],
  limits: Mapping[str, int],
  known: Collection[str] | None = None,
) -> tuple[dict[str, list[Query]], dict[str, Sequence[int]]]:
  """The queries kept, and their rows among all of their split.

  Args:
    builder: of the prepared queries.
    splits: that there may be, in their order.
    limits: by split, how many of it are kept.
    known: ids of the collection, where labels may name others; None where all
      of them are there.

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
    if known is not None:
      queries[split] = _parted(split, queries[split], known)
    numbers[split] = rows
  return queries, numbers


def _parted(
  split: str, queries: Sequence[Query], known: Collection[str]
) -> list[Query]:
  """The queries, with the positives that the collection lacks by themselves."""
  parted = []
  for query in queries:
    there = [found for found in query.positives if found[0] in known]
    missing = [found for found in query.positives if found[0] not in known]
    parted.append(
      query._replace(positives=tuple(there), missing=tuple(missing))
    )
  lacking = [query for query in parted if query.missing]
  if lacking:
    logging.warning(
      "split %s: %d positives of %d queries are not in the collection; they "
      "count as missed, which for %d queries is all there is",
      split,
      sum(len(query.missing) for query in lacking),
      len(lacking),
      sum(not query.positives for query in lacking),
    )
  return parted


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
