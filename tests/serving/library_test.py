"""What a run and a command line answer, held against their own figures."""

import json
import os
import pathlib
import time
import types
from concurrent import futures

import numpy as np
import pytest

from prod_jax import locks, storage, strict
from prod_jax.export import finished, systems, whole
from prod_jax.retrieval import encode, rerank
from prod_jax.serving import listed, opened, queries, searchers, vectors
from prod_jax.serving.library import (
  MOST_CHARACTERS,
  TEXT,
  Asked,
  BadQuery,
  Unknown,
)
from prod_jax.sets.records import DataError, Passage
from tests import buckets
from tests.serving.conftest import EVIL, IMAGE, RIGHT_TO_LEFT


def ids(answer):
  return [hit["id"] for hit in answer["hits"]]


def folder_of(workdir, stage):
  (found,) = workdir.glob(f"*-{stage}")
  return found


def reader_of(workdir, stage):
  return systems.reader_of(finished.open_stage(workdir, stage))


def by_hand(library, workdir, stage, encoded, query):
  """Rows and scores of all passages, best first, in float32."""
  reader = reader_of(workdir, stage)
  vector = queries.QueryEncoder(reader)(query)
  rows = np.asarray(
    encode.open_shards(folder_of(workdir, encoded) / "passages")
  )
  scores = rows @ vector[0] / reader.frozen.model.scale
  order = np.argsort(-scores, kind="stable")
  return [library.dataset.passages.id(row) for row in order], scores[order]


def test_a_run_is_searched_with_the_student_that_was_accepted(library):
  assert library.chosen == "student"
  assert library.beside == "ce"
  said = library.described()
  assert said["collection"] == {"name": "set", "passages": 122}
  listing = [
    (s["name"], s["role"], s["taught_by"], s["began"]) for s in said["systems"]
  ]
  assert listing == [
    ("warm", "student", "labels", None),
    ("student", "student", "ce", "warm"),
    ("ce", "teacher", "labels", None),  # it taught the student
    ("teacher", "teacher", "labels", None),
    ("late", "teacher", "labels", None),
  ]
  assert list(said["systems"][1]["figures"]) == [
    "mrr@10",
    "ndcg@10",
    "recall@10",
  ]
  assert said["systems"][0]["figures"] == {}
  assert len(said["examples"]) == 6
  test = {query.text for query in library.dataset.queries["test"]}
  assert set(said["examples"]) <= test


def test_a_query_gets_the_vector_that_its_stage_has_made(library, searched_run):
  """For each length that programs are compiled for."""
  embed = queries.QueryEncoder(reader_of(searched_run, "student"))
  made = np.load(folder_of(searched_run, "encode") / "queries-test.npy")
  texts = [query.text for query in library.dataset.queries["test"]]
  for text, vector in zip(texts, made, strict=True):
    np.testing.assert_allclose(embed(text)[0], vector, rtol=1e-4, atol=1e-4)
  short = embed("a")[0]
  assert short.shape == (16,) and np.isfinite(short).all()


def test_passages_come_in_the_order_of_their_scores(library, searched_run):
  query = "garel belin karot"
  names, scores = by_hand(library, searched_run, "student", "encode", query)
  answer = library.answer(Asked(query, "student", hits=100))
  found = [hit["score"] for hit in answer["hits"]]
  assert found == sorted(found, reverse=True)
  of = dict(zip(names, scores, strict=True))
  for hit in answer["hits"]:
    assert hit["score"] == pytest.approx(of[hit["id"]], abs=1e-4)
  assert [hit["rank"] for hit in answer["hits"]] == list(
    range(1, len(found) + 1)
  )
  assert answer["index"]["kind"] in ("exact", "scann")
  assert answer["index"]["recall"] > 0.5
  passage = library.dataset.passages[library.dataset.row_of[ids(answer)[0]]]
  assert answer["hits"][0]["title"] == passage.title
  assert answer["hits"][0]["text"] == passage.text[:TEXT]


