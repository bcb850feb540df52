"""Readers of the MS MARCO layout: what they take, refuse and count."""

import collections
import gzip
import pathlib

import pytest

from prod_jax.data import formats
from prod_jax.data.records import DataError, Passage


def write(path: pathlib.Path, content: bytes) -> pathlib.Path:
  path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
  return path


@pytest.mark.parametrize("name", ["collection.tsv", "collection.tsv.gz"])
def test_collection_with_titles(tmp_path, name):
  path = write(tmp_path / name, "p1\tA title\tSome téxt\np2\t\tMore\n".encode())
  assert list(formats.read_collection(path)) == [
    Passage("p1", "A title", "Some téxt"),
    Passage("p2", "", "More"),
  ]
  assert formats.read_passage_ids(path) == ["p1", "p2"]


def test_collection_without_titles(tmp_path):
  path = write(tmp_path / "collection.tsv", b"p1\tSome text\np2\tMore")
  assert list(formats.read_collection(path)) == [
    Passage("p1", "", "Some text"),
    Passage("p2", "", "More"),
  ]


def test_windows_file_with_byte_order_mark_and_empty_lines(tmp_path):
  path = write(tmp_path / "q.tsv", b"\xef\xbb\xbfq1\tone\r\n\r\nq2\ttwo\r\n\n")
  assert list(formats.read_queries(path)) == [("q1", "one"), ("q2", "two")]


def test_collection_is_streamed(tmp_path):
  path = write(tmp_path / "collection.tsv", b"p1\tfine\np2\n")
  passages = formats.read_collection(path)
  assert next(passages).id == "p1"
  with pytest.raises(DataError):
    next(passages)


def collection(path, **options):
  return [row.id for row in formats.read_collection(path, **options)]


def queries(path, **options):
  return [name for name, _ in formats.read_queries(path, **options)]


def qrels(path, **options):
  read = formats.read_qrels(
    path, queries={"a", "b"}, passages={"x", "y"}, **options
  )
  return [f"{q}{p}{grade}" for q in read for p, grade in read[q].items()]


@pytest.mark.parametrize(
  ("reader", "content", "line", "reason", "message", "kept"),
  [
    (
      collection,
      b"a\tt\nb\nc\tt\n",
      2,
      "wrong number of columns",
      "1 columns",
      "ac",
    ),
    (
      collection,
      b"a\tt\nb\tT\tt\n",
      2,
      "wrong number of columns",
      "3 columns",
      "a",
    ),
    (
      collection,
      b"a\tT\tt\nb\tt\n",
      2,
      "wrong number of columns",
      "2 columns",
      "a",
    ),
    (
      collection,
      b"a b\nc\tt\n",
      1,
      "wrong number of columns",
      "1 columns",
      "c",
    ),
    (collection, b"a\tt\na\tu\n", 2, "duplicate id", "a occurs again", "a"),
    (collection, b"a\tT\t \nb\tT\tt", 1, "empty text", "a has no text", "b"),
    (collection, b"a\tt\nb\t\xff\n", 2, "not UTF-8", "byte 2 ", "a"),
    (collection, b"a b\tt\nc\tt\n", 1, "bad id", "'a b'", "c"),
    (collection, b"\tt\nc\tt\n", 1, "bad id", "''", "c"),
    (
      queries,
      b"a\tt\nb\tt\tu\n",
      2,
      "wrong number of columns",
      "3 columns",
      "a",
    ),
    (queries, b"a\tt\na\tt\n", 2, "duplicate id", "a occurs again", "a"),
    (queries, b"a\t\nb\tt\n", 1, "empty text", "a has no text", "b"),
    (queries, b"a\tt\nb\t\xe9t\xe9\n", 2, "not UTF-8", "byte 2 ", "a"),
    (
      qrels,
      b"a 0 x 1\nb x\n",
      2,
      "wrong number of columns",
      "2 columns",
      ["ax1"],
    ),
    (
      qrels,
      b"a x 1\nb x\n",
      1,
      "wrong number of columns",
      "3 columns",
      ["bx1"],
    ),
    (qrels, b"a 0 x 1\na 0 x 2\n", 2, "duplicate id", "a x occurs", ["ax1"]),
    (qrels, b"q 0 p rel\nb 0 x 2\n", 1, "bad grade", "'rel'", ["bx2"]),
    (qrels, b"a 0 x 0.5\nb 0 x 2\n", 1, "bad grade", "'0.5'", ["bx2"]),
    (qrels, b"c 0 x 1\nb 0 x 2\n", 1, "unknown query", "query c", ["bx2"]),
    (qrels, b"a 0 z 1\nb 0 x 2\n", 1, "unknown passage", "passage z", ["bx2"]),
    (qrels, b"a 0 x 1\nb 0 \xff 1\n", 2, "not UTF-8", "byte 4 ", ["ax1"]),
  ],
)
def test_fault_is_named_or_counted(
  tmp_path, reader, content, line, reason, message, kept
):
  path = write(tmp_path / "file.tsv", content)
  with pytest.raises(DataError) as caught:
    reader(path)
  assert str(caught.value).startswith(f"{path}:{line}: ")
  assert message in str(caught.value)
  assert "on_error='skip'" in str(caught.value)
  skipped = collections.Counter()
  assert reader(path, on_error="skip", skipped=skipped) == list(kept)
  assert skipped == {reason: 1}


