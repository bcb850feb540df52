"""Queries that a generator made, as generators write them down."""

import gzip
import json

import pytest

from prod_jax import config
from prod_jax.sets import dataset
from prod_jax.sets.records import DataError, Query


def write(folder, *records, name="queries.generated.jsonl"):
  lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
  (folder / name).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
  ("record", "queries"),
  [
    pytest.param(
      {"query": "what?", "log_probs": [-1.0], "doc_id": "d1", "doc_text": "x"},
      [("generated-1", "what?", "d1")],
      id="InPars",
    ),
    pytest.param(
      {"id": "d20", "title": "T", "text": "x", "predicted_queries": ["a", "b"]},
      [("generated-1-1", "a", "d20"), ("generated-1-2", "b", "d20")],
      id="doc2query",
    ),
    pytest.param(
      {"_id": "g7", "text": " how? ", "passage_ids": ["d1", "d3", "d1"]},
      [("g7", "how?", "d1 d3")],
      id="several passages",
    ),
    pytest.param(
      {"qid": 3, "question": "why?", "pid": "d3", "text": "not a query"},
      [("3", "why?", "d3")],
      id="numbers",
    ),
    pytest.param(
      {"query_id": "g", "queries": ["a"], "docid": "d3"},
      [("g-1", "a", "d3")],
      id="ids of both",
    ),
  ],
)
def test_a_generators_objects_are_read(open_source, source, record, queries):
  before = open_source()
  write(source, record)
  opened = open_source()
  train = opened.queries["train"]
  assert train == [
    *before.queries["train"],
    *(Query(name, text, ()) for name, text, _ in queries),
  ]
  assert opened.made_of == [tuple(of.split()) for *_, of in queries]
  assert opened.made_of_rows == {
    3 + i: tuple(opened.row_of[name] for name in of.split())
    for i, (*_, of) in enumerate(queries)
  }
  assert opened.fingerprint != before.fingerprint
  assert before.made_of_rows == {} and "generated" not in opened.queries


def test_they_are_no_labels_and_stand_behind_all_others(open_source, source):
  with open(source / "collection.tsv", "a") as file:
    file.write("d4\t\tfourth\nd5\t\tfifth\nd6\t\tsixth\n")
  write(source, {"query": "what?", "pid": "d5"})
  (source / "queries.unlabelled.tsv").write_text("u1\tand?\n")
  opened = open_source(labelled=1, max_passages=4)
  names = [query.id for query in opened.queries["train"]]
  assert names == ["q1", "q2", "q4", "u1", "generated-1"]
  assert opened.positive_rows("train")[-1] == ()
  # What a query was made of stays where a collection is made smaller.
  assert [passage.id for passage in opened.passages] == [
    "d1",
    "d20",
    "d3",
    "d5",
  ]
  assert opened.made_of_rows == {4: (3,)}


def test_beirs_generator_has_a_file_for_the_passages(open_source, source):
  """As GPL keeps qgen-queries.jsonl and qgen-qrels/train.tsv."""
  queries = [{"_id": f"genQ{i}", "text": f"t{i}", "metadata": {}} for i in "12"]
  write(source, *queries)
  rows = ["query-id\tcorpus-id\tscore", "genQ2\td3\t1", "genQ1\td20\t1"]
  (source / "qrels.generated.tsv").write_text("\n".join(rows) + "\n")
  assert open_source().made_of == [("d20",), ("d3",)]
  (source / "qrels.generated.tsv").write_text("genQ2 0 d1 1\n")
  opened = open_source()
  assert opened.queries["train"][3:] == [Query("genQ2", "t2", ())]
  assert opened.made_of == [("d1",)]


@pytest.mark.parametrize("name", ["folder", "beir"])
def test_a_collection_needs_no_labels_beside_them(tmp_path, name):
  folder = tmp_path / "set"
  folder.mkdir()
  text = json.dumps({"query": "what?", "doc_id": "d"})
  with gzip.open(folder / "queries.generated.jsonl.gz", "wt") as file:
    file.write(text)
  (folder / "collection.tsv").write_text("d\ta text\n")
  (folder / "corpus.jsonl").write_text('{"_id": "d", "text": "a text"}\n')
  data = config.Data(name=name, path=str(folder))
  opened = dataset.locate(data, str(tmp_path / "prepared")).open()
  assert {split: len(of) for split, of in opened.queries.items()} == {
    "train": 1
  }
  assert opened.made_of_rows == {0: (0,)}


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ("no JSON", ":1: no JSON"),
    ("[1]", ":1: no JSON object"),
    ({"pid": "d1"}, ":1: no query: none of predicted_queries"),
    ({"query": 1.5, "pid": "d1"}, "query 1.5 is no string"),
    ({"query": "a\ud800", "pid": "d1"}, "query has half of a surrogate pair"),
    ({"query": "what?"}, "no passage: none of doc_id"),
    ({"query": "what?", "pid": "d9"}, "passage d9 is not in the collection"),
    ({"query": " ", "pid": "d1"}, "generated-1 has no text"),
    ({"qid": "a b", "query": "x", "pid": "d1"}, "id 'a b' is empty or has"),
    ({"qid": "q1", "query": "x", "pid": "d1"}, "'q1' is one of split train"),
  ],
)
def test_a_line_at_fault(open_source, source, line, message):
  write(source, line)
  with pytest.raises(DataError, match=message):
    open_source()


def test_lines_at_fault_are_counted(open_source, source, caplog):
  good = {"query": "what?", "pid": "d1"}
  write(source, good, {"query": "x", "pid": "d9"}, {"query": "x"}, "{")
  opened = open_source(on_error="skip")
  assert opened.made_of == [("d1",)]
  assert "skipped 3 lines: 1 unknown passage, 1 no passage" in caplog.text
  write(source, {"query": "x"})
  with pytest.raises(DataError, match="has no query"):
    open_source(on_error="skip")