def test_a_long_title_is_cut(library, monkeypatch):
  passages = [Passage("a", "t" * 999, "x" * 9999), Passage("b", "t" * 300, "")]
  dataset = types.SimpleNamespace(passages=passages)
  monkeypatch.setattr(library, "dataset", dataset)
  first, second = (library._passage(row, "a", {}) for row in (0, 1))
  assert first["title"] == "t" * 299 + "…" and second["title"] == "t" * 300
  assert first["text"] == "x" * (TEXT - 1) + "…"


def test_scores_that_are_no_numbers_are_a_fault(library, monkeypatch):
  opened = library.opened("ce")
  nans = np.full((1, 16), np.nan, np.float32)
  monkeypatch.setattr(searchers.rerank, "score_lists", lambda *_: nans)
  with pytest.raises(
    DataError, match=r"^ce gives scores that are not a number"
  ):
    opened.search("garel")


def test_a_model_of_pairs_orders_what_the_student_found(library, searched_run):
  query = library.dataset.queries["test"][3].text
  first = ids(library.answer(Asked(query, "student", hits=16)))
  answer = library.answer(Asked(query, "ce", hits=100))
  assert sorted(ids(answer)) == sorted(first)
  assert answer["index"] == {
    "kind": "rerank",
    "recall": None,
    "orders": "student",
  }
  trained = finished.open_stage(searched_run, "ce")
  rows = np.array([[library.dataset.row_of[name] for name in ids(answer)]])
  tokens = trained.run.tokens_of("ce")
  scores = rerank.score_lists(
    trained.frozen(),
    tokens.queries["test"],
    tokens.passages,
    np.array([3]),
    rows,
  )
  found = [hit["score"] for hit in answer["hits"]]
  np.testing.assert_allclose(found, scores[0], rtol=1e-3, atol=1e-4)
  late = library.answer(Asked(query, "late", hits=100))
  assert sorted(ids(late)) == sorted(first)


def test_ranks_of_another_stage_are_told(library):
  query = "garel belin"
  before = ids(library.answer(Asked(query, "warm", hits=100)))
  answer = library.answer(Asked(query, "student", before="warm", hits=20))
  assert answer["before"] == "warm"
  for hit in answer["hits"]:
    place = before.index(hit["id"]) + 1 if hit["id"] in before else None
    assert hit["before"] == place
  alone = library.answer(Asked(query, "student"))
  assert {hit["before"] for hit in alone["hits"]} == {None}


def test_what_is_relevant_to_a_known_query_is_marked(library):
  answer = library.answer(
    Asked(f"  {IMAGE.upper()}\n garel ", "student", hits=100)
  )
  assert answer["known"] == {"split": "test", "id": "q_evil"}
  marked = {hit["id"]: hit["relevant"] for hit in answer["hits"]}
  told = {p["id"]: (p["relevant"], p["rank"]) for p in answer["missed"]}
  grades = {"evil": 2, "rtl": 1}
  for name, grade in grades.items():
    assert marked.get(name, 0) == grade or told[name] == (grade, None)
  assert sum(marked.values()) == sum(
    grade for name, grade in grades.items() if name in marked
  )
  few = library.answer(Asked(f"{IMAGE} garel", "student", hits=1))
  places = {hit["id"]: hit["rank"] for hit in answer["hits"]}
  for passage in few["missed"]:
    assert passage["rank"] == places.get(passage["id"])
  assert len(few["missed"]) + few["hits"][0]["relevant"].bit_length() >= 1
  assert library.answer(Asked("garel", "student"))["known"] is None


@pytest.mark.parametrize(
  "query",
  [
    EVIL,
    RIGHT_TO_LEFT,
    "a\0b",
    "\ud800 half of a letter",
    "\x1b[31m",
    "[SEP] [CLS]",
    "🙂" * 500,
    "x" * MOST_CHARACTERS,
    "' OR 1=1; --",
  ],
)
def test_any_text_is_answered(library, query):
  answer = library.answer(Asked(query, "student"))
  assert len(answer["hits"]) == 10
  json.dumps(answer, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
  ("query", "message"),
  [
    ("", "the query is empty"),
    (" \n\0", "the query is empty"),
    ("x" * (MOST_CHARACTERS + 1), "a query has at most 1,000 characters"),
  ],
)
def test_what_is_no_query_is_refused(library, query, message):
  with pytest.raises(BadQuery, match=message):
    library.answer(Asked(query, "student"))


