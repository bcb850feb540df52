"""Teacher and miner on the same lists."""

import numpy as np
import pytest

from prod_jax.report import record, scores


def compare(workdir):
  run = record.load(workdir)
  return scores.compare(run, run.stages["score_1"])


def test_positives_and_negatives_by_judge(workdir):
  found = compare(workdir)
  assert (found.teacher.name, found.teacher.unit) == ("ce_1", "logit")
  assert (found.miner.name, found.miner.unit) == (
    "teacher_de",
    "cosine times 20",
  )
  np.testing.assert_array_equal(found.teacher.positives, [3, 2])
  np.testing.assert_array_equal(found.teacher.negatives, [4, -1, -2])
  np.testing.assert_array_equal(found.miner.positives, [9, 8])
  np.testing.assert_array_equal(found.miner.negatives, [8, 7, 9])
  assert found.lists == found.shown == 2


def test_share_of_negatives_below_the_best_positive(workdir):
  found = compare(workdir)
  assert found.teacher.outscored == pytest.approx((1 / 2 + 1) / 2)
  assert found.miner.outscored == pytest.approx((1 + 0) / 2)


def test_of_many_lists_some_are_read(workdir, monkeypatch):
  monkeypatch.setattr(scores, "MOST_LISTS", 1)
  found = compare(workdir)
  assert (found.lists, found.shown) == (2, 1)
  np.testing.assert_array_equal(found.teacher.positives, [3])


@pytest.mark.parametrize("file", ["scores.npy", "candidates/score.npy"])
def test_absent_files_are_an_answer(workdir, file):
  (next(workdir.rglob(file))).unlink()
  assert compare(workdir) is None


def test_what_a_pending_stage_left_does_not_count(workdir):
  path = workdir / "curriculum.json"
  path.write_text(path.read_text().replace('"done"', '"pending"'))
  assert compare(workdir) is None
