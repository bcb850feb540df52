"""Collections in shards: what a line may be, and the same in any process."""

import functools
import gzip
import pathlib
import tarfile

import pytest

from prod_jax.sets import collection, formats, lines
from prod_jax.sets.records import DataError, Passage


def write(path: pathlib.Path, content: bytes) -> pathlib.Path:
  path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
  return path


def index(source, **options) -> collection.Index:
  parse = functools.partial(
    formats.parse_passage, width=formats.passage_width(source)
  )
  folder = (source.archive if hasattr(source, "archive") else source).parent
  return collection.index(
    collection.Collection(source, parse, **options), folder
  )


def read(source, **options) -> list[Passage]:
  found = index(source, **options)
  passages = [passage for shard in found.shards for passage in shard()]
  assert [p.id for p in passages] == list(found.row_of)
  assert all(found.row_of[p.id] == row for row, p in enumerate(passages))
  return passages


@pytest.mark.parametrize("name", ["collection.tsv", "collection.tsv.gz"])
def test_collection_with_titles(tmp_path, name):
  path = write(tmp_path / name, "p1\tA title\tSome téxt\np2\t\tMore\n".encode())
  assert read(path) == [
    Passage("p1", "A title", "Some téxt"),
    Passage("p2", "", "More"),
  ]


def test_collection_without_titles(tmp_path):
  path = write(tmp_path / "collection.tsv", b"p1\tSome text\np2\tMore")
  assert read(path) == [
    Passage("p1", "", "Some text"),
    Passage("p2", "", "More"),
  ]


def test_file_in_an_archive(tmp_path):
  content = write(tmp_path / "c.tsv", b"p1\tSome text\np2\n")
  archive = tmp_path / "c.tar.gz"
  with tarfile.open(archive, "w:gz") as packed:
    packed.add(tmp_path, "c.tsv", recursive=False)  # a folder of that name
    packed.add(content, "../folder/c.tsv")
  with pytest.raises(DataError, match=r"c\.tar\.gz/c\.tsv:2: 1 columns"):
    read(lines.Member(archive, "c.tsv"))
  member = lines.Member(archive, "c.tsv")
  assert read(member, on_error="skip") == [Passage("p1", "", "Some text")]
  with pytest.raises(DataError, match=r"c\.tar\.gz: expected a file d\.tsv"):
    read(lines.Member(archive, "d.tsv"))
  # Nothing lies beside the folder: a path in an archive is not followed.
  assert {p.name.partition("-")[0] for p in tmp_path.iterdir()} == {
    "c.tsv",
    "c.tar.gz",
    "unpacked",
  }
  lines.remove_unpacked(tmp_path)
  assert not list(tmp_path.glob("unpacked-*"))


MIXED = "\ufeffa\tone\r\n\nb\ttw\ro\nc\nb\tagain\nd\tfour é\n\n\ne\tfive"


@pytest.mark.parametrize("lines_a_shard", [1, 2, 3, 100])
def test_shards_of_any_size_hold_the_same(tmp_path, lines_a_shard):
  path = write(tmp_path / "c.tsv", MIXED.encode())
  assert read(path, on_error="skip", shard_lines=lines_a_shard) == [
    Passage("a", "", "one"),
    Passage("b", "", "tw\ro"),
    Passage("d", "", "four é"),
    Passage("e", "", "five"),
  ]


@pytest.mark.parametrize("scanned", [1, 7, 1 << 20])
def test_blocks_cover_a_file(tmp_path, monkeypatch, scanned):
  monkeypatch.setattr(lines, "_SCANNED_BYTES", scanned)
  path = write(tmp_path / "c", b"1\n22\n\n4444\n5")
  blocks = lines.blocks_of(path, 2, path)
  assert [(b.line, b.start, b.stop) for b in blocks] == [
    (1, 0, 5),
    (3, 5, 11),
    (5, 11, 12),
  ]


