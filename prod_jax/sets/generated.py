"""Training queries that a generator made of passages, which nobody has judged.

  queries.generated.jsonl   a JSON object a line: a query, or several of one
                            passage, and the id of the passage
  qrels.generated.tsv       query id, passage id, where the lines have none

either plain or with `.gz` at the end, beside the files of any set that is read
from a folder. They are queries of split train without a label, behind all
others: that a passage answers its query is the generator's word, and a filter
stage says whether it counts. Keys of an object, as generators write them:

  InPars                query, doc_id
  BEIR and with it GPL  _id, text; the passages stand in a file of their own
  doc2query             id, of the passage, and predicted_queries

and other names for the same, which are those below. A query without an id is
named after its line.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from prod_jax import config, json_files
from prod_jax.sets import files, formats, ids, unlabelled
from prod_jax.sets.datasets import beir, published
from prod_jax.sets.lines import (
  Faults,
  OnError,
  Source,
  half_pair_at,
  read_lines,
)
from prod_jax.sets.records import DataError, Query

SPLIT = "generated"  # as the queries are kept and limited
QRELS = f"qrels.{SPLIT}.tsv"

_TEXTS = (
  "predicted_queries",
  "generated_queries",
  "queries",
  "questions",
  "query",
  "generated_query",
  "question",
  "text",
)
_PASSAGES = (
  "doc_id",
  "docid",
  "docno",
  "pid",
  "passage_id",
  "document_id",
  "corpus_id",
  "corpus-id",
  "doc_ids",
  "pids",
  "passage_ids",
)
_QUERY_IDS = ("_id", "query_id", "query-id", "qid")
# Of an object that holds all queries of a passage, and nothing else has an id.
_IDS_OF_BOTH = ("id", "_id")


class _Made(NamedTuple):
  """Some queries, and the passages that each of them was made of."""

  names: list[str]
  texts: list[str]
  passages: list[str]


def with_file(source: published.Source, data: config.Data) -> published.Source:
  """The set with the generated queries in its folder, where there are any."""
  folder = pathlib.Path(data.path)
  file = files.locate(folder, formats.GENERATED) if data.path else None
  if file is None:
    return source
  labels = files.locate(folder, QRELS)
  both = [file, *([labels] if labels else [])]
  of_files = published.fingerprint(both, data.on_error)
  return dataclasses.replace(
    source,
    configs={
      **source.configs,
      "queries": f"{source.configs['queries']}-{of_files[:8]}",
    },
    queries=functools.partial(_read, source, file, labels, data.on_error),
  )


def parted(
  queries: Mapping[str, Sequence[Query]],
) -> tuple[dict[str, Sequence[Query]], list[tuple[str, ...]]]:
  """The queries, the generated ones as the last of those without labels.

  Returns:
    All of them by split, and ids of the passages that each of the last ones was
    made of.
  """
  rest = {split: of for split, of in queries.items() if split != SPLIT}
  made = queries.get(SPLIT, ())
  if made:
    bare = [Query(query.id, query.text, ()) for query in made]
    rest[unlabelled.SPLIT] = [*rest.get(unlabelled.SPLIT, ()), *bare]
  return rest, [tuple(name for name, _ in q.positives) for q in made]


def _read(
  source: published.Source,
  file: Source,
  labels: Source | None,
  on_error: OnError,
  known: ids.RowOf,
) -> dict[str, Sequence[Query]]:
  queries = dict(source.queries(known))
  train = (*queries.get("train", ()), *queries.get(unlabelled.SPLIT, ()))
  taken = {query.id for query in train}
  made = _of_lines(file, labels is not None, on_error, known)
  if labels is not None:
    made = _with_labels(file, made, labels, on_error, known)
  if not made:
    raise DataError(f"{file}: has no query; remove the file, or fill it")
  if twice := next((query.id for query in made if query.id in taken), None):
    raise DataError(
      f"{file}: query {twice!r} is one of split train too; rename it here"
    )
  return {**queries, SPLIT: made}


def _of_lines(
  file: Source, labelled: bool, on_error: OnError, known: ids.RowOf
) -> list[Query]:
  """The queries of a file with the passages that its lines name.

  Args:
    labelled: another file may name them instead.
  """
  faults, seen, made = Faults(file, on_error), set[str](), list[Query]()
  for number, line in read_lines(file, faults):
    found = _parse(number, line, faults)
    if found is None:
      continue
    unknown = [name for name in found.passages if name not in known]
    if unknown:
      faults.unknown(number, "passage", unknown[0])
      continue
    if not (found.passages or labelled):
      what = f"no passage: none of {', '.join(_PASSAGES[:5])}, …"
      remedy = f"name it, or write a file {QRELS}"
      faults.add(number, "no passage", what, remedy)
      continue
    positives = tuple((name, 1) for name in dict.fromkeys(found.passages))
    for name, text in zip(found.names, found.texts, strict=True):
      if not faults.in_text(number, name, text, seen):
        seen.add(name)
        made.append(Query(name, text, positives))
  faults.log()
  return made


def _with_labels(
  file: Source,
  made: Sequence[Query],
  labels: Source,
  on_error: OnError,
  known: ids.RowOf,
) -> list[Query]:
  """The queries with the passages that a file of judgements names."""
  texts = {query.id: query.text for query in made}
  first = next(read_lines(labels, Faults(labels, "skip")), (1, ""))[1]
  header = beir.HEADER if first == beir.HEADER else ""
  rows = formats.label(texts, file, labels, known, on_error, header=header)
  formats.log_left_out(file, len(texts) - len(rows))
  return rows


def _parse(number: int, line: str, faults: Faults) -> _Made | None:
  """What a line says; None where it is at fault."""
  try:
    return _said(number, json_files.parse(line))
  except _Odd as odd:
    faults.add(number, "bad object", str(odd), "repair the line")
  except ValueError as error:
    faults.add(number, "bad JSON", f"no JSON ({error})", "repair the line")
  return None


class _Odd(ValueError):
  """An object that says nothing of the kind; tells what is missing or wrong."""


def _said(number: int, record: Any) -> _Made:
  if not isinstance(record, Mapping):
    raise _Odd("no JSON object")
  found = _first(record, _TEXTS)
  if found is None:
    raise _Odd(f"no query: none of {', '.join(_TEXTS)}")
  several = isinstance(found, list)
  texts = [*_strings(found, "query")]
  passages, own = _first(record, _PASSAGES), _first(record, _QUERY_IDS)
  if several and passages is None:
    # The only id there is, is the passage's.
    passages, own = _first(record, _IDS_OF_BOTH), None
  name = next(_strings(own, "query id"), "") or f"{SPLIT}-{number}"
  names = [f"{name}-{n}" for n in range(1, len(texts) + 1)]
  return _Made(
    names=names if several else [name],
    texts=texts,
    passages=[*_strings(passages, "passage id")],
  )


def _first(record: Mapping[str, Any], keys: Sequence[str]) -> Any:
  """The first of some keys that an object has, None where it has none."""
  return next((record[k] for k in keys if record.get(k) is not None), None)


def _strings(value: Any, what: str) -> Iterator[str]:
  """One or several strings; a number is the string of it.

  Raises:
    _Odd: it is something else.
  """
  values = value if isinstance(value, list) else [value]
  for one in values if value is not None else ():
    if isinstance(one, bool) or not isinstance(one, str | int):
      raise _Odd(f"{what} {one!r} is no string")
    if half_pair_at(str(one)) is not None:
      raise _Odd(f"{what} has half of a surrogate pair")
    yield str(one).strip()
