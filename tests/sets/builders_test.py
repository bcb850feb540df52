"""Published sets, from files to open datasets."""

import json
import pathlib
import re
import sys

import numpy as np
import pytest

from prod_jax import artefacts, config
from prod_jax.sets import collection, dataset, negatives, parallel
from prod_jax.sets.datasets import layout
from prod_jax.sets.records import DataError, Passage, Query
from tests.sets import published


def located(name, path, data_dir, **options) -> dataset.Located:
  data = config.Data(name=name, path=str(path), **options)
  return dataset.locate(data, str(data_dir))


@pytest.fixture
def opened(tmp_path):
  """Writes a set of a name, lets it be changed, opens it."""

  def open_set(name, change=None, **options) -> dataset.Dataset:
    folder = tmp_path / f"{name}-files"
    if not folder.exists():
      folder.mkdir()
      getattr(published, name)(folder)
    if change:
      change(folder)
    return located(name, folder, tmp_path / "data", **options).open()

  return open_set


def replaced(name: str, text: str):
  return lambda folder: published.write(folder / name, text)


def test_msmarco_passage(opened, caplog):
  with caplog.at_level("WARNING", logger="absl"):
    found = opened("msmarco_passage")
  assert found.name == "msmarco_passage"
  assert [tuple(p) for p in found.passages] == [
    (name, "", text) for name, text in published.PASSAGES.items()
  ]
  assert found.queries == {
    "train": [
      Query("10", "how is tea made", (("3", 1),)),
      Query("11", "how to keep bread", (("1", 1),)),
    ],
    "dev": [Query("20", "when does the ferry go", (("2", 1),))],
    "dl19": [Query("41", "boats in storms", (("4", 3), ("2", 1)))],
  }
  assert "passages 5 instead of 8,841,823" in caplog.text
  assert "dl19 queries 1 instead of 43" in caplog.text


def test_titles_of_rocketqa(opened):
  found = opened("msmarco_passage", titles="rocketqa")
  titles = [passage.title for passage in found.passages]
  assert titles == ["Kettle", "Bread", "Ferry", "", ""]
  plain = opened("msmarco_passage")
  assert plain.passages.fingerprint != found.passages.fingerprint
  with pytest.raises(DataError, match=r"para\.title\.txt.*marco\.tar\.gz"):
    opened(
      "msmarco_passage",
      lambda folder: (folder / "para.title.txt").unlink(),
      titles="rocketqa",
    )


@pytest.mark.parametrize("block", [2, 100])
def test_official_triples(opened, monkeypatch, block):
  monkeypatch.setattr(negatives, "_BLOCK_LINES", block)
  monkeypatch.setattr(parallel, "_cores", lambda: 1)
  found = opened("msmarco_passage")
  # Query 10 has a triple whose negative is its positive: left out.
  assert found.negative_rows("train").tolist() == [[2, -1, -1], [0, 4, 2]]
  one = found.negative_rows("train", limit=1, seed=3)
  assert one.shape == (2, 1)
  assert one[1, 0] in (0, 2, 4)
  again = opened("msmarco_passage").negative_rows("train", limit=1, seed=3)
  np.testing.assert_array_equal(one, again)
  draws = [found.negative_rows("train", 1, seed)[1, 0] for seed in range(20)]
  assert set(draws) == {0, 2, 4}
  assert found.negative_rows("train").dtype == np.int32
  with pytest.raises(DataError, match="'dev'; it has some for train"):
    found.negative_rows("dev")


def test_negatives_of_a_part(opened):
  def change(folder):
    (folder / "qrels.dev.small.tsv").unlink()
    (folder / "2019qrels-pass.txt").unlink()

  # The labelled passages 1 and 3, and one of 0, 2, 4: what is left of the
  # negatives has new rows.
  found = opened("msmarco_passage", change, max_passages=3)
  (kept,) = {"0", "2", "4"} & set(found.row_of)
  row = found.row_of[kept]
  first = row if kept == "2" else -1
  assert found.negative_rows("train").tolist() == [[first], [row]]
  one = opened("msmarco_passage", max_queries={"train": 1}, max_passages=3)
  assert one.negative_rows("train").shape[0] == 1


