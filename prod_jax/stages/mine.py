"""Stage kind `mine`: candidate lists for the queries of a split.

Leaves `candidates/` as `batches.lists.Candidates` describes it. A passage that
says what a labelled one says is no candidate: its place stays empty.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from prod_jax import arrays, kinds, strict
from prod_jax.batches.lists import (
  Candidates,
  first_rank,
  keep_negatives,
  relabel,
  save_lists,
  without,
)
from prod_jax.ragged import padded_rows
from prod_jax.retrieval import divide, encode, search
from prod_jax.sets import answers
from prod_jax.sets.passages import smallest_hashes
from prod_jax.stages import splits
from prod_jax.stages.run import Job

_PAIRS = 16_384  # of vectors, that are read and multiplied at once


def fingerprint(job: Job[kinds.Mine]) -> dict[str, Any]:
  """What the result depends on besides this stage's config and inputs."""
  return {"dataset": job.run.located.fingerprint}


def check(job: Job[kinds.Mine]) -> None:
  """Raises ConfigError for a split that is not encoded, or keys that clash."""
  job.check_encoded(job.stage.split)
  if job.stage.relevance == "answers" and job.stage.queries != "labelled":
    raise strict.ConfigError(
      f"{job.where}.queries is {job.stage.queries!r}, and relevance='answers' "
      "asks for queries with answers; leave one of them out"
    )
  _check_ranks(job)


def _check_ranks(job: Job[kinds.Mine]) -> None:
  """Raises ConfigError where no positive can be at the ranks that are kept."""
  stage = job.stage
  first, last = stage.positive_from, stage.positive_to
  if (first or last) and stage.queries == "unlabelled":
    raise strict.ConfigError(
      f"{job.where}: positive_from and positive_to are ranks of labelled "
      "positives, and queries='unlabelled' have none; leave them out"
    )
  if first > last:
    raise strict.ConfigError(
      f"{job.where}: positive_from={first} is behind positive_to={last}; set "
      "positive_to to the last rank that is kept (0 keeps all lists)"
    )
  if first >= stage.depth:
    raise strict.ConfigError(
      f"{job.where}: positive_from={first} is behind the last rank of "
      f"depth={stage.depth}, which is {stage.depth - 1}; lower it"
    )


def run(job: Job[kinds.Mine]) -> dict[str, Any]:
  """Retrieves for the queries that the stage is for.

  Raises:
    ConfigError: there is none, or no list of theirs is kept.
  """
  stage, encoded = job.stage, job.inputs["encoded"]
  vectors = encode.open_shards(encoded / "passages")
  queries_QD = arrays.read(encoded / f"queries-{stage.split}.npy", mapped=True)
  positives = job.run.dataset.positive_rows(stage.split)
  rows = _limited(job, rows_of(job, positives))
  # Of all queries: lists of every block are to have the same width.
  labelled = max(*(len(positives[row]) for row in rows), 1)
  copies = job.run.processes.first_then_others(
    lambda: job.run.dataset.copies_of(stage.split)
  ).by_query(len(positives))
  own_Q = job.run.dataset.own_rows(stage.split)
  index = search.open_index(stage.index, vectors)

  def work(start: int, stop: int, _: object) -> dict[str, np.ndarray]:
    query = rows[start:stop]
    labelled_QM = padded_rows([positives[row] for row in query], labelled)
    q_QD = np.asarray(queries_QD[query])
    own = own_Q if own_Q is None else own_Q[query]
    ids_QK, scores_QK = search.search_others(index, q_QD, stage.depth, own)
    # Behind what was retrieved come the positives that were not, with the
    # scores that they would have had.
    missed_QM = _missed(labelled_QM, ids_QK)
    missed = missed_QM, scores_of(q_QD, vectors, missed_QM)
    lists = _lists(query, labelled_QM, (ids_QK, scores_QK), missed)
    lists, copied_Q = without(lists, [copies[row] for row in query])
    if stage.relevance == "answers":
      lists = _with_answers(job, lists, labelled_QM)
    return {**_trimmed(stage, lists, labelled)._asdict(), "copies": copied_Q}

  made = job.in_blocks(len(rows), (*Candidates._fields, "copies"), work)
  if made is None:
    return {}
  *fields, copied_Q = made
  mined, copied = Candidates(*fields), int(copied_Q.sum())
  if copied:
    logging.info(
      "%s: left out %d passages with the text of a labelled one",
      job.name,
      copied,
    )
  negatives = (~mined.label & (mined.ids >= 0)).sum(axis=1)
  found = _of_labelled(mined)
  mined, left_out = _kept(job, mined)
  save_lists(mined, job.folder / "candidates")
  return {
    "queries": len(rows),
    "depth": stage.depth,
    "index": index.kind,
    **found,
    "negatives_a_query": round(float(negatives.mean()), 2),
    "copies": copied,
    **_own(job, own_Q, rows),
    **left_out,
  }


def _kept(
  job: Job[kinds.Mine], lists: Candidates
) -> tuple[Candidates, dict[str, int]]:
  """The lists whose positive is where the stage asks for it, and their number.

  Raises:
    ConfigError: there is none.
  """
  first, last = job.stage.positive_from, job.stage.positive_to
  if not last:
    return lists, {}
  kept_Q = divide.worth_asking(lists, first, last)
  left_out = int((~kept_Q).sum())
  if not kept_Q.any():
    raise strict.ConfigError(
      f"stage {job.name}: of {left_out} lists none has its first positive at "
      f"ranks {first} to {last}; widen positive_from and positive_to. Of all "
      f"queries: {_of_labelled(lists)}"
    )
  logging.info(
    "%s: left out %d of %d lists, whose positive is not at ranks %d to %d",
    job.name,
    left_out,
    len(kept_Q),
    first,
    last,
  )
  kept = Candidates(*(field[kept_Q] for field in lists))
  return kept, {"lists": len(kept.query), "left_out": left_out}


