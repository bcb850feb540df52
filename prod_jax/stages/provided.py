"""Stage kind `provided`: the lists that came with the data set.

Leaves `candidates/` as `batches.lists.Candidates` describes it: the set's own
negatives in its order, then the labelled positives. Nothing was retrieved, so
none of them has a rank or a score. A passage that says what a labelled one says
is no negative.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from prod_jax import kinds, strict
from prod_jax.batches.lists import Candidates, save_lists
from prod_jax.ragged import padded_rows
from prod_jax.sets.datasets import own
from prod_jax.stages.run import Job


def fingerprint(job: Job[kinds.Provided]) -> dict[str, Any]:
  """What the result depends on besides this stage's config and inputs."""
  located = job.run.located
  return {
    "dataset": located.fingerprint,
    "seed": job.seed,
    "negatives": own.fingerprint(located.data, job.stage.split),
  }


def check(job: Job[kinds.Provided]) -> None:
  """Nothing: it reads no other stage."""


def run(job: Job[kinds.Provided]) -> dict[str, Any]:
  """Takes the queries that have a positive and negatives of their own.

  Raises:
    DataError: the data set has no negatives of its own.
    ConfigError: none of its queries has both.
  """
  # Nothing here is worth dividing. The others wait where the stage ends; what
  # all processes make together, the data set, they have opened before.
  if not job.run.processes.first:
    return {}
  stage, dataset = job.stage, job.run.dataset
  positives = dataset.positive_rows(stage.split)
  copies = dataset.copies_of(stage.split).by_query(len(positives))
  negatives_QC = dataset.negative_rows(
    stage.split,
    limit=stage.negatives,
    seed=job.seed,
    judged=stage.grade_0,
    none=dataset.no_negatives(stage.split),
  )
  labelled = np.array([bool(rows) for rows in positives])
  queries = np.flatnonzero(labelled & (negatives_QC >= 0).any(axis=1))
  if not len(queries):
    raise strict.ConfigError(
      f"stage {job.name}: no query of split {stage.split!r} has both a "
      "labelled positive and a negative of the data set's own"
    )
  lists = _lists(
    queries, [positives[row] for row in queries], negatives_QC[queries]
  )
  save_lists(lists, job.folder / "candidates")
  left_out = int(labelled.sum()) - len(queries)
  if left_out:
    logging.info("%s: %d queries have no negatives", job.name, left_out)
  copied = _count_copies(job, copies)
  if copied:
    logging.info(
      "%s: left out %d negatives with the text of a labelled passage",
      job.name,
      copied,
    )
  count_Q = (~lists.label & (lists.ids >= 0)).sum(axis=1)
  return {
    "queries": len(queries),
    "left_out": left_out,
    "copies": copied,
    "negatives_a_query": round(float(count_Q.mean()), 2),
  }


def _count_copies(
  job: Job[kinds.Provided], copies: Sequence[Sequence[int]]
) -> int:
  """How many of the set's negatives say what a labelled passage says."""
  stage = job.stage
  of, _ = job.run.dataset.own_negatives(stage.split, judged=stage.grade_0)
  return sum(
    int(np.isin(rows, of(query)).sum())
    for query, rows in enumerate(copies)
    if rows
  )


def _lists(
  query: np.ndarray, positives: list[tuple[int, ...]], negatives_QC: np.ndarray
) -> Candidates:
  """Negatives, then positives; a negative that is labelled is left out."""
  most = max(map(len, positives))
  added = padded_rows(positives, most)
  negatives_QC = np.array(negatives_QC, np.int32)
  for line, rows in zip(negatives_QC, positives, strict=True):
    line[np.isin(line, rows)] = -1
  ids = np.concatenate([negatives_QC, added], axis=1)
  column_C = np.arange(ids.shape[1])
  return Candidates(
    query=query.astype(np.int32),
    ids=ids,
    label=(column_C >= negatives_QC.shape[1]) & (ids >= 0),
    rank=np.full(ids.shape, -1, np.int32),
    score=np.full(ids.shape, np.nan, np.float32),
  )
