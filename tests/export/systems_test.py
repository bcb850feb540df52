"""Rankers of each sort on a set: as in their run, as exported, from a file."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from prod_jax import metrics, storage, strict
from prod_jax.export import (
  as_it_is,
  finished,
  named,
  rankings,
  systems,
  task,
  whole,
)
from prod_jax.models import hf
from prod_jax.retrieval import runs
from prod_jax.sets.records import DataError
from prod_jax.stages.run import PARAMS
from tests.export import made
from tests.main_test import write_folder
from tests.sets import published

METRICS = ["mrr@10", "ndcg@10", "recall@10"]
WARM = "q96 Q0 p96 1 2.5 a\nq96 Q0 p3 2 2.5 a\nq97 Q0 p5 1 9 a\n"


@pytest.fixture(scope="module")
def opened(finished_run, tmp_path_factory):
  """The run's own set, by its dev queries."""
  return open_task(finished_run, tmp_path_factory.mktemp("evaluate"))


def open_task(workdir, folder, *overrides, split="dev", depth=20):
  return task.open_task(
    overrides, str(workdir), folder, split=split, depth=depth, rerank_depth=10
  )


def rank(word, opened, first=None):
  (system,) = named.parse([str(word)])
  opens = systems.opening(system, opened)
  return systems.rank(system, opened, first, opens)


def file(tmp_path, text):
  path = tmp_path / "some.trec"
  path.write_text(text)
  return path


@pytest.fixture(scope="module")
def exported(finished_run, tmp_path_factory):
  """Folders of the student and of the cross-encoder."""
  folder = tmp_path_factory.mktemp("exported")
  for name in ("student", "ce"):
    trained = finished.open_stage(finished_run, name)
    whole.export(
      trained, whole.Options(to=folder / name, where=whole.card.Where(name))
    )
  return folder


@pytest.fixture(scope="module")
def student(finished_run, opened):
  return rank(f"{finished_run}:student", opened)


def test_a_stage_is_measured_as_in_its_run(finished_run, opened, student):
  (folder,) = finished_run.glob("*-evaluate")
  left = runs.read_run(folder / "run.trec")
  names = [query.id for query in opened.dataset.queries["dev"]]
  passages = opened.dataset.passages
  for query, ids, scores in zip(
    names, student.ids_QK, student.scores_QK, strict=True
  ):
    assert [passages.id(row) for row in ids] == list(left[query])
    np.testing.assert_allclose(scores, list(left[query].values()), rtol=1e-5)
  values = rankings.evaluate(student, opened, METRICS)
  rows = json.loads((finished_run / "results.json").read_text())
  said = {r["metric"]: r["value"] for r in rows if r["index"] == "exact"}
  assert {m: metrics.mean(v) for m, v in values.items()} == pytest.approx(said)


def test_an_exported_folder_ranks_as_its_stage(exported, opened, student):
  found = rank(exported / "student", opened)
  np.testing.assert_array_equal(found.ids_QK, student.ids_QK)
  # The run's scores are a cosine times 20.
  np.testing.assert_allclose(
    found.scores_QK * 20, student.scores_QK, rtol=1e-4, atol=1e-4
  )


def test_a_cross_encoder_orders_what_another_found(
  finished_run, exported, opened, student
):
  found = rank(f"{finished_run}:ce", opened, student)
  assert found.reorders and not student.reorders
  assert found.ids_QK.shape[1] == opened.rerank_depth == 10
  for ids, before in zip(found.ids_QK, student.ids_QK, strict=True):
    assert {*ids} == {*before[:10]}
  assert (np.diff(found.scores_QK, axis=1) <= 0).all()
  # The folder has one length for both texts, and its provenance the run's two.
  again = rank(exported / "ce", opened, student)
  np.testing.assert_array_equal(again.ids_QK, found.ids_QK)
  np.testing.assert_allclose(again.scores_QK, found.scores_QK, atol=1e-4)
  with pytest.raises(
    strict.ConfigError, match="ce is a model of kind cross, w"
  ):
    rank(f"{finished_run}:ce", opened)


def test_token_vectors_and_two_towers(finished_run, opened, student):
  found = rank(f"{finished_run}:colbert", opened, student)
  assert found.reorders and (found.ids_QK >= 0).all()
  assert not rank(f"{finished_run}:towers", opened).reorders


