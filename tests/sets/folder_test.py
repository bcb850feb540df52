"""Folders in the MS MARCO layout, from files to an open dataset."""

import subprocess
import sys

import numpy as np
import pytest

from prod_jax import artefacts, config, metrics
from prod_jax.sets import dataset
from prod_jax.sets.datasets import folder as folder_builder
from prod_jax.sets.datasets import own, published
from prod_jax.sets.records import DataError, Passage, Query
from tests.sets.conftest import FILES


def test_content(open_source):
  opened = open_source()
  assert opened.name == "my set"
  assert len(opened.passages) == 3
  assert list(opened.passages) == [
    Passage("d1", "One", "first text"),
    Passage("d20", "", "second téxt"),
    Passage("d3", "T", "third"),
  ]
  assert opened.passages[1].id == opened.passages.id(1) == "d20"
  assert opened.queries == {
    "train": [
      Query("q1", "one?", (("d3", 1), ("d1", 2))),
      Query("q2", "two?", (("d20", 1),)),
      Query("q4", "four?", (("d1", 1),)),
    ],
    "test": [Query("q9", "nine?", (("d20", 1),))],
  }
  assert opened.positive_rows("train") == [(2, 0), (1,), (0,)]
  assert opened.qrels("train")["q1"] == {"d3": 1, "d1": 2}


def test_rows_and_ids_that_are_not_there(open_source):
  opened = open_source()
  assert dict(opened.row_of) == {"d1": 0, "d20": 1, "d3": 2}
  assert "d2" not in opened.row_of
  for name in ("", "a", "d2", "d200", "d9"):
    with pytest.raises(KeyError):
      opened.row_of[name]
  for row in (-1, 3):
    with pytest.raises(IndexError, match="of 3 passages"):
      opened.passages[row]


def test_it_is_prepared_once(open_source, monkeypatch, caplog):
  first = open_source()
  monkeypatch.delattr(folder_builder, "_queries")
  with caplog.at_level("INFO", logger="absl"):
    again = open_source()
  assert "preparing" not in caplog.text
  assert again.fingerprint == first.fingerprint
  assert list(again.passages) == list(first.passages)


@pytest.mark.parametrize("change", ["a digit", "a cut", "features"])
def test_what_is_known_of_it_is_part_of_it(
  open_source, source, tmp_path, caplog, change
):
  first = open_source()
  (path,) = (tmp_path / "prepared").rglob(
    "*queries-*/1.0.0/"
    + ("features.json" if change == "features" else "dataset_info.json")
  )
  text = path.read_text()
  found = text.replace('"3"', '"2"') if change == "a digit" else text[:200]
  assert found != text
  path.write_text(found)
  data = config.Data(name="folder", path=str(source))
  located = dataset.locate(data, str(tmp_path / "prepared"))
  assert not located.prepared and located.fingerprint == first.fingerprint
  assert path.read_text() == found, "whoever only asks makes nothing"
  assert open_source().queries == first.queries
  assert "has changed" in caplog.text or " bytes, not " in caplog.text
  caplog.clear()
  open_source()
  assert "made again" not in caplog.text and "preparing" not in caplog.text


def test_a_set_without_a_seal_is_named_where_it_cannot_be_read(
  open_source, tmp_path
):
  open_source()
  (path,) = (tmp_path / "prepared").rglob("*queries-*/1.0.0/dataset_info.json")
  (path.parent / artefacts.SEAL).unlink()
  path.write_text(path.read_text()[:99])
  with pytest.raises(DataError, match=r"1\.0\.0 cannot be read .* delete it"):
    open_source()


def test_changed_qrels_leave_the_collection_alone(open_source, source):
  first = open_source()
  (source / "qrels.test.tsv").write_text("q9\td1\n")
  second = open_source()
  assert second.qrels("test") == {"q9": {"d1": 1}}
  assert second.fingerprint != first.fingerprint
  assert second.passages.fingerprint == first.passages.fingerprint
  (source / "collection.tsv").write_text(FILES["collection.tsv"][:-2] + "s\n")
  third = open_source()
  assert third.passages[2].text == "thirs"
  assert third.passages.fingerprint != first.passages.fingerprint


def test_large_files_are_known_by_size_and_time(source, monkeypatch):
  monkeypatch.setattr(published, "_HASHED_BYTES", 0)
  file = source / "collection.tsv"
  before = published.fingerprint([file], "raise")
  assert published.fingerprint([file], "raise") == before
  file.write_text(FILES["collection.tsv"] + "d4\tT\tmore\n")
  assert published.fingerprint([file], "raise") != before