@pytest.mark.parametrize(
  ("content", "line", "reason", "message", "kept"),
  [
    (b"a\tt\nb\nc\tt\n", 2, "wrong number of columns", "1 columns", "ac"),
    (b"a\tt\nb\tT\tt\n", 2, "wrong number of columns", "3 columns", "a"),
    (b"a\tT\tt\nb\tt\n", 2, "wrong number of columns", "2 columns", "a"),
    (b"a b\nc\tt\n", 1, "wrong number of columns", "1 columns", "c"),
    (b"a\tt\na\tu\n", 2, "duplicate id", "a occurs again", "a"),
    (b"a\tT\t \nb\tT\tt", 1, "empty text", "a has no text", "b"),
    (b"a\tt\nb\t\xff\n", 2, "not UTF-8", "byte 2 ", "a"),
    (b"a b\tt\nc\tt\n", 1, "bad id", "'a b'", "c"),
    (b"\tt\nc\tt\n", 1, "bad id", "''", "c"),
  ],
)
def test_fault_is_named_or_counted(
  tmp_path, caplog, content, line, reason, message, kept
):
  path = write(tmp_path / "file.tsv", content)
  with pytest.raises(DataError) as caught:
    read(path)
  assert str(caught.value).startswith(f"{path}:{line}: ")
  assert message in str(caught.value)
  assert "on_error='skip'" in str(caught.value)
  with caplog.at_level("WARNING", logger="absl"):
    assert [p.id for p in read(path, on_error="skip")] == list(kept)
  assert [record.getMessage() for record in caplog.records] == [
    f"{path}: skipped 1 lines: 1 {reason}"
  ]


def test_absent_and_damaged_files_are_named(tmp_path):
  with pytest.raises(DataError, match=r"none\.tsv: cannot be read .* UTF-8"):
    read(tmp_path / "none.tsv")
  path = tmp_path / "collection.tsv.gz"
  path.write_bytes(gzip.compress(b"p1\ttext\n" * 99)[:-9])
  with pytest.raises(DataError, match="compressed by gzip"):
    read(path, on_error="skip")
  path.write_bytes(b"p1\ttext\n")
  with pytest.raises(DataError, match="compressed by gzip"):
    read(path)


def test_a_file_that_was_compressed_twice_is_named(tmp_path):
  path = write(tmp_path / "collection.tsv.gz", gzip.compress(b"p1\ttext\n"))
  with pytest.raises(
    DataError, match=r"tsv\.gz: what comes out of it is compr"
  ):
    read(path)
  assert [*tmp_path.iterdir()] == [path]


def test_a_full_disk_is_no_fault_of_the_file(tmp_path, monkeypatch):
  path = write(tmp_path / "collection.tsv.gz", b"p1\ttext\n")
  full = tmp_path / "full"
  full.symlink_to("/dev/full")
  monkeypatch.setattr(lines, "unpacked", lambda folder: full)
  with pytest.raises(OSError, match="No space left"):
    read(path)


def test_titles_of_a_file_of_their_own(tmp_path):
  path = write(tmp_path / "c.tsv", b"p3\tx\np1\ty\np2\tz\np5\tv\np4\tw\n")
  titles = "p1\tÖne\np3\tThree \r\np4\tFour\np5\tFive"
  own = write(tmp_path / "t.tsv.gz", titles.encode())
  for size in (1, 100):
    assert read(path, titles=own, shard_lines=size) == [
      Passage("p3", "Three", "x"),
      Passage("p1", "Öne", "y"),
      Passage("p2", "", "z"),
      Passage("p5", "Five", "v"),
      Passage("p4", "Four", "w"),
    ]
  marked = write(tmp_path / "m.tsv", b"\xef\xbb\xbfp3\tThree\n")
  assert read(path, titles=marked)[0] == Passage("p3", "Three", "x")
  for content, message in [
    (b"p1\tt\np2\tu\np1\tv\n", "3: p1 occurs again; keep one of the lines"),
    (b"p1\tt\n\np9\tt\n", "3: passage p9 is not in the collection"),
    (b"p1\n", "1: 1 columns, expected passage id TAB title"),
    (b"p1\t\xff\n", "1: byte 3 of the line is not UTF-8"),
  ]:
    own = write(tmp_path / "t.tsv", content)
    with pytest.raises(DataError, match=message):
      read(path, titles=own)
    read(path, titles=own, on_error="skip")
