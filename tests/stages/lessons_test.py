"""Lists that nobody can learn from: counted, told, or refused."""

import dataclasses

import numpy as np
import pytest

from prod_jax import strict
from prod_jax.batches.lists import save_lists
from prod_jax.methods import Sources, contrastive, prod, scoring
from prod_jax.report import record
from prod_jax.stages import examples, lessons, train
from tests.methods import batches
from tests.stages.denoise_test import LISTS, SCORES, run_of
from tests.stages.scorecard_test import job, learnt_from

__all__ = ["job", "run_of"]  # fixtures


@pytest.fixture
def made(job):
  """A function that makes a student's job, with these lists and scores."""

  def of(lists=LISTS, scores=SCORES, **changes):
    found = job(**changes)
    save_lists(lists, found.inputs["candidates"] / "candidates")
    np.save(found.inputs["scores"] / "scores.npy", scores)
    return found

  return of


def test_lists_of_one_passage_and_of_one_score_are_counted_and_told(
  made, caplog
):
  """The first list gets one score; the last one has one passage."""
  scores = SCORES.copy()
  scores[0] = 7
  found = made(scores=scores)
  with caplog.at_level("WARNING", logger="absl"):
    counts = lessons.check(found, learnt_from(found))
  assert counts == lessons.Counts(lists=4, alone=1, flat=1)
  assert "student: 1 of 4 lists have one passage, and nothing" in caplog.text
  assert "student: of 1 of 4 lists the teacher gives all pas" in caplog.text


def test_lists_that_teach_are_not_spoken_of(made, caplog):
  several = LISTS._replace(**{k: v[:3] for k, v in LISTS._asdict().items()})
  found = made(lists=several, scores=SCORES[:3])
  with caplog.at_level("WARNING", logger="absl"):
    counts = lessons.check(found, learnt_from(found))
  assert counts == lessons.Counts(lists=3)
  assert not caplog.records
  assert lessons.summary(counts, 0, 10) == {}


def test_a_teacher_of_one_score_is_refused(made):
  found = made(scores=np.where(np.isnan(SCORES), np.nan, 5).astype(np.float32))
  with pytest.raises(strict.ConfigError) as error:
    lessons.check(found, learnt_from(found))
  assert str(error.value).startswith(
    "config.stages.student.scores: ce gives one score to all passages of a "
    "list, in each of the 3 lists with several; it has nothing to teach"
  )


def test_the_report_says_it(tmp_path):
  counts = lessons.Counts(lists=9, alone=2, flat=3)
  summary = lessons.summary(counts, 4, 5)
  assert summary == {
    "alone": 2,
    "flat": 3,
    "still": 4,
    "why": "2 of 9 lists have one passage; to 3 of 9 lists the teacher gives "
    "one score; the gradient of 4 of 5 steps was exactly 0",
  }
  raw = {"name": "a", "dir": "0-a", "kind": "train", "status": "done"}
  stage = record._stage(tmp_path, {**raw, "summary": summary}, {})
  assert stage.said == summary["why"]


@pytest.mark.parametrize(
  ("own_list", "whole_batch", "refused"),
  [(1, 1, [False, True]), (1, 8, [False]), (2, 2, []), (0, 0, [])],
)
def test_one_candidate_is_refused(own_list, whole_batch, refused):
  sources = Sources(own_list=own_list, whole_batch=whole_batch)
  for in_batch in (False, True):
    if in_batch not in refused:
      scoring.need_candidates("m", sources, in_batch=in_batch)
      continue
    with pytest.raises(strict.ConfigError, match=r"method m: .* compare that"):
      scoring.need_candidates("m", sources, in_batch=in_batch)


def test_a_distance_of_scores_by_themselves_may_have_one_candidate():
  one = Sources(teacher="scores", own_list=1, whole_batch=8)
  settings = dict(in_batch=False, temperature=1.0, hard=0.0, soft=1.0)
  prod.make(prod.Settings(**settings, kd="logit"), batches.DUAL, one)
  with pytest.raises(strict.ConfigError, match="own list with one passage"):
    prod.make(prod.Settings(**settings), batches.DUAL, one)


def test_a_config_with_one_candidate_is_refused_before_anything_runs(job):
  """Of a list, or of a batch; not where no step is done."""
  found = job(negatives=0)
  with pytest.raises(strict.ConfigError, match="negatives=0 leaves a query's"):
    train.check(found)
  single = dict(negatives=0, batch_size=2, accumulation=2)
  warm = job(**single, scores="", candidates="")
  with pytest.raises(strict.ConfigError, match="or a larger batch_size"):
    contrastive.make(
      contrastive.Settings(), batches.DUAL, examples.offered(warm)
    )
  idle = dataclasses.replace(
    warm, stage=dataclasses.replace(warm.stage, steps=0)
  )
  contrastive.make(contrastive.Settings(), batches.DUAL, examples.offered(idle))