@pytest.mark.parametrize(
  ("file", "text", "message"),
  [
    ("qrels.train.tsv", "10 0 99 1\n", "qrels.train.tsv:1: passage 99"),
    ("qrels.dev.small.tsv", "20 0 2\n", "qrels.dev.small.tsv:1: 3 columns"),
    ("2019qrels-pass.txt", "41 0 2 x\n", "2019qrels-pass.txt:1: grade 'x'"),
    ("collection.tsv", "0\tone\n1\n", "collection.tsv:2: 1 columns"),
    ("queries.dev.tsv", "20\n", "queries.dev.tsv:1: 1 columns"),
  ],
)
def test_faults_of_msmarco_passage(opened, file, text, message):
  with pytest.raises(DataError, match=re.escape(message)):
    opened("msmarco_passage", replaced(file, text))


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("11\t1\t0\n11\t1\n", ":2: 2 columns"),
    ("11\t1\t77\n", ":1: passage 77 is not in the collection"),
  ],
)
def test_faults_of_triples(opened, text, message):
  name = "qidpidtriples.train.full.2.tsv"
  found = opened("msmarco_passage", replaced(name, text))
  with pytest.raises(DataError, match=re.escape(f"{name}{message}")):
    found.negative_rows("train")
  skipping = opened("msmarco_passage", on_error="skip")
  assert (skipping.negative_rows("train") >= 0).sum() == text.count("\t0\n")


def test_topics_and_judgements_of_the_tracks(opened, shared):
  oracle = shared / "oracle/trec_dl"
  wanted = {"dl19": (43, "2019"), "dl20": (54, "2020")}

  def change(folder: pathlib.Path) -> None:
    names = set()
    for split, (_, year) in wanted.items():
      judged = (oracle / f"qrels.{split}-passage.txt").read_text()
      names |= {line.split()[2] for line in judged.splitlines()}
      (folder / f"{year}qrels-pass.txt").write_text(judged)
      topics = f"topics.{split}{'-passage' if split == 'dl19' else ''}.txt"
      published.write(
        folder / f"msmarco-test{year}-queries.tsv.gz",
        (oracle / topics).read_text(),
      )
    rows = [*published.PASSAGES.items(), *((n, "t") for n in sorted(names))]
    known = dict(rows)
    published.write(folder / "collection.tsv", published.table(*known.items()))

  found = opened("msmarco_passage", change)
  for split, (count, _) in wanted.items():
    assert len(found.queries[split]) == count
    grades = {g for q in found.queries[split] for _, g in q.positives}
    assert grades == {1, 2, 3}


def test_msmarco_document(opened):
  found = opened("msmarco_document")
  bread = f"http://c.example/<sep>Bread<sep>{published.PASSAGES['1']}"
  assert found.passages[2] == Passage("D30", "", bread)
  assert found.passages[1].text == "http://b.example/<sep><sep>"
  assert found.queries == {
    "train": [Query("1", "bread", (("D30", 1),))],
    "dev": [Query("2", "tea", (("D1", 1),))],
    "dl20": [Query("3", "leaf", (("D1", 3),))],
  }
  assert found.negative_rows("train").tolist() == [[1, 0]]
  cut = opened("msmarco_document", max_characters=25)
  assert [p.text for p in cut.passages] == [
    "http://a.example/<sep>Tea",
    "http://b.example/<sep><se",
    "http://c.example/<sep>Bre",
  ]
  assert cut.fingerprint != found.fingerprint
  with pytest.raises(DataError, match=r"docs\.tsv:1: 3 columns, expected doc"):
    opened("msmarco_document", replaced("msmarco-docs.tsv", "D1\tu\tt\n"))


def test_nq(opened):
  found = opened("nq")
  assert found.passages[0] == Passage("1", "Home", published.PASSAGES["0"])
  assert found.passages[5] == Passage(
    "6", 'Sign "A"', 'A "quoted" word and a tab-free line'
  )
  tea = (("4", 1), ("1", 1))
  answers = ("dried leaf", "a leaf")
  assert found.queries == {
    "train": [
      Query("train0", "what is tea", tea, answers),
      Query(
        "train1",
        "when does the ferry leave",
        (("3", 1),),
        ("noon", "a week"),
      ),
    ],
    "dev": [Query("dev0", "what is tea", tea, answers)],
    "test": [
      Query("test0", "how long does bread keep", (), ("a week", "seven days")),
      Query("test1", "what does a sign say", (), ("it's 'A'",)),
    ],
  }
  assert found.answers("dev") == [answers]
  assert found.negative_rows("train").tolist() == [[1, 4], [-1, -1]]
  with pytest.raises(DataError, match="without answers"):
    opened("msmarco_document").answers("train")


