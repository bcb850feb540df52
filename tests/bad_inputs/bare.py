"""Queries without labels, generated ones, and negatives of one's own."""

import json
import pathlib

from tests.bad_inputs import made
from tests.bad_inputs.row import SKIPPED, Line, Row

_SKIP = "--config.data.on_error=skip"
TSV, JSON = "queries.unlabelled.tsv", "queries.unlabelled.jsonl"
GENERATED, QRELS = "queries.generated.jsonl", "qrels.generated.tsv"
NEGATIVES, TRIPLES = (
  "negatives.train.tsv",
  "qidpidtriples.train.full.2.tsv",
)


def _set(
  files: made.Files, *more: str, variant: str = "", word: str = "prepare"
) -> Line:
  """The good set with these files beside its own."""

  def line(folder: pathlib.Path) -> list[str]:
    path = made.write(folder / "set", made.LAYOUT | files)
    data = f"--config.data.path={path}"
    return made.line(folder, data, *more, variant=variant, word=word)

  return line


def _generated(*objects: object, skip: bool = False) -> Line:
  lines = [x if isinstance(x, str) else json.dumps(x) for x in objects]
  more = [_SKIP] if skip else []
  return _set({GENERATED: "\n".join(lines) + "\n"}, *more)


def _provided(files: made.Files, *more: str) -> Line:
  """Negatives for a stage that takes them."""
  return _set(files, *more, variant="provided", word="run")


_UNLABELLED = [
  Row(
    "unlabelled: both files",
    _set({TSV: "u1\ttea\n", JSON: '{"_id": "u1", "text": "tea"}\n'}),
    ("has both", TSV, JSON),
  ),
  Row("unlabelled: an empty file", _set({TSV: ""}), (TSV, "no query")),
  Row(
    "unlabelled: one column", _set({TSV: "tea\n"}), (f"{TSV}:1", "1 columns")
  ),
  Row(
    "unlabelled: a query twice",
    _set({TSV: "u1\ta\nu1\tb\n"}),
    (f"{TSV}:2", "u1"),
  ),
  Row(
    "unlabelled: a labelled query",
    _set({TSV: "q1\ttea\n"}),
    (TSV, "'q1'", "train too"),
  ),
  Row(
    "unlabelled: no text",
    _set({JSON: '{"_id": "u1"}\n'}),
    (f"{JSON}:1", "text"),
  ),
  Row(
    "unlabelled: no object",
    _set({JSON: '["u1"]\n'}),
    (f"{JSON}:1", "no object"),
  ),
  Row(
    "unlabelled: no JSON", _set({JSON: "u1\ttea\n"}), (f"{JSON}:1", "no JSON")
  ),
  Row(
    "unlabelled: no JSON, skipped",
    _set({JSON: 'u1\ttea\n{"_id": "u1", "text": "tea"}\n'}, _SKIP),
    ("skipped 1 lines: 1 bad JSON",),
    SKIPPED,
  ),
  Row(
    "unlabelled: queries without labels asked for, of which there are none",
    _set({}, variant="unlabelled", word="run"),
    ("config.stages.mine.queries", "unlabelled"),
  ),
]
_MADE = [
  Row(
    "generated: an empty file", _set({GENERATED: ""}), (GENERATED, "no query")
  ),
  Row("generated: no JSON", _generated("tea"), (f"{GENERATED}:1", "no JSON")),
  Row(
    "generated: no object",
    _generated([1]),
    (f"{GENERATED}:1", "no JSON object"),
  ),
  Row(
    "generated: no query",
    _generated({"doc_id": "d1"}),
    (f"{GENERATED}:1", "no query"),
  ),
  Row(
    "generated: no passage",
    _generated({"query": "a"}),
    (f"{GENERATED}:1", "passage"),
  ),
  Row(
    "generated: an unknown passage",
    _generated({"query": "a", "doc_id": "d77"}),
    (f"{GENERATED}:1", "d77"),
  ),
  Row(
    "generated: an unknown passage, skipped",
    _generated(
      {"query": "a", "doc_id": "d77"},
      {"query": "a", "doc_id": "d1"},
      skip=True,
    ),
    ("skipped 1 lines: 1 unknown passage",),
    SKIPPED,
  ),
  Row(
    "generated: a query that is an object",
    _generated({"query": {"a": 1}, "doc_id": "d1"}),
    (f"{GENERATED}:1", "no string"),
  ),
  Row(
    "generated: a query that is a float",
    _generated({"query": 0.5, "doc_id": "d1"}),
    (f"{GENERATED}:1", "no string"),
  ),
  Row(
    "generated: an empty query",
    _generated({"query": " ", "doc_id": "d1"}),
    (f"{GENERATED}:1", "no text"),
  ),
  Row(
    "generated: an empty list of queries",
    _generated({"id": "d1", "predicted_queries": []}),
    (GENERATED, "no query"),
  ),
  Row(
    "generated: half of a surrogate pair",
    _generated('{"query": "\\ud800", "doc_id": "d1"}'),
    (f"{GENERATED}:1", "surrogate"),
  ),
  Row(
    "generated: an id twice",
    _generated(
      {"qid": "g", "query": "a", "doc_id": "d1"},
      {"qid": "g", "query": "b", "doc_id": "d1"},
    ),
    (f"{GENERATED}:2", "g occurs again"),
  ),
  Row(
    "generated: an id of split train",
    _generated({"qid": "q1", "query": "a", "doc_id": "d1"}),
    (GENERATED, "'q1'"),
  ),
  Row(
    "generated: judgements of unknown queries",
    _set({GENERATED: '{"query": "a"}\n', QRELS: "g9\td1\n"}),
    (f"{QRELS}:1", "g9"),
  ),
]
_NEGATIVES = [
  Row("negatives: none", _provided({}), ("without negatives", NEGATIVES)),
  Row("negatives: an empty file", _provided({NEGATIVES: ""}), ("negative",)),
  Row(
    "negatives: one column",
    _provided({NEGATIVES: "q1\n"}),
    (f"{NEGATIVES}:1", "1 columns"),
  ),
  Row(
    "negatives: an unknown passage",
    _provided({NEGATIVES: "q1\td77\n"}),
    (f"{NEGATIVES}:1", "d77"),
  ),
  Row(
    "negatives: unknown queries alone",
    _provided({NEGATIVES: "q77\td1\n"}),
    ("negative", "'train'"),
  ),
  Row(
    "negatives: labelled passages alone",
    _provided({NEGATIVES: "q1\td1\nq2\td2\n"}),
    ("negative", "'train'"),
  ),
  Row(
    "negatives: triples of two columns",
    _provided({TRIPLES: "q1\td1\n"}),
    (f"{TRIPLES}:1", "2 columns"),
  ),
  Row(
    "negatives: grades asked for of qrels that have none",
    _provided(
      {"qrels.train.tsv": "q1\td1\nq2\td2\n"},
      "--config.stages.lists.grade_0=True",
    ),
    ("qrels.train.tsv", "no grades"),
  ),
  Row(
    "negatives: negatives in latin-1",
    _provided({NEGATIVES: b"q1\td\xe9\n"}),
    (f"{NEGATIVES}:1", "not UTF-8"),
  ),
  Row(
    "negatives: a split that is not there",
    _provided({}, "--config.stages.lists.split=dev"),
    ("'dev'",),
  ),
]
ROWS = [*_UNLABELLED, *_MADE, *_NEGATIVES]
