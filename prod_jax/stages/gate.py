"""Stage kind `gate`: does a teacher rank the student's lists any better?

Leaves `gate.json` with the figures. Stages whose `gate` is one that did not
pass are skipped, and all that reads them.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from prod_jax import kinds, storage, strict
from prod_jax.retrieval import encode, rerank
from prod_jax.retrieval.pieces import Pieces
from prod_jax.stages import held_out, score
from prod_jax.stages.mine import scores_of
from prod_jax.stages.run import Job


def fingerprint(job: Job[kinds.Gate]) -> dict[str, Any]:
  """What the result depends on besides this stage's config and inputs."""
  models = [] if _by_vectors(job) else [job.model_name("teacher")]
  return {**job.run.data_fingerprint(*models), "seed": job.seed}


def check(job: Job[kinds.Gate]) -> None:
  """Raises ConfigError for a split that is not encoded, or no such metric."""
  job.check_encoded(job.stage.split)
  if _by_vectors(job):
    job.check_encoded(job.stage.split, "teacher")
  else:
    job.check_trains("teacher", ("cross", "late"))
  if job.stage.ensemble:
    if _by_vectors(job):
      raise strict.ConfigError(
        f"{job.where}.ensemble is one with a teacher that reads pairs; "
        f"{job.stage.teacher} is an encode stage: leave ensemble empty"
      )
    job.check_encoded(job.stage.split, "ensemble")
  held_out.check_metric(job)
  depth = job.stage.depth
  kind, _, cut = job.stage.metric.partition("@")
  if kind in ("recall", "hit") and int(cut or depth) >= depth:
    raise strict.ConfigError(
      f"{job.where}.metric is {job.stage.metric}, which no order of the same "
      f"{depth} passages changes; take mrr or ndcg"
    )


def run(job: Job[kinds.Gate]) -> dict[str, Any]:
  """Lets both order the same passages, and compares them query by query."""
  stage = job.stage
  ordered = _ordered_by_vectors if _by_vectors(job) else _ordered_by_model
  made = ordered(job)
  if made is None:
    return {}
  ids_QK, student_QK, teacher_QK = made
  student, teacher = (
    held_out.values(job, ids_QK, scores) for scores in (student_QK, teacher_QK)
  )
  found = held_out.compared(job, student, teacher)
  passed = found.difference > held_out.ROUNDING and found.p < stage.level
  who = "+".join(filter(None, (stage.teacher, stage.ensemble)))
  figures = {
    "passed": passed,
    "why": f"{who} {'teaches' if passed else 'does not teach'}: of "
    f"the first {stage.depth} of {stage.encoded} it makes "
    f"{held_out.said(job, found, 'their own order')}",
    "student": round(found.mean_before, 4),
    "teacher": round(found.mean_after, 4),
    **held_out.figures(found),
  }
  logging.info("%s: %s", job.name, figures["why"])
  storage.write_text(job.folder / "gate.json", json.dumps(figures, indent=2))
  return figures


def _ordered_by_vectors(job: Job[kinds.Gate]) -> Sequence[np.ndarray] | None:
  """Lists, student's scores and teacher's; None but on the first process."""
  if not job.run.processes.first:
    return None
  ids_QK, student_QK = held_out.retrieved(job, "encoded")
  vectors = encode.open_shards(job.inputs["teacher"] / "passages")
  queries_QD = held_out.queries(job, "teacher")
  return ids_QK, student_QK, scores_of(queries_QD, vectors, ids_QK)


def _ordered_by_model(job: Job[kinds.Gate]) -> Sequence[np.ndarray] | None:
  """The same with a teacher that reads the texts."""
  texts, split = job.tokens_of("teacher"), job.stage.split

  def work(start: int, stop: int, pieces: Pieces) -> dict[str, np.ndarray]:
    ids_QK, student_QK = held_out.retrieved(job, "encoded")
    rows_Q = np.arange(start, stop)
    teacher_QK = rerank.score_lists(
      job.frozen("teacher"),
      texts.queries[split],
      texts.passages,
      rows_Q,
      ids_QK,
      pieces,
    )
    teacher_QK = score.with_ensemble(job, teacher_QK, split, rows_Q, ids_QK)
    return {"ids": ids_QK, "student": student_QK, "teacher": teacher_QK}

  names = ["ids", "student", "teacher"]
  return job.in_blocks(len(texts.queries[split]), names, work)


def _by_vectors(job: Job[kinds.Gate]) -> bool:
  """Whether the teacher is a dual encoder, known by its vectors."""
  return isinstance(job.run.config.stages.get(job.stage.teacher), kinds.Encode)
