"""Folders in BEIR's form."""

import gzip
import json
import pathlib

from tests.bad_inputs import made
from tests.bad_inputs.row import SKIPPED, Line, Row

_SKIP = "--config.data.on_error=skip"
CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels/train.tsv"


def _set(files: made.Files, *more: str, variant: str = "") -> Line:
  """The good set with other files."""

  def line(folder: pathlib.Path) -> list[str]:
    path = made.write(folder / "set", made.BEIR | files)
    data = ["--config.data.name=beir", f"--config.data.path={path}"]
    word = "run" if "run" in more else "prepare"
    words = [word for word in more if word != "run"]
    return made.line(folder, *data, *words, variant=variant, word=word)

  return line


def _line(text: str, *more: str) -> Line:
  """A seventh line of the corpus."""
  return _set({CORPUS: f"{made.BEIR[CORPUS]}{text}\n"}, *more)


def _labels(content: made.Content, *more: str) -> Line:
  return _set({QRELS: content}, *more)


_SEVENTH = f"{CORPUS}:7"
_ONE = '{"_id": "q1", "text": "tea"}\n'
ROWS = [
  Row("no corpus", _set({CORPUS: None}), (CORPUS,)),
  Row("no queries", _set({QUERIES: None}), (QUERIES,)),
  Row(
    "no qrels",
    _set({QRELS: None, "qrels/test.tsv": None}),
    ("qrels", "train.tsv"),
  ),
  Row(
    "a set in MS MARCO's layout",
    _set({name: None for name in made.BEIR} | dict(made.LAYOUT)),
    ("it has collection.tsv, which config.data.name=folder reads",),
  ),
  Row(
    "qrels of splits by other names",
    _set(
      {
        "qrels/train.tsv": None,
        "qrels/test.tsv": None,
        "qrels/validation.tsv": "",
      }
    ),
    ("qrels/validation.tsv is not read, name it qrels/dev.tsv",),
  ),
  Row(
    "a file as folder of qrels",
    _set({QRELS: None, "qrels/test.tsv": None, "qrels": "x"}),
    ("qrels",),
  ),
  Row("a folder as corpus", _set({CORPUS: made.folder}), (CORPUS,)),
  Row("an empty corpus", _set({CORPUS: ""}), (CORPUS, "no passage")),
  Row(
    "a corpus that is one JSON list",
    _set({CORPUS: '[\n{"_id": "d1", "text": "tea"},\n]\n'}),
    (f"{CORPUS}:1",),
  ),
  Row(
    "a corpus that is one JSON list on one line",
    _set({CORPUS: '[{"_id": "d1", "text": "tea"}]\n'}),
    (f"{CORPUS}:1", "no object"),
  ),
  Row("a trailing comma", _line('{"_id": "d9", "text": "a",}'), (_SEVENTH,)),
  Row("a comma behind the object", _line('{"_id": "d9"},'), (_SEVENTH,)),
  Row("half an object", _line('{"_id": "d9", "text": "te'), (_SEVENTH,)),
  Row("single quotes", _line("{'_id': 'd9', 'text': 'a'}"), (_SEVENTH,)),
  Row("two objects on a line", _line("{} {}"), (_SEVENTH, "no JSON")),
  Row("a number for an object", _line("17"), (_SEVENTH, "no object")),
  Row("no id", _line('{"text": "tea"}'), (_SEVENTH, "_id")),
  Row("id for _id", _line('{"id": "d9", "text": "tea"}'), (_SEVENTH, "_id")),
  Row("no text", _line('{"_id": "d9"}'), (_SEVENTH, "text")),
  Row("an id that is a float", _line('{"_id": 9.0, "text": "a"}'), (_SEVENTH,)),
  Row("an id that is true", _line('{"_id": true, "text": "a"}'), (_SEVENTH,)),
  Row("an id that is null", _line('{"_id": null, "text": "a"}'), (_SEVENTH,)),
  Row(
    "a text that is a list", _line('{"_id": "d9", "text": ["a"]}'), (_SEVENTH,)
  ),
  Row(
    "a text that is an object",
    _line('{"_id": "d9", "text": {"en": "a"}}'),
    (_SEVENTH,),
  ),
  Row(
    "a title that is a number",
    _line('{"_id": "d9", "title": 3, "text": "a"}'),
    (_SEVENTH, "title"),
  ),
  Row(
    "neither title nor text",
    _line('{"_id": "d9", "title": "", "text": " "}'),
    (_SEVENTH, "d9 has no text"),
  ),
  Row(
    "neither title nor text, skipped",
    _line('{"_id": "d9", "title": "", "text": " "}', _SKIP),
    ("skipped 1 lines: 1 empty text",),
    SKIPPED,
  ),
  Row(
    "half of a surrogate pair",
    _line('{"_id": "d9", "text": "\\ud800"}'),
    (_SEVENTH, "surrogate"),
  ),
  Row(
    "half of a surrogate pair in an id",
    _line('{"_id": "\\ud800", "text": "a"}'),
    (_SEVENTH, "surrogate"),
  ),
  Row(
    "an id of an escaped NUL character",
    _line('{"_id": "d9\\u0000", "text": "tea"}'),
    (_SEVENTH, "NUL"),
  ),
  Row("brackets 100,000 deep", _line("[" * 100_000), (_SEVENTH, "no JSON")),
  Row(
    "a number of 10,000 digits",
    _line('{"_id": ' + "9" * 10_000 + ', "text": "a"}'),
    (_SEVENTH,),
  ),
  Row(
    "an id of 100,000 letters",
    _line(json.dumps({"_id": "d" * 100_000, "text": "tea"})),
    (_SEVENTH,),
  ),
  Row(
    "an id with a line break",
    _line('{"_id": "d\\n9", "text": "a"}'),
    (_SEVENTH, "white space"),
  ),
  Row(
    "a passage twice",
    _line('{"_id": "d1", "text": "tea"}'),
    (_SEVENTH, "d1 occurs again"),
  ),
  Row(
    "a corpus in UTF-16",
    _set({CORPUS: str(made.BEIR[CORPUS]).encode("utf-16")}),
    (f"{CORPUS}:1", "not UTF-8"),
  ),
  Row(
    "gzip under a plain name",
    _set({CORPUS: gzip.compress(str(made.BEIR[CORPUS]).encode())}),
    (CORPUS, "compressed"),
  ),
  Row(
    "a query without text",
    _set({QUERIES: _ONE + '{"_id": "q2", "text": null}\n'}),
    (f"{QUERIES}:2", "q2 has no text"),
  ),
  Row(
    "a query twice",
    _set({QUERIES: _ONE + _ONE}),
    (f"{QUERIES}:2", "q1 occurs again"),
  ),
  Row("empty queries", _set({QUERIES: ""}), (QUERIES, "no query")),
  Row("empty qrels", _labels(""), (f"{QRELS}:1", "header")),
  Row(
    "qrels that are a header alone",
    _labels(made.HEADER),
    ("train.tsv", "grade"),
  ),
  Row(
    "qrels without a header",
    _labels("q1\td1\t1\n"),
    (f"{QRELS}:1", "header", "query-id"),
  ),
  Row(
    "qrels of TREC's form",
    _labels("q1 0 d1 1\n"),
    (f"{QRELS}:1", "header"),
  ),
  Row(
    "qrels with commas",
    _labels("query-id,corpus-id,score\nq1,d1,1\n"),
    (f"{QRELS}:1", "header"),
  ),
  Row(
    "qrels of four columns",
    _labels(f"{made.HEADER}q1\t0\td1\t1\n"),
    (f"{QRELS}:2", "4 columns"),
  ),
  Row(
    "a grade that is a float",
    _labels(f"{made.HEADER}q1\td1\t0.5\n"),
    (f"{QRELS}:2", "grade '0.5'"),
  ),
  Row(
    "a grade that is NaN",
    _labels(f"{made.HEADER}q1\td1\tnan\n"),
    (f"{QRELS}:2", "grade 'nan'"),
  ),
  Row(
    "a grade beyond 32 bits",
    _labels(f"{made.HEADER}q1\td1\t4294967297\n"),
    (f"{QRELS}:2", "grade '4294967297'"),
  ),
  Row(
    "an unknown passage",
    _labels(f"{made.HEADER}q1\td77\t1\n"),
    (f"{QRELS}:2", "d77"),
  ),
  Row(
    "an unknown query",
    _labels(f"{made.HEADER}q77\td1\t1\n"),
    (f"{QRELS}:2", "q77"),
  ),
  Row(
    "an unknown query, skipped",
    _labels(f"{made.HEADER}q77\td1\t1\nq1\td1\t1\n", _SKIP),
    ("skipped 1 lines: 1 unknown query",),
    SKIPPED,
  ),
  Row(
    "test labels alone, for an experiment that trains",
    _set({QRELS: None}, "run"),
    ("'train'", "test"),
  ),
  Row(
    "a set in the other layout",
    lambda folder: made.line(folder, "--config.data.name=beir", word="prepare"),
    (CORPUS,),
  ),
  Row(
    "a set of BEIR's form, read as a folder",
    _set({}, "--config.data.name=folder"),
    ("collection.tsv",),
  ),
]
