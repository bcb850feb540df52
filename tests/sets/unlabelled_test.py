"""Training queries without labels: files beside a set, and hidden labels."""

import gzip
import json

import pytest

from prod_jax import config
from prod_jax.sets import dataset
from prod_jax.sets.records import DataError, Query

BARE = [Query("u1", "what?", ()), Query("u2", "how?", ())]


def test_queries_of_a_file_stand_behind_those_with_labels(open_source, source):
  before = open_source()
  (source / "queries.unlabelled.tsv").write_text("u1\twhat?\nu2\thow?\n")
  opened = open_source()
  assert opened.queries["train"] == [*before.queries["train"], *BARE]
  assert opened.queries["test"] == before.queries["test"]
  assert "unlabelled" not in opened.queries
  assert opened.positive_rows("train")[3:] == [(), ()]
  assert opened.fingerprint != before.fingerprint


def test_json_lines_and_compressed_files_are_read_too(open_source, source):
  lines = [json.dumps({"_id": q.id, "text": q.text}) for q in BARE]
  with gzip.open(source / "queries.unlabelled.jsonl.gz", "wt") as file:
    file.write("\n".join(lines))
  assert open_source().queries["train"][3:] == BARE
  limited = open_source(max_queries={"unlabelled": 1})
  assert len(limited.queries["train"]) == 4


def test_a_beir_folder_has_them_too(tmp_path):
  folder = tmp_path / "beir"
  (folder / "qrels").mkdir(parents=True)
  (folder / "corpus.jsonl").write_text('{"_id": "d", "text": "a text"}\n')
  (folder / "queries.jsonl").write_text('{"_id": "q", "text": "asked"}\n')
  (folder / "qrels" / "test.tsv").write_text(
    "query-id\tcorpus-id\tscore\nq\td\t1\n"
  )
  (folder / "queries.unlabelled.jsonl").write_text(
    '{"_id": "u1", "text": "what?"}\n'
  )
  data = config.Data(name="beir", path=str(folder))
  opened = dataset.locate(data, str(tmp_path / "prepared")).open()
  assert opened.queries["train"] == BARE[:1]


def test_queries_of_a_beir_folder_without_labels_are_not_left_out_unsaid(
  tmp_path, caplog
):
  (tmp_path / "corpus.jsonl").write_text('{"_id": "d", "text": "a text"}\n')
  line = '{"_id": "q", "text": "asked"}\n'
  (tmp_path / "queries.jsonl").write_text(line)
  (tmp_path / "queries.unlabelled.tsv").write_text("u1\twhat?\n")
  dataset.locate(config.Data(name="beir", path=str(tmp_path)), "")
  assert "queries.jsonl: not read" in caplog.text
  assert "in a file queries.unlabelled.jsonl" in caplog.text


def test_labels_are_hidden_and_nothing_else_changes(open_source):
  whole, few = open_source(), open_source(labelled=1)
  labels = [bool(query.positives) for query in few.queries["train"]]
  assert sum(labels) == 1
  for before, after in zip(
    whole.queries["train"], few.queries["train"], strict=True
  ):
    assert after == before or after == Query(before.id, before.text, ())
  assert list(few.passages) == list(whole.passages)
  assert few.queries["test"] == whole.queries["test"]
  assert few.fingerprint != whole.fingerprint
  # More labels keep those that fewer kept.
  more = open_source(labelled=2).queries["train"]
  kept = [bool(query.positives) for query in more]
  assert all(b for a, b in zip(labels, kept, strict=True) if a)


def test_own_negatives_are_those_of_labelled_queries(open_source, source):
  (source / "negatives.train.tsv").write_text("q1\td20\n")
  (source / "queries.unlabelled.tsv").write_text("u1\twhat?\n")
  rows = open_source().negative_rows("train")
  assert rows[:, :1].tolist() == [[1], [-1], [-1], [-1]]


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("q1\tagain\n", "query 'q1' is one of split train too"),
    ("", "has no query"),
    ("u1\ta\nu1\tb\n", ":2: u1"),
    ("u1 no tab\n", ":1: "),
  ],
)
def test_a_file_at_fault(open_source, source, content, message):
  (source / "queries.unlabelled.tsv").write_text(content)
  with pytest.raises(DataError, match=message):
    open_source()


def test_two_files_are_one_too_many(open_source, source):
  for ending in ("tsv", "jsonl.gz"):
    (source / f"queries.unlabelled.{ending}").write_bytes(b"")
  with pytest.raises(DataError, match="has both"):
    open_source()


@pytest.mark.parametrize("labelled", [-1, 4])
def test_more_labels_than_there_are(open_source, labelled):
  with pytest.raises(DataError, match=r"data\.labelled is .* 3 labelled"):
    open_source(labelled=labelled)


def test_answers_are_asked_of_labelled_queries_alone(open_source, source):
  """As NQ's, which all have some, beside queries that nobody labelled."""
  (source / "queries.unlabelled.tsv").write_text("u1\twhat?\n")
  opened = open_source()
  with pytest.raises(DataError, match="without answers"):
    opened.answers("train")
  known = [q._replace(answers=("a",)) for q in opened.queries["train"][:3]]
  opened.queries["train"][:3] = known
  assert opened.answers("train") == [("a",), ("a",), ("a",), ()]