def test_max_queries_is_the_same_choice_each_time(open_source, source):
  whole = open_source()
  limited = open_source(max_queries={"train": 2})
  assert len(limited.queries["train"]) == 2
  assert limited.queries == open_source(max_queries={"train": 2}).queries
  assert limited.queries["test"] == whole.queries["test"]
  assert limited.fingerprint != whole.fingerprint
  kept = [q for q in whole.queries["train"] if q in limited.queries["train"]]
  assert kept == limited.queries["train"]
  # The choice is by id: the order of the file changes nothing but the order.
  lines = FILES["queries.train.tsv"].splitlines(keepends=True)
  (source / "queries.train.tsv").write_text("".join(reversed(lines)))
  turned = open_source(max_queries={"train": 2})
  assert turned.queries["train"] == limited.queries["train"][::-1]


@pytest.mark.parametrize("limits", [{"dev": 1}, {"train": 0}])
def test_impossible_max_queries(open_source, limits):
  with pytest.raises(DataError, match="splits train, test"):
    open_source(max_queries=limits)


def test_max_passages_keeps_what_is_labelled(open_source, source):
  (source / "collection.tsv").write_text(
    FILES["collection.tsv"]
    + "".join(f"x{i}\t\tfiller {i}\n" for i in range(20))
  )
  whole = open_source()
  small = open_source(max_passages=8)
  assert len(small.passages) == len(list(small.passages)) == 8
  labelled = {
    p for q in small.queries.values() for x in q for p, _ in x.positives
  }
  assert labelled < set(small.row_of)
  for name, row in small.row_of.items():
    assert small.passages.id(row) == small.passages[row].id == name
    assert small.passages[row] == whole.passages[whole.row_of[name]]
  assert small.fingerprint != whole.fingerprint
  assert small.passages.fingerprint != whole.passages.fingerprint
  assert list(open_source(max_passages=8).passages) == list(small.passages)
  assert list(open_source(max_passages=99).passages) == list(whole.passages)
  with pytest.raises(DataError, match="max_passages is 1"):
    open_source(max_passages=1)


def test_triples_are_negatives_unless_there_is_a_file_of_them(
  open_source, source
):
  data = config.Data(name="folder", path=str(source))

  def negatives() -> list[list[int]]:
    of, _ = open_source().own_negatives("train", judged=False)
    return [of(query).tolist() for query in range(3)]

  with pytest.raises(DataError, match="comes without negatives for split"):
    negatives()
  known = [own.fingerprint(data, "train")]
  triples = "q1\td3\td20\nq2\td20\td1\nq1\td1\td20\nq3\td1\td3\n"
  (source / "qidpidtriples.train.full.2.tsv").write_text(triples)
  assert negatives() == [[1], [0], []]
  known.append(own.fingerprint(data, "train"))
  assert own.fingerprint(data, "test") == ""
  (source / "negatives.train.tsv").write_text("q2 d3 and more\n")
  assert negatives() == [[], [2], []]
  known.append(own.fingerprint(data, "train"))
  assert known[0] == "" and len({*known}) == 3
  # Three passages on a line would have lost two, or been the wrong one.
  (source / "negatives.train.tsv").write_text("q1 d20 1 x\nq2\td3\td20\n")
  message = r"negatives\.train\.tsv:2: several passages, d3 and d20; write one"
  with pytest.raises(DataError, match=message):
    negatives()


def test_a_number_behind_a_negative_may_be_a_score(open_source, source):
  collection = source / "collection.tsv"
  collection.write_text(f"{collection.read_text()}7\tSeven\tand eight\n")
  (source / "negatives.train.tsv").write_text("q1 d20 7\nq2 d1\n")
  of, _ = open_source().own_negatives("train", judged=False)
  assert [of(query).tolist() for query in range(2)] == [[1], [0]]


def test_fault_stops_and_repair_goes_on(open_source, source):
  (source / "collection.tsv").write_text("d1\tOne\tfirst text\nd20\n")
  with pytest.raises(DataError, match=r"collection\.tsv:2: "):
    open_source()
  (source / "collection.tsv").write_text(FILES["collection.tsv"])
  assert len(open_source().passages) == 3


