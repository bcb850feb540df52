"""Stage kind `score`: a teacher's scores of candidate lists.

Leaves `scores.npy`, float32 [Q, C], aligned with the lists of `candidates`:
raw logits, NaN on padding. A pair is scored once and read ever after.
"""

from typing import Any

import numpy as np

from prod_jax import kinds
from prod_jax.batches.lists import Candidates, load_lists
from prod_jax.retrieval import divide, rerank
from prod_jax.retrieval.pieces import Pieces
from prod_jax.stages.run import Job


def fingerprint(job: Job[kinds.Score]) -> dict[str, Any]:
  """What the result depends on besides this stage's config and inputs."""
  return job.run.data_fingerprint(job.model_name("params"))


def check(job: Job[kinds.Score]) -> None:
  """Raises ConfigError where `params` trains what reads no pairs.

  A dual encoder's scores are those of an encode stage.
  """
  job.check_trains("params", ("cross", "late"))


def run(job: Job[kinds.Score]) -> dict[str, Any]:
  """Scores the lists that are not scored yet."""
  frozen, tokens = job.frozen("params"), job.tokens_of("params")
  lists = load_lists(Candidates, job.inputs["candidates"] / "candidates")
  # Lists hold rows of the split that they were made for.
  queries = tokens.queries[job.source("candidates").split]

  def work(start: int, stop: int, pieces: Pieces) -> dict[str, np.ndarray]:
    return {
      "scores": rerank.score_lists(
        frozen,
        queries,
        tokens.passages,
        lists.query[start:stop],
        lists.ids[start:stop],
        pieces,
      )
    }

  made = job.in_blocks(len(lists.query), ["scores"], work)
  if made is None:
    return {}
  (scores_QC,) = made
  np.save(job.folder / "scores.npy", scores_QC)
  ranks_Q = divide.teacher_ranks(lists, scores_QC)
  return {
    "pairs": int((lists.ids >= 0).sum()),
    "first": round(float((ranks_Q == 0).mean()), 4),
  }
