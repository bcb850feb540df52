"""MS MARCO's passages and documents, and NQ, as they were published."""

import gzip
import io
import json
import pathlib
import tarfile

from tests.bad_inputs import made
from tests.bad_inputs.row import SKIPPED, Line, Row

_SKIP = "--config.data.on_error=skip"
_MARCO: made.Files = {
  "collection.tsv": "d1\ttea\nd2\tsea\n",
  "queries.train.tsv": "q1\ttea\n",
  "qrels.train.tsv": "q1\t0\td1\t1\n",
}
_DOCUMENTS: made.Files = {
  "msmarco-docs.tsv": "D1\thttp://a\tt\ttea\nD2\thttp://b\tt\tsea\n",
  "msmarco-doctrain-queries.tsv": "q1\ttea\n",
  "msmarco-doctrain-qrels.tsv": "q1 0 D1 1\n",
}


def _question(**changed: object) -> str:
  """A question of DPR's training file."""
  said = {
    "question": "tea?",
    "answers": ["tea"],
    "positive_ctxs": [{"passage_id": "1"}],
    "hard_negative_ctxs": [{"passage_id": "2"}],
  }
  return json.dumps([said | changed])


_TRAIN, _TEST, _WIKI = (
  "biencoder-nq-train.json",
  "nq-test.qa.csv",
  "psgs_w100.tsv",
)
_NQ: made.Files = {
  _WIKI: "id\ttext\ttitle\n1\told tea\tT\n2\tsea\tS\n",
  _TRAIN: _question(),
  _TEST: "old tea?\t['tea']\n",
}


def _set(name: str, good: made.Files, files: made.Files, *more: str) -> Line:
  def line(folder: pathlib.Path) -> list[str]:
    path = made.write(folder / "set", good | files)
    data = [f"--config.data.name={name}", f"--config.data.path={path}"]
    return made.line(folder, *data, *more, word="prepare")

  return line


def _marco(files: made.Files, *more: str) -> Line:
  return _set("msmarco_passage", _MARCO, files, *more)


def _documents(files: made.Files, *more: str) -> Line:
  return _set("msmarco_document", _DOCUMENTS, files, *more)


def _nq(files: made.Files, *more: str) -> Line:
  return _set("nq", _NQ, files, *more)


def _train(content: made.Content, *more: str) -> Line:
  return _nq({_TRAIN: content}, *more)


def _archive(name: str, content: bytes | None) -> bytes:
  """A tar archive with a file, or with a link of its name out of it."""
  made_of = io.BytesIO()
  with tarfile.open(fileobj=made_of, mode="w:gz") as archive:
    entry = tarfile.TarInfo(name)
    if content is None:
      entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
      archive.addfile(entry)
    else:
      entry.size = len(content)
      archive.addfile(entry, io.BytesIO(content))
  return made_of.getvalue()


def _archived(content: bytes) -> Line:
  """The collection in the archive of its publisher."""
  return _marco({"collection.tsv": None, "collection.tar.gz": content})


