"""Stage kind `divide`: the queries that a teacher gets right and a student not.

Leaves `queries.npy`, int32 rows of the query table. Of a query without labels,
what the teacher ranks first is right, where it is sure enough of that.
"""

from typing import Any

import numpy as np
from absl import logging

from prod_jax import arrays, kinds, strict
from prod_jax.batches.lists import Candidates, load_lists, unordered
from prod_jax.retrieval import divide
from prod_jax.stages import examples
from prod_jax.stages.run import Job


def fingerprint(job: Job[kinds.Divide]) -> dict[str, Any]:
  """Nothing: config and inputs decide it."""
  return {}


def check(job: Job[kinds.Divide]) -> None:
  """Raises ConfigError when the scores are not of the candidates.

  Nor are ranks before and after the teacher those of one run where lists keep
  only some of it; and lists that the mine stage left out cannot be kept.
  """
  job.check_scored("scores")
  mined = examples.made(job, job.stage.candidates)
  if not isinstance(mined, kinds.Mine):
    return
  if mined.negatives:
    raise strict.ConfigError(
      f"{job.where}.candidates is {job.stage.candidates!r}; it takes the "
      "whole lists of a mine stage, with negatives=0"
    )
  if mined.positive_to and not _is_within(job, mined):
    raise strict.ConfigError(
      f"{job.where} may keep queries that {job.stage.candidates} has no lists "
      f"of: they were mined with positive_from={mined.positive_from} and "
      f"positive_to={mined.positive_to}. Set both to 0, or, for rule 'marco' "
      "and lists as they were mined, to student_from and student_to"
    )


def _is_within(job: Job[kinds.Divide], mined: kinds.Mine) -> bool:
  """Whether no query is kept whose list was left out where it was mined."""
  stage, lists = job.stage, job.source("candidates")
  while isinstance(lists, kinds.Filter):  # which leaves out whole lists alone
    lists = job.run.stage(lists.candidates)
  return (
    stage.rule == "marco"
    and lists is mined  # by others the first positive may be another one
    and mined.positive_from <= stage.student_from
    and min(stage.student_to, mined.depth - 1) <= mined.positive_to
  )


def run(job: Job[kinds.Divide]) -> dict[str, Any]:
  """Applies the rule and counts what it leaves.

  Raises:
    ConfigError: when fewer than `least` queries are left.
  """
  # A few comparisons of arrays on disk: the others wait where the stage ends.
  if not job.run.processes.first:
    return {}
  lists = load_lists(Candidates, job.inputs["candidates"] / "candidates")
  if unordered(lists).all():
    raise strict.ConfigError(
      f"stage {job.name}: the lists of {job.stage.candidates} have no order, "
      "for nothing has ranked their passages: it is not known what a student "
      f"gets wrong; set {job.where}.candidates to lists that a mine stage made "
      "or that came with scores"
    )
  scores_QC = arrays.read(job.inputs["scores"] / "scores.npy")
  # Both ranks are of the same passages, before and after the teacher.
  unlabelled_Q = ~lists.label.any(axis=1)
  lists = divide.with_teachers_first(lists, scores_QC)
  student_Q = divide.student_ranks(lists)
  teacher_Q = divide.teacher_ranks(lists, scores_QC)
  kept_Q = divide.keep(student_Q, teacher_Q, job.stage)
  if job.stage.confidence:
    sure_Q = divide.confidence(lists, scores_QC) >= job.stage.confidence
    kept_Q &= sure_Q | ~unlabelled_Q
  summary = {
    "queries": len(kept_Q),
    "kept": int(kept_Q.sum()),
    "kept_unlabelled": int((kept_Q & unlabelled_Q).sum()),
    "student_first": int((student_Q == 0).sum()),
    # Without labels the teacher's first passage is right by definition.
    "teacher_first": int(((teacher_Q == 0) & ~unlabelled_Q).sum()),
    "student_missed": int((student_Q < 0).sum()),
  }
  if summary["kept"] < job.stage.least:
    raise strict.ConfigError(
      f"stage {job.name} keeps {summary['kept']} queries, fewer than least="
      f"{job.stage.least}: {summary}. Widen student_from, student_to or "
      "teacher_to, or lower confidence"
    )
  logging.info(
    "%s: keeps %d of %d queries", job.name, summary["kept"], len(kept_Q)
  )
  np.save(job.folder / "queries.npy", lists.query[kept_Q])
  return summary