@pytest.mark.parametrize(
  ("file", "text", "message"),
  [
    ("psgs_w100.tsv", "1\tx\ty\n", ":1: begins with '1\\tx\\ty', expected the"),
    ("psgs_w100.tsv", "id\ttext\ttitle\n1\tx\n", ":2: 2 columns, expected"),
    ("nq-test.qa.csv", "who\t['a']\nwho\tmain()\n", ":2: no question with a"),
    ("nq-test.qa.csv", "who\t[]\n", ":1: no question with a list"),
    ("biencoder-nq-train.json", '[\n{"question": "x"}]', ":2: an object with"),
    (
      "biencoder-nq-train.json",
      '[\n{"question": }]',
      ":2: no JSON list",
    ),
    ("biencoder-nq-train.json", '{"a": 1}', ":1: no JSON list of objects"),
  ],
)
def test_faults_of_nq(opened, file, text, message):
  with pytest.raises(DataError, match=re.escape(f"{file}{message}")):
    opened("nq", replaced(file, text))


def test_unknown_passages_of_nq(opened):
  def change(folder):
    text = "id\ttext\ttitle\n4\tleaf\tT\n"
    published.write(folder / "psgs_w100.tsv", text)

  with pytest.raises(DataError, match=r"train\.json\.gz:2: passage 1 is not"):
    opened("nq", change)
  found = opened("nq", on_error="skip")
  assert found.qrels("train") == {"train0": {"4": 1}}
  assert found.negative_rows("train").tolist() == [[]]


def test_beir(opened):
  found = opened("beir")
  assert found.name == "beir-files"
  assert found.passages[0] == Passage("p-0", "T", published.PASSAGES["0"])
  assert found.passages[5] == Passage("only-title", "", "Just a title")
  assert found.queries == {
    "train": [Query("q2", "boats", (("p-4", 1),))],
    "test": [Query("q1", "tea", (("p-3", 2), ("p-0", 1)))],
  }
  with pytest.raises(DataError, match="for none of its splits"):
    found.negative_rows("train")


