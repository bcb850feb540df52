"""Folders in the MS MARCO layout, and their qrels."""

import gzip
import pathlib

from tests.bad_inputs import made
from tests.bad_inputs.row import SKIPPED, Line, Row

COLLECTION, QUERIES, QRELS = (
  "collection.tsv",
  "queries.train.tsv",
  "qrels.train.tsv",
)
SKIP = "--config.data.on_error=skip"


def _set(*more: str, variant: str = "", word: str = "prepare", **files) -> Line:
  """The good set with other files: names with _ for each dot."""

  def line(folder: pathlib.Path) -> list[str]:
    others = {name.replace("_", "."): x for name, x in files.items()}
    path = made.write(folder / "set", made.LAYOUT | others)
    return made.line(
      folder, f"--config.data.path={path}", *more, variant=variant, word=word
    )

  return line


def _collection(content: made.Content, *more: str) -> Line:
  return _set(*more, collection_tsv=content)


def _queries(content: made.Content, *more: str) -> Line:
  return _set(*more, queries_train_tsv=content)


def qrels(content: made.Content, *more: str) -> Line:
  """The good set with these judgements."""
  return _set(*more, qrels_train_tsv=content)


def _path(content: made.Content, name: str = "other") -> Line:
  """Something else in the place of the set's folder."""

  def line(folder: pathlib.Path) -> list[str]:
    made.write(folder, {name: content})
    more = f"--config.data.path={folder / name}"
    return made.line(folder, more, word="prepare")

  return line