def test_words_are_a_ranker(opened):
  pytest.importorskip("bm25s", reason="of the extra bm25")
  found = rank("bm25", opened)
  # Each query is the beginning of its passage.
  values = rankings.evaluate(found, opened, ["mrr@10"])["mrr@10"]
  assert set(values.values()) == {1.0}
  assert rank("b=bm25:english", opened).ids_QK.shape == (8, 20)


def test_a_run_is_measured_as_it_is(tmp_path, opened):
  path = file(tmp_path, WARM)
  found = rank(path, opened)
  expected = metrics.evaluate(runs.read_run(path), opened.qrels, METRICS)
  assert rankings.evaluate(found, opened, METRICS) == expected
  # p96 and p3 have one score, and ids count from z to a; others found nothing.
  assert list(expected["mrr@10"].values()) == [1.0, *[0.0] * 7]
  system = named.System("again", "")
  rankings.write(found, system, opened, tmp_path / "to" / "again.run")
  again = runs.read_run(tmp_path / "to" / "again.run")
  assert again == runs.read_run(path)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (WARM + "q98 Q0 p1 1\n", r"some\.trec:4: 4 columns, expected query id"),
    (WARM + "q98 Q0 p1 1 x a\n", r"some\.trec:4: score 'x' is not a number"),
    ("", r"some\.trec has no line in it; write"),
    (
      "q1 Q0 p1 1 1 a\nq2 Q0 p1 1 1 a\n",
      r"none of its 2 queries, 'q1' among them, is in set, split dev.* --split",
    ),
    (
      WARM + "q98 Q0 p999 1 1 a\n",
      r"passage 'p999' is not in set, split dev; i",
    ),
  ],
)
def test_a_run_at_fault_is_a_line(tmp_path, opened, text, message):
  with pytest.raises(DataError, match=message) as caught:
    rank(file(tmp_path, text), opened)
  assert "\n" not in str(caught.value)


def test_passages_that_were_left_out_keep_their_ranks(
  finished_run, tmp_path, opened, caplog
):
  data = dataclasses.replace(opened.data, on_error="skip")
  skips = dataclasses.replace(opened, data=data)
  (first, *_) = [line for line in WARM.splitlines() if line.startswith("q96")]
  above = first.split()
  above[2], above[4] = "empty", "99"
  path = file(tmp_path, WARM + " ".join(above) + "\n")
  found = rank(path, skips)
  assert "1 of its passages, such as empty, are not in set, split dev" in (
    caplog.text
  )
  values = rankings.evaluate(found, skips, ["mrr@10"])["mrr@10"]
  assert values["q96"] == 0.5
  # A model has no text of it to put in order.
  reordered = rank(f"{finished_run}:ce", skips, found)
  assert (reordered.ids_QK < len(skips.dataset.passages)).all()
  system = named.System("again", "")
  rankings.write(found, system, skips, tmp_path / "again.run")
  assert runs.read_run(tmp_path / "again.run") == runs.read_run(path)


def test_queries_that_nobody_judged_do_not_count(tmp_path, opened, caplog):
  """As in TREC's own runs, which have more topics than were judged."""
  more = rank(file(tmp_path, WARM + "q1 Q0 p1 1 1 a\n"), opened)
  assert "1 of its 3 queries, such as q1, are not in set" in caplog.text
  alone = rank(file(tmp_path, WARM), opened)
  measured = [rankings.evaluate(x, opened, METRICS) for x in (more, alone)]
  assert measured[0] == measured[1]


def test_labels_are_given_or_taken_from_the_name():
  words = [
    "bm25",
    "runs/q:student",
    "old=a/b.trec",
    "c/d.run",
    "i/e5@v1",
    "x/y/",
    "a:b/at_10:30.trec",
  ]
  assert [system.label for system in named.parse(words)] == [
    "bm25",
    "student",
    "old",
    "d",
    "e5",
    "y",
    "at_10:30",
  ]
  assert named.parse(["gs://b/run"])[0].stage == ("", "")
  assert named.parse(["gs://b/run:s"])[0].stage == ("gs://b/run", "s")
  two = named.parse(["runs/a:s", "runs/b/:s", "s=runs/b:s", "runs/b:t"])
  assert [system.label for system in two] == ["a.s", "b.s", "s", "t"]
  with pytest.raises(
    strict.ConfigError, match="two systems are called 'b'; na"
  ):
    named.parse(["a/b", "b=bm25"])