def test_an_unknown_system_is_refused(library):
  for asked in (Asked("a", "nobody"), Asked("a", "student", before="nobody")):
    with pytest.raises(Unknown):
      library.answer(asked)


def test_nothing_is_written_where_the_run_is(library, searched_run):
  def state():
    return {p: p.stat().st_mtime_ns for p in searched_run.rglob("*")}

  before = state()
  for name in library.systems:
    library.answer(Asked("garel", name))
  assert state() == before


@pytest.mark.parametrize(
  ("stage", "chosen"),
  [
    ("warm", "warm"),
    ("encode_warm", "warm"),
    ("accept", "student"),
    ("teacher", "teacher"),
  ],
)
def test_a_stage_may_be_named(searched_run, cache, stage, chosen):
  library = opened.open_library([str(searched_run)], [], cache, stage)
  assert library.chosen == chosen
  role = library.systems[chosen].role
  assert role == listed.STUDENT
  assert len(library.answer(Asked("garel", chosen))["hits"]) == 10


def test_vectors_that_no_stage_has_made_are_made_once(
  searched_run, tmp_path, monkeypatch
):
  def answer():
    library = opened.open_library([str(searched_run)], [], tmp_path, "later")
    assert list(library.systems)[:3] == ["warm", "student", "later"]
    assert library.systems["later"].began == "student"
    return library.answer(Asked("garel", "later", hits=100))

  first = answer()
  assert first["index"]["recall"] in (None, 1.0)
  scores = [hit["score"] for hit in first["hits"]]
  assert scores == sorted(scores, reverse=True)

  def embedder(*arguments):
    del arguments

    def embed(*block):
      raise AssertionError("it was embedded before")

    return embed

  monkeypatch.setattr(vectors.encode, "embedder", embedder)
  assert ids(answer()) == ids(first)


def test_who_comes_second_waits_for_the_vectors(searched_run, tmp_path, caplog):
  def answer():
    library = opened.open_library([str(searched_run)], [], tmp_path, "later")
    return library.answer(Asked("garel", "later"))

  first = answer()
  (lock,) = tmp_path.rglob(".*.lock")
  name = lock.name.removeprefix(".").removesuffix(".lock")
  waiting = "another process makes it; waiting"
  with futures.ThreadPoolExecutor() as pool, caplog.at_level("INFO", "absl"):
    with locks.alone(lock.parent, name):
      second = pool.submit(answer)
      while waiting not in caplog.text:
        assert not second.done(), second.result()
        time.sleep(0.01)
    assert ids(second.result()) == ids(first)


def test_a_set_that_has_changed_is_refused(workdir, tmp_path):
  done = folder_of(workdir, "encode") / finished.DONE
  record = json.loads(done.read_text())
  record["fingerprint"]["dataset"] = "another"
  del record["digest"]
  done.write_text(json.dumps(record))
  library = opened.open_library([str(workdir)], [], tmp_path)
  with pytest.raises(
    strict.ConfigError, match="encode has read another state of the data"
  ):
    library.opened("student")


def test_a_run_in_a_bucket_is_searched_as_one_on_a_disk(
  library, searched_run, cache, tmp_path, monkeypatch
):
  monkeypatch.setenv("PROD_JAX_CACHE", str(tmp_path / "machine"))
  bucket = buckets.empty("gs://bucket/run")
  storage.copy(searched_run, bucket, but=("compiled", "checkpoints"))
  other = opened.open_library([str(bucket)], [], cache)
  assert other.described() == library.described()


def test_broken_vectors_are_named(workdir, tmp_path):
  (path,) = folder_of(workdir, "encode").glob("passages/0*/vectors.npy")
  made = path.stat().st_mtime_ns
  broken = np.load(path)
  broken[5] = np.nan
  np.save(path, broken)
  os.utime(path, ns=(made, made))  # as if the stage had made them so
  library = opened.open_library([str(workdir)], [], tmp_path)
  with pytest.raises(DataError, match=r"student: row 5 holds NaN.* encode it"):
    library.answer(Asked("garel", "student"))