_OF_MARCO = [
  Row(
    "MS MARCO: no collection",
    _marco({"collection.tsv": None}),
    ("collection.tsv",),
  ),
  Row(
    "MS MARCO: no labels",
    _marco({"qrels.train.tsv": None}),
    ("qrels.train.tsv",),
  ),
  Row(
    "MS MARCO: no queries",
    _marco({"queries.train.tsv": None}),
    ("queries.train",),
  ),
  Row(
    "MS MARCO: passages with titles",
    _marco({"collection.tsv": "d1\tt\ttea\n"}),
    ("collection.tsv:1", "3 columns"),
  ),
  Row(
    "MS MARCO: an archive that is none",
    _archived(b"tea"),
    ("collection.tar.gz",),
  ),
  Row(
    "MS MARCO: an archive without the file",
    _archived(_archive("other.tsv", b"d1\ttea\n")),
    ("collection.tar.gz", "collection.tsv"),
  ),
  Row(
    "MS MARCO: an archive with a link in the file's place",
    _archived(_archive("collection.tsv", None)),
    ("collection.tar.gz", "collection.tsv"),
  ),
  Row(
    "MS MARCO: an archive that is cut",
    _archived(_archive("collection.tsv", b"d1\ttea\n" * 9999)[:-40]),
    ("collection.tar.gz", "cannot be read"),
  ),
  Row(
    "MS MARCO: no titles where they are asked for",
    _marco({}, "--config.data.titles=rocketqa"),
    ("para.title.txt",),
  ),
  Row(
    "MS MARCO: titles of unknown passages",
    _marco({"para.title.txt": "d9\tx\n"}, "--config.data.titles=rocketqa"),
    ("para.title.txt:1", "d9"),
  ),
  Row(
    "MS MARCO: titles of three columns",
    _marco({"para.title.txt": "d1\tx\ty\n"}, "--config.data.titles=rocketqa"),
    ("para.title.txt:1", "3 columns"),
  ),
]
_OF_DOCUMENTS = [
  Row(
    "documents: no documents",
    _documents({"msmarco-docs.tsv": None}),
    ("msmarco-docs.tsv",),
  ),
  Row(
    "documents: documents of three columns",
    _documents({"msmarco-docs.tsv": "D1\tt\ttea\n"}),
    ("msmarco-docs.tsv:1", "3 columns"),
  ),
  Row(
    "documents: a document without any text",
    _documents({"msmarco-docs.tsv": "D1\t \t\t\n"}),
    ("msmarco-docs.tsv:1", "D1 has no text"),
  ),
]
_OF_NQ = [
  Row("NQ: no passages", _nq({_WIKI: None}), (_WIKI,)),
  Row("NQ: no questions", _nq({_TRAIN: None, _TEST: None}), (_TRAIN,)),
  Row(
    "NQ: passages without a header",
    _nq({_WIKI: "1\told tea\tT\n"}),
    (f"{_WIKI}:1", "header"),
  ),
  Row(
    "NQ: passages that are a header alone",
    _nq({_WIKI: "id\ttext\ttitle\n"}),
    (_WIKI, "no passage"),
  ),
  Row("NQ: empty passages", _nq({_WIKI: ""}), (_WIKI,)),
  Row(
    "NQ: passages of two columns",
    _nq({_WIKI: "id\ttext\ttitle\n1\told tea\n"}),
    (f"{_WIKI}:2", "2 columns"),
  ),
  Row(
    "NQ: a quote that does not end",
    _nq({_WIKI: 'id\ttext\ttitle\n1\t"old tea\tT\n2\tsea\tS\n'}),
    (f"{_WIKI}:2", "2 columns"),
  ),
  Row(
    "NQ: a field of 200,000 characters",
    _nq({_WIKI: f"id\ttext\ttitle\n1\t{'tea ' * 50_000}\tT\n2\ta\tb\n"}),
    (f"{_WIKI}:2", "131072"),
  ),
  Row("NQ: an empty list of questions", _train("[]"), (_TRAIN, "no question")),
  Row("NQ: an empty file of questions", _train(""), (f"{_TRAIN}:1",)),
  Row("NQ: an object instead of a list", _train("{}"), (f"{_TRAIN}:1", "'['")),
  Row(
    "NQ: JSON lines instead of a list",
    _train(_question()[1:-1] + "\n"),
    (f"{_TRAIN}:1", "'['"),
  ),
  Row("NQ: a list that is cut", _train(_question()[:-9]), (f"{_TRAIN}:1",)),
  Row("NQ: a trailing comma", _train("[{},]"), (f"{_TRAIN}:1",)),
  Row("NQ: brackets without end", _train("[" * 100_000), (f"{_TRAIN}:1",)),
  Row("NQ: a list of numbers", _train("[1]"), (f"{_TRAIN}:1", "object")),
  Row("NQ: no question", _train('[{"answers": ["a"]}]'), (f"{_TRAIN}:1",)),
  Row(
    "NQ: a question without answers",
    _train(_question(answers=[])),
    (f"{_TRAIN}:1", "empty"),
  ),
  Row(
    "NQ: answers that are one text",
    _train(_question(answers="tea")),
    (f"{_TRAIN}:1", "answers"),
  ),
  Row(
    "NQ: answers that are null",
    _train(_question(answers=None)),
    (f"{_TRAIN}:1",),
  ),
  Row(
    "NQ: a question that is null",
    _train(_question(question=None)),
    (f"{_TRAIN}:1", "question"),
  ),
  Row(
    "NQ: half of a surrogate pair in a question",
    _train(_question(question="\ud800")),
    (f"{_TRAIN}:1", "surrogate"),
  ),
  Row(
    "NQ: contexts that are ids",
    _train(_question(positive_ctxs=["1"])),
    (f"{_TRAIN}:1",),
  ),
  Row(
    "NQ: a context without an id",
    _train(_question(positive_ctxs=[{"text": "a"}])),
    (f"{_TRAIN}:1", "passage_id"),
  ),
  Row(
    "NQ: an unknown passage",
    _train(_question(positive_ctxs=[{"passage_id": "9"}])),
    (f"{_TRAIN}:1", "passage 9"),
  ),
  Row(
    "NQ: an unknown passage, skipped",
    _train(
      _question()[:-1]
      + ",\n"
      + _question(positive_ctxs=[{"passage_id": "9"}])[1:],
      _SKIP,
    ),
    ("skipped 1 lines: 1 unknown passage",),
    SKIPPED,
  ),
  Row(
    "NQ: questions in latin-1",
    _train(_question().replace("tea?", "thé?").encode("latin-1")),
    (_TRAIN, "not UTF-8"),
  ),
  Row(
    "NQ: gzip under a plain name",
    _train(gzip.compress(_question().encode())),
    (_TRAIN, "compressed"),
  ),
  Row(
    "NQ: a test question without answers",
    _nq({_TEST: "old tea?\n"}),
    (f"{_TEST}:1", "1 columns"),
  ),
  Row(
    "NQ: answers that are no list",
    _nq({_TEST: "old tea?\ttea\n"}),
    (f"{_TEST}:1", "list of answers"),
  ),
  Row(
    "NQ: answers that are code",
    _nq({_TEST: "old tea?\t__import__('os').getcwd()\n"}),
    (f"{_TEST}:1", "list of answers"),
  ),
  Row(
    "NQ: answers of brackets without end",
    _nq({_TEST: "old tea?\t" + "[" * 5000 + "\n"}),
    (f"{_TEST}:1", "list of answers"),
  ),
  Row(
    "NQ: answers that are numbers",
    _nq({_TEST: "old tea?\t[1]\n"}),
    (f"{_TEST}:1", "list of answers"),
  ),
  Row("NQ: an empty file of tests", _nq({_TEST: ""}), (_TEST,)),
]
ROWS = [*_OF_MARCO, *_OF_DOCUMENTS, *_OF_NQ]
