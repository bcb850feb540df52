"""A run that stops for a number that is none, and its step done again."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from prod_jax import main, stages, strict
from prod_jax.batches.lists import save_lists
from prod_jax.models import hf
from prod_jax.stages import broken, replay, train
from prod_jax.stages.run import PARAMS
from prod_jax.train import kept, loop, nonfinite
from tests.stages import scorecard_test
from tests.stages.denoise_test import LISTS, run_of
from tests.stages.score_test import made, run
from tests.stages.scorecard_test import job
from tests.train.step_test import make_batch

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


def test_a_step_is_kept_with_the_ids_in_it(student):
  job = student()
  metrics = {"loss": float("nan"), "grad_norm": float("inf")}
  batch = make_batch([7, *range(20, 30)])
  error = loop.NonFiniteError("student", 3, metrics, batch)
  assert str(broken.of_step(job, error)) == (
    "stage student, step 3: loss nan, gradient norm inf. Its batch is kept in "
    f"{job.folder}/not_finite/3, with the queries q7, q20, q21, q22, q23, q24, "
    f"q25, q26 and 3 more. prod_jax replay {job.run.workdir} --stage=student "
    "says where the first such number arises. The last checkpoint is from "
    "before this step; lower learning_rate, set clip, or look at these queries"
  )
  found, about = kept.load(job.folder, 3)
  np.testing.assert_array_equal(found.list_scores_BN, batch.list_scores_BN)
  assert about["metrics"] == {"loss": "nan", "grad_norm": "inf"}
  assert about["passages"][0] == ["p7", "p7"]


def test_what_a_replay_says():
  """A score in the list of the second query, and what follows from it."""
  bad = np.array([[False, False], [False, True]])
  score = nonfinite.Made(0, "argument", "batch/x", bad, True, "float32")
  product = nonfinite.Made(
    1,
    "operation",
    "mul",
    bad,
    False,
    "bfloat16",
    where="params/encoder/layer_1/mlp",
    backward=True,
    lines=("losses/listwise.py:80 kl",),
  )
  about = {"queries": ["a", "b"], "passages": [["p", "q"], ["r", "s"]]}
  outputs = ["loss", *(f"gradient/{i}" for i in range(7))]

  def said(*behind):
    found = nonfinite.Found(outputs, behind[0] if behind else None, behind)
    batch = make_batch([4, 7])
    return [
      *replay.lines(replay.Replayed(("head",), "sound", about, found, batch))
    ]

  assert said() == ["head", "sound"]
  assert said(product, score) == [
    "head",
    "the first value that is not finite: of a gradient, mul, in "
    "params/encoder/layer_1/mlp: infinity in 1 of 4 numbers, bfloat16[2, 2], "
    "of finite ones",
    "  losses/listwise.py:80 kl",
    "also not finite as they came in: batch/x",
    "queries and passages whose scores it reaches: b with s",
    "not finite in the end: loss",
    "gradients that are not finite: gradient/0, gradient/1, gradient/2, "
    "gradient/3, gradient/4 and 2 more",
  ]
  assert said(score)[1] == (
    "the first value that is not finite: batch/x came in so, NaN in 1 of 4 "
    "numbers, float32[2, 2]"
  )


@pytest.mark.long
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
    r"again, on cpu, by the parameters of step 0: ce \d.*, grad_norm nan, "
    r"kd nan, loss nan",
    said[2],
  )
  assert said[3].endswith(
    "batch/list_scores_BN came in so, NaN in 4 of 16 numbers, float32[8, 2]"
  )
  assert said[4] == "queries and passages whose scores it reaches: q7 with p20"
  assert "not finite in the end: loss, metrics/kd" in said
  assert said[-1].startswith("gradients that are not finite: gradient/encoder/")


def test_a_norm_that_overflows_is_no_matter_of_the_processor(student):
  """Of finite numbers, whose squares are too large."""
  job = student()
  config = job.run.config
  large = dataclasses.replace(config.models["student"], scale=1e30)
  models = {**config.models, "student": large}
  config = dataclasses.replace(config, models=models)
  job = dataclasses.replace(
    job, run=dataclasses.replace(job.run, config=config)
  )
  assert "gradient norm inf" in stopped(job)
  said = [*replay.lines(replay.replay(job.run))]
  assert "grad_norm inf" in said[1] and "grad_norm inf" in said[2]
  assert re.fullmatch(
    r"the gradient is finite, its norm is too large for float32: up to "
    r"\d\.\d+e\+\d+, in .*encoder/.*\. Look at .*",
    said[3],
  )
  assert said[4].startswith("the first value that is not finite: ")
  assert not any("processor" in line for line in said)


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
  assert made.cause.first.what == "batch/list_scores_BN"


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


def test_a_stage_that_ends_keeps_nothing(student, monkeypatch):
  job = student()
  monkeypatch.setattr(train, "run", lambda job: {})
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