@pytest.mark.parametrize(
  ("file", "text", "message"),
  [
    ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{\n', ":2: no JSON"),
    ("corpus.jsonl", '{"_id": 1.0, "text": "x"}\n', ":1: no object with the"),
    ("corpus.jsonl", '{"_id": true, "text": "x"}\n', ":1: no object with the"),
    ("corpus.jsonl", '{"_id": null, "text": "x"}\n', ":1: no object with the"),
    ("corpus.jsonl", '{"_id": "1", "text": null}\n', ":1: 1 has no text"),
    (
      "corpus.jsonl",
      '{"_id": "1", "text": "x"}\n{"_id": "2", "text": "x \\ud83d y"}\n',
      ":2: text has half of a surrogate pair at character 2",
    ),
    (
      "queries.jsonl",
      '{"_id": "\\udc00", "text": "x"}\n',
      ":1: _id has half of a surrogate pair at character 0",
    ),
    ("corpus.jsonl", "[" * 100_000 + "\n", ":1: no JSON"),
    ("corpus.jsonl", '{"_id": "1", "text": ""}\n', ":1: 1 has no text"),
    ("queries.jsonl", '{"_id": "1"}\n', ":1: no object with the strings"),
    ("qrels/test.tsv", "q1\tp-3\t1\n", ":1: begins with 'q1\\tp-3\\t1'"),
    ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\tx\t1\n", ":2: passage"),
  ],
)
def test_faults_of_beir(opened, file, text, message):
  with pytest.raises(DataError, match=re.escape(f"{file}{message}")):
    opened("beir", replaced(file, text))


def test_a_surrogate_is_skipped_and_counted(opened, caplog):
  rows = '{"_id": "p-4", "text": "x"}\n{"_id": "b", "title": "\\ud83d"}\n'
  rows += '{"_id": "c", "text": "whole \\ud83d\\ude00"}\n'

  def change(folder):
    replaced("corpus.jsonl", rows)(folder)
    (folder / "qrels/test.tsv").unlink()

  rows = rows.replace('"title"', '"text": "x", "title"')
  with caplog.at_level("WARNING", logger="absl"):
    found = opened("beir", change, on_error="skip")
  assert [p.text for p in found.passages] == ["x", "whole \U0001f600"]
  assert "corpus.jsonl: skipped 1 lines: 1 not UTF-8" in caplog.text


def test_nulls_and_integers_of_beir(opened):
  def change(folder):
    corpus = [
      {"_id": 7, "title": None, "text": "seven"},
      {"_id": 8, "title": "Eight", "text": None},
      {"_id": 9, "title": "Nine", "text": "nine"},
    ]
    published.write(folder / "corpus.jsonl", published.objects(corpus))
    queries = [{"_id": 1, "text": "x"}, {"_id": 2, "title": None, "text": "y"}]
    lines = "".join(json.dumps(q) + "\n" for q in queries)
    published.write(folder / "queries.jsonl", lines)
    header = "query-id\tcorpus-id\tscore\n"
    published.write(folder / "qrels/test.tsv", header + "1\t7\t1\n")
    published.write(folder / "qrels/train.tsv", header + "2\t9\t1\n")

  found = opened("beir", change)
  assert [tuple(p) for p in found.passages] == [
    ("7", "", "seven"),
    ("8", "", "Eight"),
    ("9", "Nine", "nine"),
  ]
  assert found.queries["test"] == [Query("1", "x", (("7", 1),))]


def test_queries_of_another_split_are_not_left_out(opened, caplog):
  with caplog.at_level("INFO", logger="absl"):
    opened("beir")
  assert "left out" not in caplog.text

  def change(folder):
    more = '{"_id": "q1", "text": "t"}\n{"_id": "q2", "text": "b"}\n'
    replaced("queries.jsonl", more + '{"_id": "q3", "text": "c"}\n')(folder)

  with caplog.at_level("INFO", logger="absl"):
    opened("beir", change)
  assert "queries.jsonl: left out 1 queries without a positive" in caplog.text


def own_documents(folder):
  """Queries of a set of BEIR's that are passages, one of them its positive."""
  rows = [{"_id": n, "text": f"text {n}"} for n in ("q1", "q2", "p-0", "p-4")]
  published.write(folder / "corpus.jsonl", published.objects(rows))
  header = "query-id\tcorpus-id\tscore\n"
  published.write(folder / "qrels/test.tsv", header + "q1\tp-0\t1\n")
  published.write(folder / "qrels/train.tsv", header + "q2\tq2\t1\n")


def test_own_documents_are_left_out_where_a_set_says_so(tmp_path, caplog):
  caplog.set_level("INFO", logger="absl")
  opened = {}
  for name, said in (
    ("arguana", ""),
    ("arguana", "keep"),
    ("ArguAna", ""),
    ("scifact", ""),
    ("scifact", "leave_out"),
  ):
    folder = tmp_path / name
    if not folder.exists():
      folder.mkdir()
      published.beir(folder)
      own_documents(folder)
    found = located("beir", folder, tmp_path / "data", own_documents=said)
    caplog.clear()
    opened[name, said] = found.open()
    asked = "data.own_documents=leave_out takes them out" in caplog.text
    assert asked == ((name, said) == ("scifact", ""))
  for key in (("arguana", "keep"), ("scifact", "")):
    assert opened[key].own_rows("test") is None
    assert opened[key].no_negatives("test") == [()]
  for key in (("arguana", ""), ("ArguAna", ""), ("scifact", "leave_out")):
    assert opened[key].own_rows("test").tolist() == [0]
    assert opened[key].no_negatives("test") == [(0,)]
    assert opened[key].own_rows("train").tolist() == [-1]  # it is a positive
  prints = {key: found.fingerprint for key, found in opened.items()}
  assert prints["arguana", ""] != prints["arguana", "keep"]
  assert prints["scifact", ""] != prints["scifact", "leave_out"]


def test_options_of_other_sets(opened):
  with pytest.raises(
    DataError, match=r"data\.titles is 'rocketqa', which 'nq'"
  ):
    opened("nq", titles="rocketqa")
  with pytest.raises(DataError, match="'beir' cuts nothing"):
    opened("beir", max_characters=5)


@pytest.mark.parametrize("name", ["msmarco_passage", "msmarco_document", "nq"])
def test_missing_files_are_named(tmp_path, name):
  with pytest.raises(DataError, match=r"nowhere: data\.path is no folder"):
    located(name, tmp_path / "nowhere", tmp_path)
  with pytest.raises(DataError, match=r"expected a file \S+ or \S+"):
    located(name, tmp_path, tmp_path)


def test_notes_that_have_changed_are_no_notes(opened, tmp_path, caplog):
  """A number of theirs says how many records a shard has."""
  whole = opened("msmarco_passage").queries
  (notes,) = tmp_path.glob("data/*/queries-*/*/dataset_info.json")
  said = notes.read_text()
  fewer = re.sub(r'"shardLengths": \[\s*"\d+"', '"shardLengths": ["1"', said)
  for text in (fewer, said[: len(said) // 2], ""):
    assert text != said
    notes.write_text(text)
    found = located(
      "msmarco_passage", tmp_path / "msmarco_passage-files", tmp_path / "data"
    )
    assert not found.prepared
    assert notes.read_text() == text, "a dry run makes nothing"
    caplog.clear()
    assert found.open().queries == whole
    assert f"{notes} " in caplog.text and "it is made again" in caplog.text
    assert found.prepared
  notes.with_name(artefacts.SEAL).unlink()
  notes.write_text("{")
  with pytest.raises(DataError, match=r"cannot be read .*delete it"):
    found.open()


def test_names_are_those_of_tfds(tmp_path):
  published.msmarco_passage(tmp_path)
  source = located("msmarco_passage", tmp_path, tmp_path).source
  for kind, name in layout.names(source).items():
    builder = layout._builder(source, kind, str(tmp_path / "data"))
    assert builder.info.full_name == name
    assert pathlib.Path(builder.data_dir) == tmp_path / "data" / name


@pytest.fixture
def three_shards(tmp_path, monkeypatch):
  """Prepares a set of several shards into a folder of a name.

  Gives the texts, and all files: the records' by their size, since protobuf
  writes the fields of a record in an order that differs between processes.
  """
  monkeypatch.setattr(collection, "_SHARD_LINES", 2)
  folder = tmp_path / "files"
  folder.mkdir()
  published.msmarco_passage(folder)

  def prepare(name: str, **options) -> tuple[list, dict, dict]:
    data = tmp_path / name
    found = located("msmarco_passage", folder, data, titles="rocketqa").open(
      **options
    )
    files = {
      str(path.relative_to(data)): path.stat().st_size
      if "array_record" in path.name
      else path.read_bytes()
      for path in data.rglob("*")
      # A seal has times.
      if path.is_file() and path.name != artefacts.SEAL
    }
    return list(found.passages), found.queries, files

  return prepare


def test_processes_write_the_same_files(three_shards, monkeypatch):
  monkeypatch.setattr(parallel, "_cores", lambda: 2)
  together = three_shards("together")
  monkeypatch.setattr(parallel, "_cores", lambda: 1)
  assert three_shards("alone") == together
  _, _, files = together
  assert sum("of-00003" in name for name in files) == 3
  assert not any("unpacked" in name for name in files)


def test_absent_beam_is_named(three_shards, monkeypatch):
  monkeypatch.setitem(sys.modules, "apache_beam.options", None)
  with pytest.raises(DataError, match=r"install 'prod_jax\[beam\]'"):
    three_shards("beam", beam=["--runner=DirectRunner"])


def test_beam_writes_the_same_files(three_shards, monkeypatch):
  pytest.importorskip("apache_beam", reason="apache-beam is not installed")
  monkeypatch.setattr(parallel, "_cores", lambda: 1)
  local = three_shards("local")
  assert three_shards("beam", beam=["--runner=DirectRunner"]) == local
