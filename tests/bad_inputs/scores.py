"""Score files and lists of a stage `imported`."""

import gzip
import io
import json
import pathlib

import pyarrow
import pyarrow.parquet

from tests.bad_inputs import made
from tests.bad_inputs.row import SKIPPED, Line, Row

_SKIP = "--config.data.on_error=skip"
_KEY = "config.stages.lists"


def _file(
  content: made.Content, *more: str, name: str = "mine.x", change: str = "pass"
) -> Line:
  """A file that a stage imports."""

  def line(folder: pathlib.Path) -> list[str]:
    made.write(folder, {name: content})
    path = f"--config.stages.lists.path={folder / name}"
    return made.line(folder, path, *more, variant="imported", change=change)

  return line


def _object(**said: object) -> str:
  return json.dumps(said) + "\n"


def _parquet(**columns: list) -> bytes:
  file = io.BytesIO()
  pyarrow.parquet.write_table(pyarrow.table(columns), file)
  return file.getvalue()


_TSV = "q1\td1\t3.0\nq1\td3\t1.0\nq2\td2\t2.0\nq2\td4\t1.0\n"
_FILES = [
  Row(
    "no path",
    lambda folder: made.line(folder, variant="imported"),
    (f"{_KEY}.path is not set",),
  ),
  Row("a file that is not there", _file(None), ("mine.x", "no such file")),
  Row("a folder", _file(made.folder), ("mine.x", "no such file")),
  Row("a link to itself", _file(made.loop), ("mine.x", "no such file")),
  Row("an empty file", _file(""), ("mine.x", "is empty")),
  Row("a file of empty lines", _file("\n\n"), ("mine.x", "is empty")),
  Row(
    "a header alone",
    _file("query_id\tpassage_id\tscore\n"),
    ("mine.x", "it is empty"),
  ),
  Row("a JSON list", _file("[]"), ("mine.x:1", "JSON list", "jq")),
  Row("one column", _file("q1\n"), ("mine.x:1", "1 columns")),
  Row("seven columns", _file("a b c d e f g\n"), ("mine.x:1", "7 columns")),
  Row("commas", _file("q1,d1,3.0\n"), ("mine.x:1", "1 columns")),
  Row(
    "gzip under a plain name",
    _file(gzip.compress(_TSV.encode())),
    ("mine.x", "compressed"),
  ),
  Row(
    "a plain file under the name of gzip",
    _file(_TSV, name="mine.gz"),
    ("mine.gz", "gzip"),
  ),
  Row("UTF-16", _file(_TSV.encode("utf-16")), ("mine.x:1", "not UTF-8")),
  Row("a NumPy array", _file(b"\x93NUMPY\x01\x00v"), ("mine.x", "no text")),
  Row(
    "pickled scores",
    _file(b"\x80\x04\x95\x1b\x00\x00\x00\x00\x00\x00\x00}."),
    ("mine.x", "pickled", "write its scores as lines"),
  ),
  Row(
    "another format than is said",
    _file(_TSV, "--config.stages.lists.format=run"),
    ("mine.x", "'tsv', not 'run'"),
  ),
  Row(
    "a format that nobody knows",
    _file(_TSV, "--config.stages.lists.format=csv"),
    (f"{_KEY}.format is 'csv'",),
  ),
]
_LINES = [
  Row(
    "lines: a line with a column too few",
    _file(_TSV + "q1\td5\n"),
    ("mine.x:5", "2 columns"),
  ),
  Row(
    "lines: the first one has a column too few",
    _file("q1\td5\n" + _TSV),
    ("mine.x:1", "2 columns", "most of the first lines have 3"),
  ),
  Row(
    "lines: a title stands above them",
    _file("scores of my teacher\n" + _TSV),
    ("mine.x:1", "4 columns", "most of the first lines have 3"),
  ),
  Row(
    "lines: a line with a column too few, skipped",
    _file(_TSV + "q1\td5\n", _SKIP),
    ("skipped 1 lines: 1 wrong number of columns",),
    SKIPPED,
  ),
  Row(
    "lines: a score that is a word",
    _file(_TSV + "q1\td5\tx\n"),
    ("mine.x:5", "'x'"),
  ),
  Row(
    "lines: a score that is NaN",
    _file(_TSV + "q1\td5\tnan\n"),
    ("mine.x:5", "nan"),
  ),
  Row(
    "lines: a score that is infinite",
    _file(_TSV + "q1\td5\t-inf\n"),
    ("mine.x:5",),
  ),
  Row(
    "lines: a score of 1e999", _file(_TSV + "q1\td5\t1e999\n"), ("mine.x:5",)
  ),
  Row(
    "lines: a score beyond 32 bits",
    _file(_TSV + "q1\td5\t1e300\n"),
    ("mine.x:5",),
  ),
  Row(
    "lines: a score with a comma",
    _file(_TSV + "q1\td5\t1,5\n"),
    ("mine.x:5", "'1,5'"),
  ),
  Row(
    "lines: an id with a space",
    _file(_TSV + "q 1\td5\t1.0\n"),
    ("mine.x:5", "4 columns"),
  ),
  Row(
    "lines: a line in latin-1",
    _file(_TSV.encode() + b"\xe9\td\t1\n"),
    ("mine.x:5",),
  ),
  Row(
    "lines: a run of five columns",
    _file("q1 Q0 d1 1 3.0 me\nq1 Q0 d3 2 me\n"),
    ("mine.x:2", "5 columns"),
  ),
  Row(
    "lines: unknown queries alone",
    _file("x1\td1\t1.0\n"),
    ("mine.x", "nothing in it is of split 'train'", "unknown queries", "x1"),
  ),
  Row(
    "lines: unknown passages alone",
    _file("q1\tx1\t1.0\n"),
    ("mine.x", "unknown passages", "x1"),
  ),
  Row(
    "lines: some unknown names",
    _file(_TSV + "q9\td1\t1.0\nq1\td99\t1.0\n"),
    ("1 pairs name unknown queries, such as q9",),
    SKIPPED,
  ),
  Row(
    "lines: a pair with two scores",
    _file(_TSV + "q1\td1\t9.0\n"),
    ("1 repeated",),
    SKIPPED,
  ),
  Row(
    "lines: queries of another split",
    _file("q3\td3\t1.0\n"),
    ("mine.x", "nothing in it is of split 'train'"),
  ),
  Row(
    "lines: a split that is not there",
    _file(_TSV, "--config.stages.lists.split=dev"),
    (f"{_KEY}.split", "'dev'"),
  ),
  Row(
    "lines: a logit of what is no probability",
    _file(_TSV, "--config.stages.lists.transform=logit"),
    ("mine.x", "no probabilities"),
  ),
  Row(
    "lines: a second file that is not there",
    _file(
      _TSV,
      change=(
        "c.stages.more = dict(kind='imported', candidates='lists', path='nix')"
      ),
    ),
    ("nix", "no such file"),
  ),
  Row(
    "lines: lists of a stage that is not there",
    _file(_TSV, "--config.stages.lists.candidates=mine"),
    (f"{_KEY}.candidates is 'mine'",),
  ),
]
_JSON = [
  Row(
    "JSON: half an object", _file('{"query_id": "q1"'), ("mine.x:1", "no JSON")
  ),
  Row(
    "JSON: a trailing comma",
    _file('{"query_id": "q1",}'),
    ("mine.x:1", "no JSON"),
  ),
  Row(
    "JSON: brackets 100,000 deep",
    _file('{"a": ' + "[" * 100_000),
    ("mine.x:1", "no JSON"),
  ),
  Row(
    "JSON: no query", _file(_object(passage_id="d1")), ("mine.x:1", "no query")
  ),
  Row(
    "JSON: no passage",
    _file(_object(query_id="q1")),
    ("mine.x:1", "no passage"),
  ),
  Row(
    "JSON: a list on the second line",
    _file(_object(query_id="q1", passage_id="d1") + "[1]\n"),
    ("mine.x:2", "no JSON object"),
  ),
  Row(
    "JSON: a score that is a text",
    _file(_object(query_id="q1", passage_id="d1", score="3.0")),
    ("mine.x:1", "'3.0'"),
  ),
  Row(
    "JSON: a score that is true",
    _file(_object(query_id="q1", passage_id="d1", score=True)),
    ("mine.x:1", "True"),
  ),
  Row(
    "JSON: a score that is NaN",
    _file('{"query_id": "q1", "passage_id": "d1", "score": NaN}\n'),
    ("mine.x:1", "nan"),
  ),
  Row(
    "JSON: a score of 10^400",
    _file(
      '{"query_id": "q1", "passage_id": "d1", "score": 1' + "0" * 400 + "}"
    ),
    ("mine.x:1", "score"),
  ),
  Row(
    "JSON: fewer scores than passages",
    _file(_object(query_id="q1", pos=["d1"], neg=["d3"], neg_scores=[1, 2])),
    ("mine.x:1", "2 scores for 1 passages"),
  ),
  Row(
    "JSON: a passage that is a list",
    _file(_object(query_id="q1", pos=[["d1"]])),
    ("mine.x:1", "a passage is ['d1']"),
  ),
  Row(
    "JSON: a passage of nothing",
    _file(_object(query_id="q1", pos=[{}])),
    ("mine.x:1", "a passage has neither"),
  ),
  Row(
    "JSON: a text of a passage that is a number",
    _file(_object(query_id="q1", pos=[{"text": 0.5}])),
    ("mine.x:1", "a passage has neither"),
  ),
  Row(
    "JSON: a label of a half",
    _file(_object(query_id="q1", passage_id="d1", label=0.5)),
    ("mine.x:1", "label 0.5"),
  ),
  Row(
    "JSON: a label of NaN",
    _file('{"query_id": "q1", "passage_id": "d1", "label": NaN}\n'),
    ("mine.x:1", "label nan"),
  ),
  Row(
    "JSON: a query that is a list",
    _file(_object(query=["q1"], passage_id="d1")),
    ("mine.x:1", "no query"),
  ),
  Row(
    "JSON: a query id that is an object",
    _file(_object(query_id={"a": 1}, passage_id="d1")),
    ("mine.x:1", "an id is {'a': 1}"),
  ),
  Row(
    "JSON: half of a surrogate pair",
    _file('{"query": "\\ud800", "passage_id": "d1"}\n'),
    ("mine.x", "unknown queries"),
  ),
  Row(
    "JSON: half of a surrogate pair, skipped",
    _file(
      _object(query_id="q1", pos=["d1"], neg=["d3"])
      + _object(query_id="q2", pos=["d2"], neg=["d4"])
      + "[]\n",
      _SKIP,
    ),
    ("skipped 1 lines: 1 bad object",),
    SKIPPED,
  ),
]
_TABLES = [
  Row("parquet that is cut", _file(b"PAR1" + b"\0" * 9), ("mine.x", "parquet")),
  Row(
    "parquet without its end",
    _file(_parquet(query_id=["q1"], passage_id=["d1"])[:-9]),
    ("mine.x", "parquet"),
  ),
  Row(
    "parquet with a damaged page",
    _file(
      _parquet(query_id=["q1" * 50], passage_id=["d1"]).replace(
        b"q1q1q1", b"\xff\xff\xff\xff\xff\xff", 1
      )
    ),
    ("mine.x",),
  ),
  Row(
    "parquet of other columns",
    _file(_parquet(a=["q1"], b=["d1"])),
    ("mine.x:1", "no query"),
  ),
  Row(
    "parquet without a row",
    _file(_parquet(query_id=[], passage_id=[])),
    ("mine.x", "it is empty"),
  ),
  Row(
    "parquet with scores of text",
    _file(_parquet(query_id=["q1"], passage_id=["d1"], score=["3"])),
    ("mine.x:1", "'3'"),
  ),
  Row(
    "parquet with a score of NaN",
    _file(_parquet(query_id=["q1"], passage_id=["d1"], score=[float("nan")])),
    ("mine.x:1", "nan"),
  ),
  Row(
    "parquet of bytes",
    _file(_parquet(query_id=[b"q1\xff"], passage_id=[b"d1"])),
    ("mine.x:1", "an id is b'q1"),
  ),
  Row(
    "parquet with nested columns",
    _file(_parquet(query_id=[{"a": "q1"}], passage_id=["d1"])),
    ("mine.x:1", "an id is {'a': 'q1'}"),
  ),
]
ROWS = [*_FILES, *_LINES, *_JSON, *_TABLES]