def test_skip_carries_through_to_the_labels(open_source, source):
  (source / "collection.tsv").write_text("d1\tOne\tfirst text\nd20\nd3\tT\tx\n")
  (source / "qrels.test.tsv").write_text("q9 d1\n")
  opened = open_source(on_error="skip", max_queries={"train": 9})
  assert [passage.id for passage in opened.passages] == ["d1", "d3"]
  assert opened.qrels("train") == {"q1": {"d3": 1, "d1": 2}, "q4": {"d1": 1}}
  with pytest.raises(DataError):
    open_source()  # what was skipped before is a fault again


def test_what_the_collection_lacks_counts_as_missed_and_teaches_nobody(
  open_source, source, caplog
):
  """One of two, the only one, and of a query to train on."""
  (source / "queries.test.tsv").write_text("q9\tnine?\nq8\teight?\n")
  (source / "qrels.test.tsv").write_text(
    "q9 0 d20 1\nq9 0 gone 2\nq8 0 lost 1\nq8 0 no 0\n"
  )
  with (source / "qrels.train.tsv").open("a") as file:
    file.write("q4 0 gone 1\nq3 0 gone 1\n")
  with pytest.raises(DataError, match=r"train\.tsv:6: passage gone is not in"):
    open_source()
  with caplog.at_level("INFO", logger="absl"):
    opened = open_source(on_error="skip", max_passages=3)
  assert opened.qrels("test") == {
    "q9": {"d20": 1, "gone": 2},
    "q8": {"lost": 1},
  }
  assert opened.positive_rows("test") == [(1,), ()]
  assert opened.qrels("train").keys() == {"q1", "q2", "q4"}
  assert (
    "split test: 2 positives of 2 queries are not in the collection; they "
    "count as missed, which for 1 queries is all there is"
  ) in caplog.messages
  assert "skipped 2 lines: 2 unknown passage" in caplog.text  # of train
  found = metrics.evaluate(
    {"q9": {"d20": 1.0}}, opened.qrels("test"), ["recall@9", "ndcg@9", "mrr"]
  )
  ideal = 2 + 1 / np.log2(3)
  assert found == {
    "recall@9": {"q9": 0.5, "q8": 0.0},
    "ndcg@9": {"q9": pytest.approx(1 / ideal), "q8": 0.0},
    "mrr": {"q9": 1.0, "q8": 0.0},
  }


def test_split_without_any_positive(open_source, source):
  (source / "qrels.test.tsv").write_text("q9 0 d1 0\n")
  with pytest.raises(DataError, match=r"none of its 1 .* qrels\.test\.tsv"):
    open_source()


def test_empty_collection(open_source, source):
  (source / "collection.tsv").write_text("\n")
  with pytest.raises(DataError, match=r"collection\.tsv: there is no passage"):
    open_source()


def test_missing_files_are_named(open_source, source, tmp_path):
  (source / "qrels.test.tsv").unlink()
  with pytest.raises(DataError, match=r"expected a file qrels\.test\.tsv"):
    open_source()
  with pytest.raises(
    DataError, match=r"nowhere: expected a folder.*no such folder"
  ):
    nowhere = config.Data(name="folder", path=str(tmp_path / "nowhere"))
    dataset.locate(nowhere, str(tmp_path))


def test_two_processes_at_once_agree(open_source, monkeypatch):
  queries = folder_builder._queries
  nested = []

  def interrupted(*args):
    if not nested:
      nested.append(None)
      nested[0] = open_source()
    return queries(*args)

  monkeypatch.setattr(folder_builder, "_queries", interrupted)
  assert open_source().queries == nested[0].queries


def test_killed_in_the_middle_it_starts_again(open_source, source, tmp_path):
  program = f"""
import os, signal, sys
from prod_jax import config, metrics
from prod_jax.sets import dataset
from prod_jax.sets.datasets import layout
example = layout._example
def killed(record):
  if record.id == "d3":
    assert "tensorflow" not in sys.modules and "jax" not in sys.modules
    os.kill(os.getpid(), signal.SIGKILL)
  return example(record)
layout._example = killed
data = config.Data(name="folder", path={str(source)!r})
dataset.locate(data, {str(tmp_path / "prepared")!r}).open()
"""
  killed = subprocess.run([sys.executable, "-c", program], capture_output=True)
  assert killed.returncode == -9, killed.stderr
  assert list((tmp_path / "prepared").rglob("incomplete.*"))
  assert len(open_source().passages) == 3


def test_nothing_goes_to_standard_output(open_source, capfd):
  open_source()
  assert capfd.readouterr().out == ""
