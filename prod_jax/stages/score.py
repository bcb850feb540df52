"""Stage kind `score`: a teacher's scores of candidate lists.

Leaves `scores.npy`, float32 [Q, C], aligned with the lists of `candidates`:
raw logits, NaN on padding. A pair is scored once and read ever after.

With `ensemble` they are the mean of the model's and a dual encoder's, two
teachers whose errors differ. PROD's paper has none; this is ours.
"""

from typing import Any

import numpy as np

from prod_jax import arrays, kinds
from prod_jax.batches.lists import Candidates, load_lists, unordered
from prod_jax.retrieval import divide, encode, rerank
from prod_jax.retrieval.pieces import Pieces
from prod_jax.stages.mine import scores_of
from prod_jax.stages.run import Job


def fingerprint(job: Job[kinds.Score]) -> dict[str, Any]:
  """What the result depends on besides this stage's config and inputs."""
  return job.run.data_fingerprint(job.model_name("params"))


def check(job: Job[kinds.Score]) -> None:
  """Raises ConfigError where `params` trains what reads no pairs.

  A dual encoder's scores are those of an encode stage; `ensemble` takes one.
  """
  job.check_trains("params", ("cross", "late"))
  if job.stage.ensemble:
    job.check_encoded(job.source("candidates").split, "ensemble")


def run(job: Job[kinds.Score]) -> dict[str, Any]:
  """Scores the lists that are not scored yet."""
  frozen, tokens = job.frozen("params"), job.tokens_of("params")
  lists = load_lists(Candidates, job.inputs["candidates"] / "candidates")
  # Lists hold rows of the split that they were made for.
  split = job.source("candidates").split
  queries = tokens.queries[split]

  def work(start: int, stop: int, pieces: Pieces) -> dict[str, np.ndarray]:
    of_lists = lists.query[start:stop], lists.ids[start:stop]
    scores_QC = rerank.score_lists(
      frozen, queries, tokens.passages, *of_lists, pieces
    )
    return {"scores": with_ensemble(job, scores_QC, split, *of_lists)}

  made = job.in_blocks(len(lists.query), ["scores"], work)
  if made is None:
    return {}
  (scores_QC,) = made
  np.save(job.folder / "scores.npy", scores_QC)
  figures: dict[str, Any] = {"pairs": int((lists.ids >= 0).sum())}
  # Of passages that somebody has ranked.
  known_Q = lists.label.any(axis=1) & ~unordered(lists)
  if known_Q.any():
    ranks_Q = divide.teacher_ranks(lists, scores_QC)[known_Q]
    figures["first"] = round(float((ranks_Q == 0).mean()), 4)
  return figures


def with_ensemble(
  job: Job[kinds.Score | kinds.Evaluate | kinds.Gate],
  scores_QC: np.ndarray,
  split: str,
  query_rows: np.ndarray,
  ids_QC: np.ndarray,
) -> np.ndarray:
  """A model's scores of lists, or their mean with those of `ensemble`."""
  if not job.stage.ensemble:
    return scores_QC
  folder = job.inputs["ensemble"]
  queries_QD = arrays.read(folder / f"queries-{split}.npy", mapped=True)
  vectors = encode.open_shards(folder / "passages")
  others_QC = scores_of(np.asarray(queries_QD[query_rows]), vectors, ids_QC)
  return (scores_QC + others_QC) / 2