class Duo:
  kind = "pairwise"


def test_what_is_no_system_is_refused(
  finished_run, opened, tmp_path, monkeypatch
):
  shutil.copytree(made.embedder(tmp_path / "st"), tmp_path / "alone")
  (tmp_path / "alone" / "modules.json").unlink()
  for word, message in {
    "nowhere/to/go": "is no system: there is no such folder; it takes bm25",
    tmp_path / "alone" / "config.json": "is no system: that is a file; it ta",
    "missing.trec": "missing.trec is not there",
    f"{finished_run}:stduent": (
      ":stduent: 'stduent' is no stage and no model; train stages are: warm, .*"
      "; models are: ce, colbert, student, towers"
    ),
    f"{finished_run}:encode": "is of kind encode",
    f"{tmp_path}:student": r"there is no .*curriculum\.json",
    finished_run: "no config.json in it; of a run's folder name a stage",
    tmp_path / "alone": "has an encoder alone, and does not say how its vector",
  }.items():
    with pytest.raises((strict.ConfigError, DataError), match=message):
      rank(word, opened)
  monkeypatch.setattr(finished.Trained, "model", Duo())
  with pytest.raises(
    strict.ConfigError, match="student reads a query with two pas"
  ):
    systems.opening(named.parse([f"{finished_run}:student"])[0], opened)


def test_a_model_that_would_be_drawn_is_refused(workdir, opened):
  path = workdir / "curriculum.json"
  left = json.loads(path.read_text())
  models, stages = (left["config"][key] for key in ("models", "stages"))
  models["untrained"] = dict(models["ce"], weights="packaged")
  models["blank"] = models.pop("ce")
  for stage in stages.values():
    if stage.get("model") == "ce":
      stage["model"] = "blank"
  path.write_text(json.dumps(left))
  for name, message in {
    "untrained": "'untrained', and .* has an encoder without the head",
    "blank": "'blank', a model without weights; name a train stage",
  }.items():
    with pytest.raises(strict.ConfigError, match=message):
      rank(f"{workdir}:{name}", opened)


def test_broken_weights_are_named(workdir, opened):
  (path,) = workdir.glob(f"*-student/{PARAMS}")
  params = hf.load_params(path)
  norm = params["encoder"]["embedding_norm"]
  norm["bias"] = np.full_like(norm["bias"], np.nan)
  hf.save_params(path, params)
  with pytest.raises((strict.ConfigError, DataError), match="student"):
    rank(f"{workdir}:student", opened)


def test_a_folder_of_sentence_transformers_says_lengths_and_prompts(
  tmp_path, opened
):
  folder = made.embedder(tmp_path / "st")
  reader = as_it_is.opening(str(folder), opened.data, {})()
  assert reader.kind == "dual"
  assert reader.prompts == {"query": "tea ", "passage": "old "}
  data = reader.frozen.data
  assert (data.query_length, data.passage_length) == (30, 30)
  assert data.path == opened.data.path
  short = dataclasses.replace(opened.data, query_length=8)
  reader = as_it_is.opening(str(folder), short, {"query_length": 8})()
  assert (reader.frozen.data.query_length, data.passage_length) == (8, 30)
  pairs = as_it_is.opening(
    str(made.classifier(tmp_path / "ce", labels=2)), opened.data, {}
  )()
  data = pairs.frozen.data
  assert (pairs.kind, data.query_length + data.passage_length) == ("cross", 40)


def test_what_of_the_weights_is_not_read_is_logged(tmp_path, opened, caplog):
  folder = made.embedder(tmp_path / "st")
  path = folder / hf.WEIGHTS
  tensors = load_file(path)
  save_file(tensors | {"pooler.dense.weight": np.zeros(3)}, path)
  with caplog.at_level("INFO", logger="absl"):
    as_it_is.opening(str(folder), opened.data, {})()
  assert f"{path} holds, besides the encoder: pooler (1)" in caplog.text


