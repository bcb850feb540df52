"""Readers of queries and labels: what they take, refuse and count."""

import functools
import gzip
import pathlib

import pytest

from prod_jax.sets import collection, formats
from prod_jax.sets.records import DataError


def write(path: pathlib.Path, content: bytes) -> pathlib.Path:
  path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
  return path


def test_windows_file_with_byte_order_mark_and_empty_lines(tmp_path):
  path = write(tmp_path / "q.tsv", b"\xef\xbb\xbfq1\tone\r\n\r\nq2\ttwo\r\n\n")
  assert list(formats.read_queries(path)) == [("q1", "one"), ("q2", "two")]


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
      b"a x 0 1 5\nb x\n",
      1,
      "wrong number of columns",
      "5 columns",
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
  tmp_path, caplog, reader, content, line, reason, message, kept
):
  path = write(tmp_path / "file.tsv", content)
  with pytest.raises(DataError) as caught:
    reader(path)
  assert str(caught.value).startswith(f"{path}:{line}: ")
  assert message in str(caught.value)
  assert "on_error='skip'" in str(caught.value)
  with caplog.at_level("WARNING", logger="absl"):
    assert reader(path, on_error="skip") == list(kept)
  assert caplog.messages == [f"{path}: skipped 1 lines: 1 {reason}"]


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


def test_qrels_of_three_columns_have_no_zero(tmp_path):
  path = write(tmp_path / "q.tsv", b"1\ta\t2\n1\tb\t0\n")
  assert formats.read_qrels(path) == {"1": {"a": 2, "b": 0}}


@pytest.mark.parametrize("zero", ["0", "Q0"])
def test_a_zero_without_a_grade_is_no_passage(tmp_path, zero):
  """Ids that are numbers would be read as grades."""
  path = write(tmp_path / "q.tsv", f"1 {zero} 7\n2 {zero} 3\n".encode())
  with pytest.raises(
    DataError, match=r"q\.tsv:1: 3 columns, expected query id"
  ):
    formats.read_qrels(path)
  path = write(tmp_path / "q.tsv", f"1 {zero} 7\n2 9 3\n".encode())
  assert formats.read_qrels(path) == {"1": {zero: 7}, "2": {"9": 3}}


def test_judgements_of_white_space_alone_are_none(tmp_path):
  path = tmp_path / "qrels"
  path.write_text("\t\n")
  with pytest.raises(DataError, match=r"qrels:1: 0 columns"):
    formats.read_qrels(path)
  assert formats.read_qrels(path, on_error="skip") == {}


def test_unknown_treatment_of_errors(tmp_path):
  path = write(tmp_path / "file.tsv", b"a\tt\n")
  with pytest.raises(Exception, match="ignore"):
    queries(path, on_error="ignore")


def test_qrels_with_a_header(tmp_path):
  header = "query-id\tcorpus-id\tscore"
  path = write(tmp_path / "q.tsv", f"{header}\n1\ta\t2\n".encode())
  assert formats.read_qrels(path, header=header) == {"1": {"a": 2}}
  with pytest.raises(DataError, match=r"q\.tsv:1: grade 'score'"):
    formats.read_qrels(path)
  path = write(tmp_path / "q.tsv", b"1\ta\t2\n")
  with pytest.raises(DataError, match=r"q\.tsv:1: .* expected the header"):
    formats.read_qrels(path, header=header)


def test_files_are_found_plain_or_compressed(tmp_path):
  with pytest.raises(DataError, match=r"expected a file queries\.dev\.tsv or"):
    formats.find_file(tmp_path, "queries.dev")
  with pytest.raises(DataError, match="train, dev, test"):
    formats.find_splits(tmp_path)
  # An old copy is no split; one that is packed another way is, and is named.
  write(tmp_path / "queries.dev.tsv.bak", b"")
  with pytest.raises(DataError, match="train, dev, test"):
    formats.find_splits(tmp_path)
  packed = write(tmp_path / "queries.train.tsv.zst", b"")
  assert formats.find_splits(tmp_path) == ["train"]
  with pytest.raises(DataError, match=r"train\.tsv\.zst is not read, unpack"):
    formats.find_file(tmp_path, "queries.train")
  packed.unlink()
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


def test_the_layout_is_that_of_most_of_the_first_lines(tmp_path):
  path = tmp_path / "collection.tsv"
  path.write_text("p0\tThe\ttext with a tab\n" + "p{0}\tA text\n" * 9)
  assert formats.passage_width(path) == 2
  path.write_text("p0\tno title\n" + "p{0}\tTitle\tA text\n" * 9)
  assert formats.passage_width(path) == 3
  path.write_text("one\na\tb\tc\td\n")
  assert formats.passage_width(path) == 0


def test_real_set_has_its_published_size(shared, tmp_path):
  folder = shared / "data/medquad"
  path = formats.find_file(folder, "collection")
  parse = functools.partial(
    formats.parse_passage, width=formats.passage_width(path)
  )
  ids = collection.index(collection.Collection(path, parse), tmp_path).row_of
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
