"""Training queries without labels: from a file of the user's, or by a config.

  queries.unlabelled.tsv      query id TAB text
  queries.unlabelled.jsonl    a JSON object a line: _id, text

either plain or with `.gz` at the end, beside the files of any set that is read
from a folder. They are queries of split train, behind those that have labels:
whatever goes by the rows of that split takes both.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from prod_jax import config
from prod_jax.sets import files, formats, ids
from prod_jax.sets.datasets import beir, published
from prod_jax.sets.lines import Faults, OnError, Source, on_disk, read_lines
from prod_jax.sets.passages import smallest_hashes
from prod_jax.sets.records import DataError, Query

SPLIT = "unlabelled"  # as the queries are kept and limited
_TSV, _JSON = formats.UNLABELLED


def with_file(source: published.Source, data: config.Data) -> published.Source:
  """The set with the queries of the file in its folder, where there is one.

  Raises:
    DataError: there are two.
  """
  folder = pathlib.Path(data.path)
  found = [
    file
    for name in (_TSV, _JSON)
    if data.path and (file := files.locate(folder, name)) is not None
  ]
  if len(found) > 1:
    raise DataError(f"{folder}: has both {_TSV} and {_JSON}; remove one")
  if not found:
    return source
  of_file = published.fingerprint(found, data.on_error)
  return dataclasses.replace(
    source,
    configs={
      **source.configs,
      "queries": f"{source.configs['queries']}-{of_file[:8]}",
    },
    queries=functools.partial(_read, source, found[0], data.on_error),
  )


def merged(
  queries: Mapping[str, Sequence[Query]], labelled: int
) -> dict[str, Sequence[Query]]:
  """The queries by split, those without labels as the last ones of train.

  Args:
    queries: by split; what `SPLIT` has becomes a part of train.
    labelled: above 0, only so many of train keep their labels.

  Raises:
    DataError: there are fewer.
  """
  out = dict(queries)
  more = out.pop(SPLIT, [])
  train = list(out.get("train", []))
  if labelled:
    if not 0 < labelled <= len(train):
      raise DataError(
        f"data.labelled is {labelled}, and there are {len(train)} labelled "
        "queries of split 'train'; it takes 1 up to that"
      )
    names = [query.id.encode() for query in train]
    keep = set(smallest_hashes(names, range(len(train)), labelled))
    train = [
      query if row in keep else Query(query.id, query.text, ())
      for row, query in enumerate(train)
    ]
  if train or more:
    out["train"] = [*train, *more]
  return out


def _read(
  source: published.Source, file: Source, on_error: OnError, known: ids.RowOf
) -> dict[str, Sequence[Query]]:
  queries = dict(source.queries(known))
  taken = {query.id for query in queries.get("train", ())}
  more = []
  for name, text in _texts(file, on_error):
    if name in taken:
      raise DataError(
        f"{file}: query {name!r} is one of split train too; remove it there "
        "or here"
      )
    more.append(Query(name, text, ()))
  if not more:
    raise DataError(f"{file}: has no query; remove the file, or fill it")
  return {**queries, SPLIT: more}


def _texts(file: Source, on_error: OnError) -> Iterator[tuple[str, str]]:
  if on_disk(file).name.startswith(_TSV):
    return formats.read_queries(file, on_error=on_error)
  return _json_texts(file, on_error)


def _json_texts(file: Source, on_error: OnError) -> Iterator[tuple[str, str]]:
  faults, seen = Faults(file, on_error), set[str]()
  for number, line in read_lines(file, faults):
    row = beir.parse_object(number, line, faults)
    if row is None:
      continue
    name, text = row["_id"], row["text"].strip()
    if not faults.in_text(number, name, text, seen):
      seen.add(name)
      yield name, text
  faults.log()
