"""Stage kind `denoise`: what a teacher takes for a positive among unlabelled.

Leaves `candidates/` as `batches.lists.Candidates` describes it and
`scores.npy`, float32 [Q, C], the teacher's scores of these lists: later stages
name this one for both. `false_negatives.jsonl` has a line for each passage that
was found:

  query_id, passage_id, positive_id   the last is the best labelled passage of
                                      the list, null where there is none
  score, positive_score               the teacher's
  rank, teacher_rank                  0-based, as it was retrieved, null where
                                      it was not, and in the teacher's order of
                                      the list
  stage, rule, limit, action          who says so, the score above which it is,
                                      and what became of it

A passage that becomes a positive is one in its own list; in-batch it is not
masked, since that goes by the labels of the set.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import logging

from prod_jax import arrays, kinds, progress, strict
from prod_jax.batches.lists import Candidates, load_lists, save_lists
from prod_jax.retrieval import denoise
from prod_jax.sets.dataset import Dataset
from prod_jax.stages.run import Job

FALSE_NEGATIVES = "false_negatives.jsonl"

DenoiseJob = Job[kinds.Denoise]


def fingerprint(job: DenoiseJob) -> dict[str, Any]:
  """Nothing: config and inputs decide it."""
  return {}


def check(job: DenoiseJob) -> None:
  """Raises ConfigError for scores of other lists, or a limit that is none."""
  job.check_scored("scores")
  stage = job.stage
  split = job.source("candidates").split
  if split != stage.split:
    raise strict.ConfigError(
      f"{job.where}.split is {stage.split!r}, but {stage.candidates} has lists "
      f"for {split!r}"
    )
  if stage.rule == "percentile":
    if not stage.percentile:
      raise strict.ConfigError(
        f"{job.where}.percentile is {stage.percentile:g}; rule='percentile' "
        "takes one above 0 and up to 100"
      )
    if stage.margin:
      raise strict.ConfigError(
        f"{job.where}.margin is {stage.margin:g}, and rule='percentile' has "
        "none; leave it out"
      )
    return
  if stage.percentile:
    raise strict.ConfigError(
      f"{job.where}.percentile is {stage.percentile:g}, and rule="
      f"{stage.rule!r} has none; leave it out, or set rule='percentile'"
    )
  if stage.rule == "relative" and stage.margin <= 0:
    raise strict.ConfigError(
      f"{job.where}.margin is {stage.margin:g}; rule='relative' takes a share "
      "of the positive's score, above 0"
    )


def run(job: DenoiseJob) -> dict[str, Any]:
  """Applies the rule, writes down what it finds, and counts.

  Raises:
    ConfigError: the rule is not made for these scores, or no list has a
      negative left.
  """
  dataset = job.run.dataset
  # A comparison of arrays on disk: the others wait where the stage ends.
  if not job.run.processes.first:
    return {}
  stage = job.stage
  lists = load_lists(Candidates, job.inputs["candidates"] / "candidates")
  scores_QC = arrays.read(job.inputs["scores"] / "scores.npy")
  found = denoise.find(lists, scores_QC, stage)
  if not (found.positive_Q >= 0).any():
    raise strict.ConfigError(
      f"stage {job.name}: no labelled passage in the lists of "
      f"{stage.candidates} has a score, and {job.where}.rule goes by theirs; "
      "let some queries with labels be among them"
    )
  if stage.rule == "relative":
    _check_above_0(job, denoise.scores_at(scores_QC, found.positive_Q))
  with open(job.folder / FALSE_NEGATIVES, "w", encoding="utf-8") as file:
    for line in progress.shown(
      _lines(job, dataset, lists, scores_QC, found),
      f"{job.name}: writing",
      "false negatives",
      int(found.false_QC.sum()),
      only_long=True,
    ):
      file.write(json.dumps(line, ensure_ascii=False) + "\n")
  left, left_QC = _acted(stage, lists, scores_QC, found.false_QC)
  negatives = int((~left.label & (left.ids >= 0)).sum())
  if not negatives:
    raise strict.ConfigError(
      f"stage {job.name}: no list has a negative left; find fewer with "
      f"{job.where}.{'percentile' if stage.percentile else 'margin'}, or set "
      "action='keep'"
    )
  save_lists(left, job.folder / "candidates")
  np.save(job.folder / "scores.npy", left_QC)
  return _summary(job, lists, found.false_QC, left)


def _acted(
  stage: kinds.Denoise,
  lists: Candidates,
  scores_QC: np.ndarray,
  false_QC: np.ndarray,
) -> tuple[Candidates, np.ndarray]:
  """Lists and scores once the passages that were found are dealt with."""
  if stage.action == "drop":
    return denoise.dropped(lists, scores_QC, false_QC)
  if stage.action == "relabel":
    return denoise.relabelled(lists, scores_QC, false_QC)
  return lists, scores_QC


def _check_above_0(job: DenoiseJob, z_pos_Q: np.ndarray) -> None:
  """Raises ConfigError where a share of a score is not below it."""
  below = int((z_pos_Q <= 0).sum())
  if below:
    raise strict.ConfigError(
      f"{job.where}.rule='relative' takes scores above 0, and {below} of "
      f"{int((~np.isnan(z_pos_Q)).sum())} positives have none, such as one of "
      f"{np.nanmin(z_pos_Q):.4g}; a share of a logit means nothing: set "
      "rule='absolute'"
    )


def _lines(
  job: DenoiseJob,
  dataset: Dataset,
  lists: Candidates,
  scores_QC: np.ndarray,
  judged: denoise.Found,
) -> Iterator[dict[str, Any]]:
  """What is written down of each passage that was found, list by list."""
  stage, queries = job.stage, dataset.queries[job.stage.split]
  places_QC = denoise.places(scores_QC)
  for line, column in np.argwhere(judged.false_QC):
    best, rank = judged.positive_Q[line], int(lists.rank[line, column])
    has = best >= 0
    yield {
      "query_id": queries[lists.query[line]].id,
      "passage_id": dataset.passages.id(lists.ids[line, column]),
      "positive_id": dataset.passages.id(lists.ids[line, best])
      if has
      else None,
      "score": float(scores_QC[line, column]),
      "positive_score": float(scores_QC[line, best]) if has else None,
      "rank": rank if rank >= 0 else None,
      "teacher_rank": int(places_QC[line, column]),
      "stage": job.name,
      "rule": stage.rule,
      "limit": float(judged.limit_Q[line]),
      "action": stage.action,
    }


def _summary(
  job: DenoiseJob, lists: Candidates, false_QC: np.ndarray, left: Candidates
) -> dict[str, Any]:
  """Counts, as a log line and as figures."""
  negatives = int((~lists.label & (lists.ids >= 0)).sum())
  found, touched = int(false_QC.sum()), int(false_QC.any(axis=1).sum())
  share = found / negatives if negatives else 0.0
  logging.info(
    "%s: %s takes %d of %d unlabelled passages for positives (%.1f%%), of %d "
    "of %d queries (rule %s, action %s)",
    job.name,
    job.stage.scores,
    found,
    negatives,
    100 * share,
    touched,
    len(lists.query),
    job.stage.rule,
    job.stage.action,
  )
  alone_Q = ~(~left.label & (left.ids >= 0)).any(axis=1)
  return {
    "queries": len(left.query),
    "negatives": negatives,
    "found": found,
    "share": round(share, 4),
    "queries_touched": touched,
    "without_negatives": int(alone_Q.sum()),
    "left_out": len(lists.query) - len(left.query),
  }
