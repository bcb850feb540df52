"""A run that stops for a number that is none, and its step done again."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from prod_jax import main, stages, strict
from prod_jax.batches.lists import save_lists
from prod_jax.models import hf
from prod_jax.stages import replay, train
from prod_jax.stages.run import PARAMS
from prod_jax.train import kept
from tests.stages import scorecard_test
from tests.stages.denoise_test import LISTS, run_of
from tests.stages.score_test import made, run
from tests.stages.scorecard_test import job

__all__ = ["job", "run", "run_of"]  # fixtures


@pytest.fixture
def student(job, monkeypatch):
  """A function that makes the job of a student with a teacher's scores."""

  def made(scores=scorecard_test.SCORES, **changes):
    monkeypatch.setattr(scorecard_test, "SCORES", scores)
    return job(init="", steps=3, checkpoint_every=1, **changes)

  return made


def stopped(job):
  """The message with which it stops."""
  with pytest.raises(kept.NotFinite) as error:
    train.run(job)
  return str(error.value)


def without_score(row, column):
  scores = scorecard_test.SCORES.copy()
  scores[row, column] = np.nan
  return scores


def test_a_score_that_is_none_stops_the_run_and_is_found(student):
  job = student(without_score(1, 0))
  said = stopped(job)
  assert said.startswith("stage student, step 0: loss nan, gradient norm nan")
  assert f"kept in {job.folder}/not_finite/0, with the queries q" in said
  assert f"prod_jax replay {job.run.workdir} --stage=student" in said
  _, about = kept.load(job.folder, 0)
  assert set(about["queries"]) == {"q4", "q7"}
  assert ["p20", "p21"] in about["passages"]
  said = [*replay.lines(replay.replay(job.run))]
  assert said[0] == "stage student, step 0"
  assert "loss nan" in said[1]
  assert re.fullmatch(
    r"again, on cpu, by the parameters of step 0: ce \d.*, kd nan, loss nan",
    said[2],
  )
  assert said[3].endswith(
    "batch/list_scores_BN came in so, NaN in 4 of 16 numbers, float32[8, 2]"
  )
  assert said[4] == "queries and passages whose scores it reaches: q7 with p20"
  assert "not finite in the end: loss, metrics/kd" in said
  assert said[-1].startswith("gradients that are not finite: gradient/encoder/")


@pytest.mark.long
def test_a_layer_that_overflows_is_named(student, monkeypatch):
  trees = train.first_trees

  def too_large(job):
    params, frozen = trees(job)
    up = params["encoder"]["layer_0"]["mlp"]["up"]
    up["kernel"] = np.sign(up["kernel"]) * np.float32(3e38)
    return params, frozen

  monkeypatch.setattr(train, "first_trees", too_large)
  job = student()
  stopped(job)
  said = [*replay.lines(replay.replay(job.run, "student"))]
  assert "params/encoder/layer_0/mlp/up" in said[3]
  assert said[4].strip().startswith("models/transformer.py:")


@pytest.mark.long
def test_steps_between_are_done_again_where_that_is_asked_for(student):
  """Kept is a sound batch of step 2; it is the first step that fails."""
  job = student(without_score(1, 0))
  stopped(job)
  bad, about = kept.load(job.folder, 0)
  scores_BN = np.ones_like(bad.list_scores_BN)
  batch = bad._replace(list_scores_BN=scores_BN)
  about = {**about, "step": 2}
  kept.keep(job.folder, 2, batch, about, job.run.processes)
  said = [*replay.lines(replay.replay(job.run))]
  assert said[-1] == (
    "all of it is finite by the parameters of step 0: they went wrong in the 2 "
    "steps since; --redo does these again"
  )
  made = replay.replay(job.run, redo=True)
  assert made.said[0] == "stage student, step 0"
  assert "by the parameters of step 0: " in made.said[2]
  assert made.found.first.what == "batch/list_scores_BN"


@pytest.mark.long
def test_texts_that_a_teacher_makes_nothing_finite_of_are_read_again(run):
  made(run, "ce")
  save_lists(LISTS, run.folder("mine") / "candidates")
  path = run.folder("ce") / PARAMS
  params = hf.load_params(path)
  params = jax.tree.map(np.array, params)
  params["encoder"]["layer_0"]["mlp"]["up"]["bias"][:] = np.inf
  hf.save_params(path, params)
  job = stages.job_of(run, "score")
  job.folder.mkdir()
  with pytest.raises(kept.NotFinite) as error:
    main._done(job)
  assert "stage score: the model makes NaN or infinity of " in str(error.value)
  assert "q4 with p10, " in str(error.value)
  said = [*replay.lines(replay.replay(run))]
  assert said[0] == "stage score, model ce"
  assert said[1].startswith("queries: q4, ")
  assert said[3].endswith(
    "params/encoder/layer_0/mlp/up/bias came in so, infinity in 64 of 64 "
    "numbers, float32[64]"
  )


def test_a_stage_that_ends_keeps_nothing(student):
  job = student()
  kept.keep(job.folder, 0, (), {}, job.run.processes)
  main._done(job)
  assert not (job.folder / kept.FOLDER).exists()
  with pytest.raises(
    strict.ConfigError, match="that have kept a step are none"
  ):
    replay.replay(job.run)
  with pytest.raises(
    strict.ConfigError, match="student has no not_finite: the"
  ):
    replay.replay(job.run, "student")
  with pytest.raises(strict.ConfigError, match="no stage 'x'; known: start"):
    replay.replay(job.run, "x")
  both = dataclasses.replace(job.run)
  for name in ("start", "student"):
    (both.folder(name) / kept.FOLDER).mkdir(parents=True)
  with pytest.raises(strict.ConfigError, match="are several: start, student"):
    replay.replay(both)
