"""Stage kind `filter`: generated queries whose own passage a ranker finds.

Leaves `candidates/` as `batches.lists.Candidates` describes it, the lists that
are kept, and with a teacher `scores.npy`, float32 [Q, C], its scores of them:
later stages name this one for both. `generated.jsonl` has a line for each
generated query of the lists:

  query_id, passage_ids   the latter are what it was made of
  place                   0-based, of the best of these in the list as it was
                          ordered, null where it was not retrieved
  kept                    whether it is among the first `top`
"""

import json
from typing import Any

import numpy as np
from absl import logging

from prod_jax import arrays, kinds, strict
from prod_jax.batches.lists import (
  Candidates,
  load_lists,
  save_lists,
  unordered,
)
from prod_jax.retrieval.filter import own_columns, places
from prod_jax.sets import copies, formats
from prod_jax.stages import sources
from prod_jax.stages.run import Job

GENERATED = "generated.jsonl"

FilterJob = Job[kinds.Filter]


def fingerprint(job: FilterJob) -> dict[str, Any]:
  """Nothing: config and inputs decide it."""
  return {}


def check(job: FilterJob) -> None:
  """Raises ConfigError for lists that have no generated query in them."""
  stage = job.stage
  if stage.scores:
    job.check_scored("scores")
  split = job.source("candidates").split
  if split != stage.split:
    raise strict.ConfigError(
      f"{job.where}.candidates: {stage.candidates} has lists for {split!r}, "
      f"and generated queries are of split {stage.split!r}"
    )
  if sources.queries_of(job) == "labelled":
    raise strict.ConfigError(
      f"{job.where}.candidates: {stage.candidates} has lists of queries with "
      "labels, and a generated one has none before it is kept; set "
      "queries='unlabelled' or 'all' where these lists are made"
    )


def run(job: FilterJob) -> dict[str, Any]:
  """Keeps some of the lists, and counts the others by why they are not kept.

  Raises:
    ConfigError: the lists have no generated query or no order, or none is
      kept.
  """
  stage, dataset = job.stage, job.run.dataset
  # A comparison of arrays on disk: the others wait where the stage ends.
  if not job.run.processes.first:
    return {}
  lists = load_lists(Candidates, job.inputs["candidates"] / "candidates")
  scores_QC = None
  if stage.scores:
    path = job.inputs["scores"] / "scores.npy"
    scores_QC = arrays.read(path)
  own = dataset.made_of_rows
  generated_Q = np.isin(lists.query, [*own])
  if not generated_Q.any():
    raise strict.ConfigError(
      f"stage {job.name}: none of the {len(lists.query)} lists of "
      f"{stage.candidates} is of a generated query; {dataset.name} has "
      f"{len(own)} of them, which stand in a file {formats.GENERATED}"
    )
  if scores_QC is None:
    _check_order(job, lists, generated_Q)
  own_QC = own_columns(lists, _with_copies(job, own))
  place_Q = places(lists, scores_QC, own_QC)
  kept_Q = (place_Q >= 0) & (place_Q < stage.top)
  _write(job, lists, place_Q, generated_Q)
  summary = _summary(job, place_Q[generated_Q], len(lists.query))
  keep_Q = kept_Q | ~generated_Q
  if stage.label:
    lists = lists._replace(label=lists.label | (own_QC & kept_Q[:, None]))
  save_lists(
    Candidates(*(values[keep_Q] for values in lists)),
    job.folder / "candidates",
  )
  if scores_QC is not None:
    np.save(job.folder / "scores.npy", scores_QC[keep_Q])
  return summary


def _check_order(
  job: FilterJob, lists: Candidates, generated_Q: np.ndarray
) -> None:
  """Raises ConfigError for lists of passages that nobody has ranked."""
  if count := int((unordered(lists) & generated_Q).sum()):
    raise strict.ConfigError(
      f"stage {job.name}: {count} lists of {job.stage.candidates} have no "
      f"order, for nothing has ranked or scored their passages; set "
      f"{job.where}.scores"
    )


def _with_copies(
  job: FilterJob, own: dict[int, tuple[int, ...]]
) -> dict[int, tuple[int, ...]]:
  """The own passages of each query, and all others that read the same.

  The same text under another title may be about something else.
  """
  keys = job.run.dataset.keys.joined
  found = copies.copies_of(keys, [*own.values()]).by_query(len(own))
  return {
    query: rows + more
    for (query, rows), more in zip(own.items(), found, strict=True)
  }


def _write(
  job: FilterJob,
  lists: Candidates,
  place_Q: np.ndarray,
  generated_Q: np.ndarray,
) -> None:
  dataset = job.run.dataset
  queries, own = dataset.queries[job.stage.split], dataset.made_of_rows
  with open(job.folder / GENERATED, "w", encoding="utf-8") as file:
    for line in np.flatnonzero(generated_Q):
      row, place = int(lists.query[line]), int(place_Q[line])
      said = {
        "query_id": queries[row].id,
        "passage_ids": [dataset.passages.id(p) for p in own[row]],
        "place": place if place >= 0 else None,
        "kept": 0 <= place < job.stage.top,
      }
      file.write(json.dumps(said, ensure_ascii=False) + "\n")


def _summary(job: FilterJob, place_Q: np.ndarray, lists: int) -> dict[str, Any]:
  """Counts of the generated queries, as a log line and as figures.

  Raises:
    ConfigError: none is kept.
  """
  stage = job.stage
  missed = int((place_Q < 0).sum())
  below = int((place_Q >= stage.top).sum())
  kept = len(place_Q) - missed - below
  by = sources.judge(job.run, stage.scores) if stage.scores else "the retriever"
  first = "first" if stage.top == 1 else f"among the first {stage.top}"
  why = (
    f"keeps {kept:,} of {len(place_Q):,} generated queries, whose own passage "
    f"{by} has {first}; {below:,} have it further down, {missed:,} not in "
    "their list"
  )
  logging.info("%s: %s", job.name, why)
  if not kept:
    raise strict.ConfigError(
      f"stage {job.name} {why}; raise {job.where}.top, or mine deeper lists"
    )
  return {
    "queries": lists - missed - below,
    "generated": len(place_Q),
    "kept": kept,
    "further_down": below,
    "not_retrieved": missed,
    "others": lists - len(place_Q),
    "why": why,
  }