def test_skipped_lines_are_logged_once(tmp_path, caplog):
  path = write(tmp_path / "file.tsv", b"a\nb\tt\nb\tt\nc\n")
  with caplog.at_level("WARNING", logger="absl"):
    formats.read_passage_ids(path, on_error="skip")
    assert collection(path, on_error="skip") == ["b"]
    good = write(tmp_path / "good.tsv", b"a\tt\n")
    assert collection(good, on_error="skip") == ["a"]
  assert [record.getMessage() for record in caplog.records] == [
    f"{path}: skipped 3 lines: 2 wrong number of columns, 1 duplicate id"
  ]


def test_qrels_keep_every_grade(tmp_path):
  path = write(
    tmp_path / "q.txt", b"1 Q0 a 0\n1 Q0 b -2\n1\t0\tc\t3\n2 0 a 1\n"
  )
  assert formats.read_qrels(path) == {
    "1": {"a": 0, "b": -2, "c": 3},
    "2": {"a": 1},
  }


def test_qrels_of_two_columns_have_grade_one(tmp_path):
  path = write(tmp_path / "q.tsv", b"1\ta\n1\tb\n")
  assert formats.read_qrels(path) == {"1": {"a": 1, "b": 1}}


def test_absent_and_damaged_files_are_named(tmp_path):
  with pytest.raises(DataError, match=r"none\.tsv: cannot be read .* UTF-8"):
    list(formats.read_collection(tmp_path / "none.tsv"))
  path = tmp_path / "collection.tsv.gz"
  path.write_bytes(gzip.compress(b"p1\ttext\n" * 99)[:-9])
  with pytest.raises(DataError, match="compressed by gzip"):
    list(formats.read_collection(path, on_error="skip"))
  path.write_bytes(b"p1\ttext\n")
  with pytest.raises(DataError, match="compressed by gzip"):
    list(formats.read_collection(path))


def test_unknown_treatment_of_errors(tmp_path):
  path = write(tmp_path / "file.tsv", b"a\tt\n")
  with pytest.raises(Exception, match="ignore"):
    collection(path, on_error="ignore")


def test_files_are_found_plain_or_compressed(tmp_path):
  with pytest.raises(DataError, match=r"expected a file queries\.dev\.tsv or"):
    formats.find_file(tmp_path, "queries.dev")
  with pytest.raises(DataError, match="train, dev, test"):
    formats.find_splits(tmp_path)
  write(tmp_path / "queries.test.tsv.gz", b"")
  found = write(tmp_path / "queries.dev.tsv", b"")
  assert formats.find_file(tmp_path, "queries.dev") == found
  assert formats.find_splits(tmp_path) == ["dev", "test"]
  write(tmp_path / "queries.dev.tsv.gz", b"")
  with pytest.raises(DataError, match="has both"):
    formats.find_file(tmp_path, "queries.dev")


@pytest.mark.parametrize(
  ("name", "topics", "judgements"),
  [("dl19-passage", 43, 9260), ("dl20-passage", 54, 11386)],
)
def test_trec_files(shared, name, topics, judgements):
  read = formats.read_qrels(shared / f"oracle/trec_dl/qrels.{name}.txt")
  assert len(read) == topics
  grades = [grade for judged in read.values() for grade in judged.values()]
  assert len(grades) == judgements
  assert set(grades) == {0, 1, 2, 3}


def test_real_set_has_its_published_size(shared):
  folder = shared / "data/medquad"
  ids = set(formats.read_passage_ids(formats.find_file(folder, "collection")))
  assert len(ids) == 15_800
  sizes = {}
  for split in formats.find_splits(folder):
    texts = dict(
      formats.read_queries(formats.find_file(folder, f"queries.{split}"))
    )
    judged = formats.read_qrels(
      formats.find_file(folder, f"qrels.{split}"), queries=texts, passages=ids
    )
    sizes[split] = len(texts), sum(map(len, judged.values()))
  assert sizes == {
    "train": (12_705, 13_857),
    "dev": (751, 859),
    "test": (1_304, 1_393),
  }