def test_a_set_is_named_by_the_keys_of_a_config(finished_run, tmp_path):
  folder = write_folder(tmp_path / "other")
  cache = tmp_path / "cache"
  other = open_task(finished_run, cache, f"data.path={folder}", split="test")
  assert other.dataset.name == "other"
  assert list(other.dataset.queries) == ["test"]
  assert other.given == {"path": str(folder)}
  (tmp_path / "tiny").mkdir()
  published.beir(tmp_path / "tiny")
  beir = open_task("", cache, f"data.path={tmp_path / 'tiny'}", split="test")
  assert (beir.data.name, len(beir.dataset.passages)) == ("beir", 6)
  few = open_task("", cache, f"data.path={folder}", "data.max_passages=110")
  assert len(few.dataset.passages) == 110
  two = open_task(
    "", cache, f"data.path={folder}", "data.max_queries.test=2", split="test"
  )
  assert len(two.dataset.queries["test"]) == 2
  # As of a run's own config: what is beside a key that is given stays.
  run = finished.open_run(storage.open_path(str(finished_run))).config.data
  own = open_task(finished_run, cache, "data.max_queries.dev=2", split="dev")
  assert own.data.max_queries == {**run.max_queries, "dev": 2}
  assert own.data.passage_length == run.passage_length
  for words, message in {
    (
      f"data.path={folder}",
      "data.pasage_length=3",
    ): "did you mean config.data.",
    (f"data.path={folder}", "seed=3"): "--config.seed=3: it takes keys of c",
    ("data.passage_length=3",): "no set is named; set --config.data.path=FOLD",
  }.items():
    with pytest.raises(strict.ConfigError, match=message):
      open_task("", cache, *words)
  with pytest.raises(
    strict.ConfigError,
    match="other has no split 'dve'; it has train, dev, test",
  ):
    open_task("", cache, f"data.path={folder}", split="dve")


def test_a_run_that_measured_nothing_is_refused(workdir):
  (workdir / finished.RESULTS).unlink()
  with pytest.raises(strict.ConfigError, match="has measured nothing; let its"):
    task.open_finished(str(workdir))


def test_a_set_that_has_changed_since_is_refused(workdir, monkeypatch):
  """Its labels would be held against ranks of before."""
  task.open_finished(str(workdir))
  monkeypatch.setattr(finished, "sets_of", lambda run, name: ["of before"])
  message = "evaluate\\w* has read another state of the data set"
  with pytest.raises(strict.ConfigError, match=message):
    task.open_finished(str(workdir))


def test_nothing_to_find_is_no_nan(opened):
  with pytest.raises(DataError, match="mrr@10 counts; lower --relevant, which"):
    rankings.check_labels(opened, ["mrr@10"], 2)


@pytest.mark.parametrize(
  ("wrong", "message"),
  [
    ("{run}:stduent", "'stduent' is no stage and no model"),
    ("{run}", "no config.json in it; of a run's folder name a stage"),
    ("nowhere", "is no system: there is no such folder"),
    ("models/nowhere", "is no system: there is no such folder"),
    ("bare", "bare"),
    ("missing.trec", "missing.trec is not there"),
    ("bm25:klingon", "bm25"),
  ],
)
def test_a_wrong_system_is_told_before_another_has_ranked(
  finished_run, opened, monkeypatch, tmp_path, wrong, message
):
  def embed(*of):
    pytest.fail("a model was opened")

  monkeypatch.setattr(systems, "reader_of", embed)
  (tmp_path / "bare").mkdir()
  (tmp_path / "bare" / "config.json").write_text("{}")
  monkeypatch.chdir(tmp_path)
  words = [f"{finished_run}:student", wrong.format(run=finished_run)]
  with pytest.raises((strict.ConfigError, DataError), match=message):
    systems.rank_all(named.parse(words), opened, "student")


def test_what_others_put_in_order_is_ranked_before_them(
  finished_run, opened, tmp_path
):
  words = [f"{finished_run}:ce", f"warm={file(tmp_path, WARM)}"]
  found = systems.rank_all(named.parse(words), opened, "warm")
  assert list(found) == ["ce", "warm"]
  assert (found["ce"].reorders, found["warm"].reorders) == (True, False)
  assert found["ce"].ids_QK.shape == found["warm"].ids_QK.shape
