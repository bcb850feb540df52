"""What is said of a teacher's scores before a student learns from them."""

import json

import numpy as np
import pytest

from prod_jax import stages
from prod_jax.batches.lists import Candidates, save_lists
from prod_jax.retrieval import encode
from prod_jax.stages import examples, scorecard, train
from tests.stages.denoise_test import replaced, run_of

__all__ = ["run_of"]  # a fixture
LOG3 = float(np.log(3))
# Odds of 81 at temperature 1, of 9 at 2; and the other way around.
LISTS = Candidates(
  query=np.array([4, 7], np.int32),
  ids=np.array([[10, 11, -1], [20, 21, -1]], np.int32),
  label=np.array([[True, False, False]] * 2),
  rank=np.array([[0, 1, -1], [0, 1, -1]], np.int32),
  score=np.array([[2, 0, np.nan], [2, 0, np.nan]], np.float32),
)
SCORES = np.array([[0, 4 * LOG3, np.nan], [4 * LOG3, 0, np.nan]], np.float32)


@pytest.fixture
def job(run_of):
  """A function that makes the job of a student that learns from the lists."""

  def made(**changes):
    taught = dict(candidates="mine", scores="score", anchor="", negatives=1)
    learns = dict(in_batch=False, temperature=2.0, hard=0.1, soft=0.9)
    run = replaced(
      run_of(), "student", **dict(taught, settings=learns) | changes
    )
    found = stages.job_of(run, "student")
    for role in found.inputs:
      folder = found.inputs[role]
      folder.mkdir(parents=True, exist_ok=True)
      if role == "candidates":
        save_lists(LISTS, folder / "candidates")
      elif role in ("scores", "second"):
        np.save(folder / "scores.npy", SCORES)
    found.folder.mkdir(exist_ok=True)
    return found

  return made


def learnt_from(job):
  return examples.examples(job, train._learns_unlabelled(job))


def report(job):
  scorecard.write(job, learnt_from(job), train._temperatures(job))
  return json.loads((job.folder / "scores.json").read_text())


def embed(job):
  """Embeddings of which query 4 likes high numbers, and query 7 low ones."""
  vectors = np.stack([np.arange(120), 120 - np.arange(120)], axis=1)
  encode.encode_passages(
    job.inputs["scores"] / "passages",
    lambda start, stop, pieces: vectors[start:stop].astype(np.float32),
    120,
    120,
    processes=job.run.processes,
    name="toy",
  )
  query = np.array([[1, 0]] * 5 + [[0, 2]] * 59, np.float32)
  np.save(job.inputs["scores"] / "queries-train.npy", query)


@pytest.mark.parametrize(("negatives", "said"), [(1, False), (2, True)])
def test_lists_that_are_too_short_are_told(job, caplog, negatives, said):
  learnt_from(job(negatives=negatives))
  assert ("the lists of 2 of 2 queries are too short" in caplog.text) == said


def test_a_method_is_told_that_negatives_are_drawn_by_scores(job):
  balanced = dict(sampling="balanced", sampling_settings=dict(bins=2))
  assert examples.offered(job(**balanced)).draws
  assert not examples.offered(job()).draws


def test_a_ranking_in_groups_takes_what_there_is(job, caplog):
  groups = dict(sizes=(1, 1), depths=(1, 2))
  drawn = dict(sampling="groups", sampling_settings=groups, negatives=3)
  learnt_from(job(method="cl_drd", settings={}, **drawn))
  assert "too short" not in caplog.text


def test_figures_of_teacher_and_student(job, caplog):
  with caplog.at_level("INFO", logger="absl"):
    found = report(job())
  entropy = -(0.9 * np.log2(0.9) + 0.1 * np.log2(0.1))
  assert found["teacher"] == {
    "name": "ce",
    "temperature": 2.0,
    "extent": pytest.approx(2 * LOG3, rel=1e-3),
    "deviation": pytest.approx(LOG3, rel=1e-3),
    "entropy": pytest.approx(entropy, rel=1e-3),
    "one_hot": 0.0,
    "flat": 0.0,
    "above_positive": 0.5,
  }
  p = 1 / (1 + np.exp(-1))
  student = found["retriever"]
  assert student["name"] == "start" and student["is_student"]
  assert (student["extent"], student["above_positive"]) == (1.0, 0.0)
  assert student["entropy"] == pytest.approx(
    -(p * np.log2(p) + (1 - p) * np.log2(1 - p)), rel=1e-3
  )
  assert found["agreement"] == 0  # turned in one list of two
  assert (found["lists"], found["of_lists"], found["columns"]) == (2, 2, 2)
  assert found["drawn"]
  # The entropy of a pair is half a bit where the odds are 8.09.
  even = 4 * LOG3 / np.log(8.0886)
  assert found["suggested_temperature"] == pytest.approx(even, rel=1e-3)
  (line,) = (x for x in caplog.messages if "rank correlation" in x)
  assert line.startswith(
    "student: 2 of 2 lists, 2 drawn columns; teacher ce at temperature 2: "
  )
  assert "50% of negatives above; student start at temperature 2: " in line
  assert "suggested temperature 2.1" in line