def _own(
  job: Job[kinds.Mine], own_Q: np.ndarray | None, rows: np.ndarray
) -> dict[str, int]:
  """How many queries have a document of their own, where it is left out."""
  if own_Q is None:
    return {}
  count = int((own_Q[rows] >= 0).sum())
  logging.info(
    "%s: the own document of %d queries is not in their lists", job.name, count
  )
  return {"own_documents": count}


def rows_of(
  job: Job[kinds.Mine | kinds.Imported], positives: Sequence[Sequence[int]]
) -> np.ndarray:
  """The queries that a stage makes lists of, int32 rows of its split.

  Raises:
    ConfigError: there is none.
  """
  wanted = job.stage.queries
  labelled = np.array([bool(rows) for rows in positives])
  kept = {"labelled": labelled, "unlabelled": ~labelled}.get(wanted)
  rows = np.arange(len(labelled)) if kept is None else np.flatnonzero(kept)
  if not len(rows):
    counts = int(labelled.sum()), len(positives)
    raise splits.no_query(job.where, job.stage, *counts)
  return rows.astype(np.int32)


def _limited(job: Job[kinds.Mine], rows: np.ndarray) -> np.ndarray:
  """So many of them as the stage asks for, the same ones each time.

  Those without labels stand behind the others: the first ones would have none.
  Nor are they chosen as `data.labelled` chooses who keeps a label: those few
  would be all that there are.
  """
  limit = job.stage.limit
  if not 0 < limit < len(rows):
    return rows
  queries = job.run.dataset.queries[job.stage.split]
  names = {int(row): f"mine {queries[row].id}".encode() for row in rows}
  return np.array(smallest_hashes(names, names, limit), np.int32)


def _of_labelled(lists: Candidates) -> dict[str, Any]:
  """How often the positive was found, among the queries that have one."""
  labelled_Q = lists.label.any(axis=1)
  figures: dict[str, Any] = {}
  if not labelled_Q.all():
    figures["unlabelled"] = int((~labelled_Q).sum())
  if labelled_Q.any():
    ranks = first_rank(lists.rank, lists.label)[labelled_Q]
    figures["found"] = round(float((ranks >= 0).mean()), 4)
    figures["first"] = round(float((ranks == 0).mean()), 4)
  return figures


def _with_answers(
  job: Job[kinds.Mine], lists: Candidates, labelled_QM: np.ndarray
) -> Candidates:
  known = job.run.dataset.answers(job.stage.split)
  wanted = [known[row] for row in lists.query]
  label_QC = answers.mark(lists.ids, wanted, job.run.dataset.passages)
  return relabel(lists, label_QC, labelled_QM[:, 0])


def _trimmed(stage: kinds.Mine, lists: Candidates, labelled: int) -> Candidates:
  """As many negatives as the stage keeps; every list is of one width."""
  if not stage.negatives:
    return lists
  if stage.relevance == "answers":
    labelled += stage.depth  # all that was retrieved can have one
  return keep_negatives(lists, stage.negatives, labelled)


def _lists(
  query: np.ndarray,
  labelled_QM: np.ndarray,
  retrieved: tuple[np.ndarray, np.ndarray],
  missed: tuple[np.ndarray, np.ndarray],
) -> Candidates:
  """Joins what was retrieved and what was missed, each (ids, scores)."""
  ids = np.concatenate([retrieved[0], missed[0]], axis=1).astype(np.int32)
  score = np.concatenate([retrieved[1], missed[1]], axis=1)
  rank = np.full(ids.shape, -1, np.int32)
  rank[:, : retrieved[0].shape[1]] = np.arange(retrieved[0].shape[1])
  there = ids >= 0
  label = np.zeros(ids.shape, bool)
  for column in labelled_QM.T:
    label |= ids == column[:, None]
  return Candidates(
    query=query,
    ids=ids,
    label=label & there,
    rank=np.where(there, rank, -1),
    score=np.where(there, score, np.nan).astype(np.float32),
  )


def _missed(labelled_QM: np.ndarray, ids_QK: np.ndarray) -> np.ndarray:
  """The labelled positives that were not retrieved, [Q, M], -1 padded."""
  found = [(ids_QK == column[:, None]).any(axis=1) for column in labelled_QM.T]
  missed = np.where(np.stack(found, axis=1), -1, labelled_QM)
  order = np.argsort(missed < 0, axis=1, kind="stable")
  return np.take_along_axis(missed, order, axis=1)


def scores_of(
  q_QD: np.ndarray, vectors: encode.Shards, ids_QM: np.ndarray
) -> np.ndarray:
  """Scores [Q, M] of rows for each query; NaN where there is no row."""
  scores_QM = np.full(ids_QM.shape, np.nan, np.float32)
  query, column = np.nonzero(ids_QM >= 0)
  for i in range(0, len(query), _PAIRS):
    at = query[i : i + _PAIRS], column[i : i + _PAIRS]
    scores_QM[at] = np.einsum("nD,nD->n", q_QD[at[0]], vectors[ids_QM[at]])
  return scores_QM