def test_a_run_without_a_student_yet(workdir, tmp_path):
  path = workdir / finished.CURRICULUM
  record = json.loads(path.read_text())
  for stage in record["stages"]:
    if stage["name"] not in ("teacher", "encode_teacher"):
      stage["status"] = "pending"
  path.write_text(json.dumps(record))
  with pytest.raises(
    strict.ConfigError, match="no student of run has been tra"
  ):
    opened.open_library([str(workdir)], [], tmp_path)
  library = opened.open_library([str(workdir)], [], tmp_path, "teacher")
  assert list(library.systems) == ["teacher"]


@pytest.fixture(scope="module")
def exported(searched_run, tmp_path_factory) -> pathlib.Path:
  """Folders of the student and of the cross-encoder."""
  folder = tmp_path_factory.mktemp("exported")
  for name in ("student", "ce"):
    trained = finished.open_stage(searched_run, name)
    whole.export(
      trained, whole.Options(to=folder / name, where=whole.card.Where(name))
    )
  return folder


def test_an_exported_folder_finds_what_its_stage_does(
  library, searched_run, exported, tmp_path
):
  data = f"data.path={searched_run.parent / 'set'}"
  words = [str(exported / "student"), f"pairs={exported / 'ce'}"]
  # The folder has one length for both texts.
  lengths = ["data.query_length=20", "data.passage_length=24"]
  other = opened.open_library(words, [data, *lengths], tmp_path)
  assert (other.chosen, other.beside) == ("student", "pairs")
  for name, own in (("student", "student"), ("pairs", "ce")):
    asked = [Asked("garel belin", one, hits=10) for one in (name, own)]
    found, wanted = other.answer(asked[0]), library.answer(asked[1])
    scores, of = (
      {hit["id"]: hit["score"] for hit in answer["hits"]}
      for answer in (found, wanted)
    )
    # ScaNN may leave another one out.
    both = scores.keys() & of.keys()
    assert len(both) >= 8
    for passage in both:
      assert scores[passage] == pytest.approx(of[passage], rel=1e-3, abs=1e-4)


def test_a_run_and_another_set(searched_run, tmp_path):
  data = f"data.path={searched_run.parent / 'set'}"
  words = [str(searched_run), f"t={searched_run}:teacher"]
  library = opened.open_library(words, [data], tmp_path)
  assert list(library.systems) == ["student", "t"]
  assert len(library.answer(Asked("garel", "t"))["hits"]) == 10


def test_the_folder_of_a_run_stands_for_its_student(searched_run, tmp_path):
  words = [f"{searched_run}", f"old={searched_run}", "bm25"]
  student = f"{searched_run}:student"
  found = [student, f"old={student}", "bm25"]
  assert opened.with_stages(words, tmp_path) == found


def test_what_cannot_search_is_refused(searched_run, exported, tmp_path):
  workdir = str(searched_run)
  for words, stage, message in [
    ([workdir], "nobody", "--stage: 'nobody' is no stage; there are warm, enc"),
    ([workdir], "ce", "--stage: ce is a model of kind cross, which orders wh"),
    ([workdir], "evaluate", "--stage: 'evaluate' is of kind evaluate; name"),
    (
      [str(exported / "student")],
      "warm",
      "--stage is of a run; name its WORKDI",
    ),
    (
      [str(exported / "student")],
      "",
      "no set is named; set --config.data.path",
    ),
    ([f"{workdir}:ce"], "", "ce is a model of kind cross, which finds nothing"),
    ([f"{workdir}:warm", "bm25"], "", "'bm25' is no model: `prod_jax eval"),
    (["my.trec"], "", "'my.trec' is a TREC run: `prod_jax evaluate` takes it"),
    ([__file__], "", "is no system: that is a file; it takes WORKDIR, WORKDI"),
  ]:
    with pytest.raises(strict.ConfigError, match=message):
      library = opened.open_library(words, [], tmp_path, stage)
      for name in library.systems:
        library.opened(name)