def test_temperatures_are_those_of_the_method(job):
  only_teacher = dict(in_batch=False, temperature=3.0, hard=0.1, soft=0.9)
  found = report(job(settings=dict(only_teacher, kd="prob")))
  assert found["teacher"]["temperature"] == 3.0
  assert found["retriever"]["temperature"] == 1.0
  plain = job(method="margin_mse", settings={})
  assert train._temperatures(plain) == (1.0, 1.0)


def test_scores_of_another_retriever_have_its_name(job):
  found = report(job(init=""))
  assert not found["retriever"]["is_student"]
  assert found["retriever"]["name"] == "start"
  assert "; retriever start at" in scorecard.said(found)


def test_lists_that_came_with_the_teachers_scores_have_no_other_judge(job):
  looked = scorecard.Looked(LISTS.label, SCORES, SCORES.copy(), drawn=True)
  found = scorecard.made(job(), looked, (1.0, 1.0))
  assert found["retriever"] is found["agreement"] is None


def test_lists_of_no_retriever_are_not_the_students(job, monkeypatch):
  monkeypatch.setattr(examples, "mined_with", lambda job, name: None)
  found = report(job(init=""))
  assert not found["retriever"]["is_student"]
  assert found["retriever"]["name"] == "mine"


def test_lists_without_label_or_retriever(job):
  looked = scorecard.Looked(
    label=np.zeros((2, 2), bool),
    teacher=SCORES[:, :2],
    retriever=np.full((2, 2), np.nan, np.float32),
    drawn=True,
  )
  found = scorecard.made(job(), looked, (1.0, 1.0))
  assert found["teacher"]["above_positive"] is None
  assert found["retriever"] is found["agreement"] is None
  assert found["teacher"]["one_hot"] == 0
  assert "above" not in scorecard.said({**found, "of_lists": 2})


def test_embeddings_are_looked_at_in_whole_lists(job):
  in_batch = dict(in_batch=True, temperature=2.0, hard=0.1, soft=0.9)
  made = job(scores="encode", settings=in_batch)
  embed(made)
  looked = scorecard.look(learnt_from(made), 0)
  np.testing.assert_array_equal(
    looked.teacher, [[10, 11, np.nan], [200, 198, np.nan]]
  )
  found = report(made)
  assert (found["drawn"], found["teacher"]["name"]) == (False, "start")
  assert found["teacher"]["extent"] == (1 / 2 + 2 / 2) / 2


def test_of_two_teachers_the_one_with_scores_of_lists_is_looked_at(job):
  both = dict(in_batch=True, temperature=2.0, hard=0.1, soft=0.9, larger=True)
  made = job(scores="encode", second="score", settings=both)
  embed(made)
  looked = scorecard.look(learnt_from(made), 0)
  np.testing.assert_array_equal(looked.teacher, SCORES[:, :2])
  assert report(made)["teacher"]["name"] == "ce"


def test_a_passage_that_is_drawn_twice_counts_once(job):
  found = report(job(negatives=3))
  assert found["columns"] == 4
  assert found["teacher"]["entropy"] == report(job())["teacher"]["entropy"]


def test_of_many_lists_some_are_looked_at(job, monkeypatch):
  monkeypatch.setattr(scorecard, "MOST_LISTS", 1)
  found = report(job())
  assert (found["lists"], found["of_lists"]) == (1, 2)


def test_a_step_of_one_column_has_whole_lists(job):
  found = report(job(negatives=0))
  assert (found["drawn"], found["columns"]) == (False, 3)


def test_labels_alone_are_no_report(job):
  plain = job(scores="", method="contrastive", settings={})
  scorecard.write(plain, learnt_from(plain), (1.0, 1.0))
  assert not (plain.folder / "scores.json").exists()