_GOOD = made.LAYOUT[COLLECTION]
_LINES = "".join(f"d{i}\tt\ttea {i}\n" for i in range(6))
_FOLDERS = [
  Row("a set that is not there", _path(None), ("other", "collection.tsv")),
  Row("a file as set", _path("x"), ("other", "expected a folder")),
  Row("a link to nothing as set", _path(made.nowhere), ("other",)),
  Row("a link to itself as set", _path(made.loop), ("other",)),
  Row("an empty folder as set", _path(made.folder), ("collection.tsv",)),
  Row(
    "a set in BEIR's form",
    _path(lambda path: made.write(path, made.BEIR)),
    ("it has corpus.jsonl, which config.data.name=beir reads",),
  ),
  Row(
    "the folder above the set's",
    _path(lambda path: made.write(path / "set", made.LAYOUT)),
    ("there is one in", "other/set, for config.data.path"),
  ),
  Row(
    "no path",
    lambda folder: made.line(folder, "--config.data.path="),
    ("config.data.path is not set",),
  ),
  Row("no collection", _collection(None), ("collection.tsv",)),
  Row("no queries", _queries(None), ("queries.train.tsv",)),
  Row("no qrels", qrels(None), ("qrels.train.tsv",)),
  Row(
    "no split at all",
    _set(
      queries_train_tsv=None,
      qrels_train_tsv=None,
      queries_test_tsv=None,
      qrels_test_tsv=None,
    ),
    ("queries.SPLIT.tsv",),
  ),
  Row(
    "a collection twice, plain and compressed",
    _set(collection_tsv_gz=gzip.compress(b"d1\ttea\n")),
    ("has both collection.tsv and collection.tsv.gz",),
  ),
  Row("a folder as collection", _collection(made.folder), ("collection.tsv",)),
  Row("a folder as queries", _queries(made.folder), ("queries.train.tsv",)),
  Row("a folder as qrels", qrels(made.folder), ("qrels.train.tsv",)),
  Row("a link to itself as qrels", qrels(made.loop), ("qrels.train.tsv",)),
  Row("a link to nothing as queries", _queries(made.nowhere), (QUERIES,)),
]
_COLLECTIONS = [
  Row("an empty collection", _collection(""), (COLLECTION, "no passage")),
  Row("a collection of empty lines", _collection("\n\r\n\n"), (COLLECTION,)),
  Row(
    "a collection that is a header alone",
    _collection("id\ttitle\ttext\n"),
    (f"{COLLECTION}:1", "a header"),
  ),
  Row(
    "a collection with a header",
    _collection("pid\ttitle\tpassage\n" + _LINES),
    (f"{COLLECTION}:1", "a header"),
  ),
  Row(
    "a collection with a header, skipped",
    _collection("pid\ttitle\tpassage\n" + _LINES, SKIP),
    ("skipped 1 lines: 1 header",),
    SKIPPED,
  ),
  Row(
    "a collection with four columns",
    _collection("d1\tu\tt\ttea\n" * 3),
    (f"{COLLECTION}:1", "4 columns"),
  ),
  Row(
    "a collection of one column",
    _collection("tea\nsea\n"),
    (f"{COLLECTION}:1", "1 columns"),
  ),
  Row(
    "a collection with commas for tabs",
    _collection(_LINES.replace("\t", ",")),
    (f"{COLLECTION}:1", "1 columns"),
  ),
  Row(
    "a line with a tab in its text",
    _collection(_LINES + "d9\tt\ta\tb\n"),
    (f"{COLLECTION}:7", "4 columns"),
  ),
  Row(
    "a line with a tab in its text, skipped",
    _collection(_LINES + "d9\tt\ta\tb\n", SKIP),
    ("skipped 1 lines: 1 wrong number of columns",),
    SKIPPED,
  ),
  Row(
    "the odd line comes first",
    _collection("d9\tt\ta\tb\n" + _LINES),
    (f"{COLLECTION}:1", "4 columns"),
  ),
  Row(
    "a first line with a title, where most have none",
    _collection("d9\tt\tjam\nd1\ttea\nd2\tsea\n"),
    (f"{COLLECTION}:1", "3 columns", "most of the first lines have 2"),
  ),
  Row(
    "a passage twice",
    _collection(_LINES + "d1\tt\ttea\n"),
    (f"{COLLECTION}:7", "d1 occurs again"),
  ),
  Row(
    "a passage twice, skipped",
    _collection(_LINES + "d1\tt\ttea\n", SKIP),
    ("skipped 1 lines: 1 duplicate id",),
    SKIPPED,
  ),
  Row(
    "an id of 2,000 letters",
    _collection(_LINES + "d" * 2000 + "\tt\ttea\n"),
    (f"{COLLECTION}:7", "2,000 letters"),
  ),
  Row(
    "an id with a space",
    _collection(_LINES + "d 9\tt\ttea\n"),
    (f"{COLLECTION}:7", "'d 9'"),
  ),
  Row(
    "an id with a no-break space",
    _collection(_LINES + "d\u00a09\tt\ttea\n"),
    (f"{COLLECTION}:7", "white space"),
  ),
  Row(
    "an empty id",
    _collection(_LINES + "\tt\ttea\n"),
    (f"{COLLECTION}:7", "is empty"),
  ),
  Row(
    "an empty text",
    _collection(_LINES + "d9\tt\t\n"),
    (f"{COLLECTION}:7", "d9 has no text"),
  ),
  Row(
    "a text of white space",
    _collection(_LINES + "d9\tt\t \u3000 \n"),
    (f"{COLLECTION}:7", "d9 has no text"),
  ),
  Row(
    "a collection in latin-1",
    _collection(_LINES.encode() + "d9\tt\tthé\n".encode("latin-1")),
    (f"{COLLECTION}:7", "not UTF-8"),
  ),
  Row(
    "a collection in latin-1, skipped",
    _collection(_LINES.encode() + "d9\tt\tthé\n".encode("latin-1"), SKIP),
    ("skipped 1 lines: 1 not UTF-8",),
    SKIPPED,
  ),
  Row(
    "a collection in UTF-16",
    _collection(_LINES.encode("utf-16")),
    (f"{COLLECTION}:1", "is UTF-16, not UTF-8"),
  ),
  Row(
    "a collection in UTF-16, which no line can be left out of",
    _collection(_LINES.encode("utf-16"), SKIP),
    (f"{COLLECTION}:1", "is UTF-16, not UTF-8"),
  ),
  Row(
    "a NUL byte in an id",
    _collection(_LINES + "d\0\tt\ttea\n"),
    (f"{COLLECTION}:7", "NUL"),
  ),
  Row(
    "gzip under a plain name",
    _collection(gzip.compress(_GOOD.encode())),
    (COLLECTION, "compressed"),
  ),
  Row(
    "a plain file under the name of gzip",
    _set(collection_tsv=None, collection_tsv_gz=_GOOD),
    ("collection.tsv.gz", "gzip"),
  ),
  Row(
    "gzip that is cut",
    _set(
      collection_tsv=None,
      collection_tsv_gz=gzip.compress(_GOOD.encode())[:-9],
    ),
    ("collection.tsv.gz", "cannot be read"),
  ),
  Row(
    "gzip with a flipped byte",
    _set(
      collection_tsv=None,
      collection_tsv_gz=gzip.compress(_GOOD.encode())[:-6] + b"xxxxxx",
    ),
    ("collection.tsv.gz", "cannot be read"),
  ),
  Row(
    "an empty file under the name of gzip",
    _set(collection_tsv=None, collection_tsv_gz=b""),
    ("collection.tsv.gz",),
  ),
  Row(
    "a collection of JSON objects",
    _collection('{"id": "d1", "text": "tea"}\n' * 3),
    (f"{COLLECTION}:1", "1 columns"),
  ),
  Row(
    "an old Mac's line ends",
    _collection(_LINES.replace("\n", "\r")),
    (f"{COLLECTION}:1", "columns"),
  ),
  Row(
    "fewer passages asked for than are labelled",
    _set("--config.data.max_passages=1"),
    ("max_passages is 1", "raise it"),
  ),
]
_TEXTS = [
  Row("empty queries", _queries(""), ("queries.train.tsv",)),
  Row(
    "queries of three columns",
    _queries("q1\tx\ttea\n"),
    (f"{QUERIES}:1", "3 columns"),
  ),
  Row(
    "a query twice",
    _queries("q1\ttea\nq2\tsea\nq1\tsea\n"),
    (f"{QUERIES}:3", "q1 occurs again"),
  ),
  Row(
    "a query without a text",
    _queries("q1\ttea\nq2\t\n"),
    (f"{QUERIES}:2", "q2 has no text"),
  ),
  Row(
    "a query's id with a tab in it",
    _queries("q1\ttea\nq\t2\tsea\n"),
    (f"{QUERIES}:2", "3 columns"),
  ),
  Row(
    "a query's id with a space in it",
    _queries("q1\ttea\nq 2\tsea\n"),
    (f"{QUERIES}:2", "'q 2'"),
  ),
  Row(
    "queries with a header",
    _queries("qid\tquery\nq1\ttea\nq2\tsea\n"),
    (f"{QUERIES}:1", "a header"),
  ),
  Row(
    "a NUL byte in a query's id",
    _queries("q1\ttea\nq2\0\tsea\n"),
    (f"{QUERIES}:2", "NUL"),
  ),
  Row(
    "more queries asked for of a split that is not there",
    _set("--config.data.max_queries={'dev': 3}"),
    ("max_queries", "'dev'"),
  ),
  Row(
    "more labels asked for than there are",
    _set("--config.data.labelled=9"),
    ("data.labelled is 9",),
  ),
]
_DEV = (
  "--config.stages.encode.splits=('train','dev','test')",
  "--config.stages.evaluate.split=dev",
)
_SPLITS = [
  Row(
    "a split that a stage encodes and the set has not",
    _set(*_DEV, word="run"),
    ("config.stages.encode.splits", "'dev'", "for evaluate"),
  ),
  Row(
    "a split under another name",
    _set(
      *_DEV,
      word="run",
      queries_validation_tsv="q3\tsea\n",
      qrels_validation_tsv="q3\td3\n",
    ),
    ("queries.validation.tsv is not read, name it queries.dev.tsv",),
  ),
  Row(
    "qrels under another name than the queries",
    _set(queries_dev_tsv="q3\tsea\n", qrels_valid_tsv="q3\td3\n"),
    ("qrels.valid.tsv is not read, name it qrels.dev.tsv",),
  ),
  Row(
    "a set without train, for an experiment that trains",
    _set(word="run", queries_train_tsv=None, qrels_train_tsv=None),
    ("'train'",),
  ),
  Row(
    "the same in a dry run",
    lambda folder: [
      *_set(word="run", queries_train_tsv=None, qrels_train_tsv=None)(folder),
      "--dry_run",
    ],
    ("config.stages.encode.splits", "'train'"),
  ),
  Row(
    "answers asked for of a set that has none",
    _set(
      "--config.stages.evaluate.relevance=answers",
      "--config.stages.evaluate.metrics=('hit@10',)",
      word="run",
    ),
    ("without answers",),
  ),
]
ROWS = [*_FOLDERS, *_COLLECTIONS, *_TEXTS, *_SPLITS]
