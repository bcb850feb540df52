"""Stage kind `evaluate`: retrieve for held-out queries and measure.

Leaves a TREC run for each kind of index and each width, `run.trec` being the
exact one (or the reranked one), `by_query.json` of that with each metric's
values, and rows for `results.json` in its summary.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from prod_jax import arrays, kinds, metrics, strict
from prod_jax.retrieval import encode, rerank, runs, search
from prod_jax.retrieval.pieces import Pieces
from prod_jax.sets import answers
from prod_jax.stages import accepted, held_out, score, widths
from prod_jax.stages.run import Job

EXACT = "exact"
RERANK = "rerank"


def fingerprint(job: Job[kinds.Evaluate]) -> dict[str, Any]:
  """What the result depends on besides this stage's config and inputs."""
  reranks = [job.model_name("rerank")] if job.stage.rerank else []
  return job.run.data_fingerprint(*reranks)


def check(job: Job[kinds.Evaluate]) -> None:
  """Raises ConfigError when its queries are not encoded, or names are wrong."""
  stage = job.stage
  job.check_encoded(stage.split)
  if stage.rerank:
    job.check_trains("rerank", ("cross", "late"))
    if stage.rerank_depth > stage.depth:
      raise strict.ConfigError(
        f"{job.where}.rerank_depth is {stage.rerank_depth}, of runs that have "
        f"{stage.depth} passages; set depth={stage.rerank_depth}"
      )
    if stage.ensemble:
      job.check_encoded(stage.split, "ensemble")
    if stage.widths:
      raise strict.ConfigError(
        f"{job.where}.widths cuts the vectors of `encoded`, and rerank "
        "measures another model; leave one of them out"
      )
  elif stage.ensemble:
    raise strict.ConfigError(
      f"{job.where}.ensemble is one with a reranker; set rerank, or leave it "
      "out"
    )
  if stage.widths:
    widths.check(job, widths.encoder_of(job, "encoded"))
  if not stage.metrics:
    raise strict.ConfigError(
      f"{job.where}.metrics names none; leave it out, or name one"
    )
  if not stage.rerank:  # what a reranker leaves has a note of its own
    where = job.where
    held_out.check_metrics(
      stage.metrics,
      stage.depth,
      of_metrics=f"{where}.metrics",
      of_depth=f"{where}.depth",
    )
  try:
    if stage.relevance == "answers":
      answers.check_metrics(stage.metrics)
    metrics.evaluate({}, {}, stage.metrics, relevant=stage.relevant)
  except ValueError as error:
    raise strict.ConfigError(f"{job.where}: {error}") from error


def run(job: Job[kinds.Evaluate]) -> dict[str, Any]:
  """Measures the dual encoder with each index, or the reranked run."""
  stage = job.stage
  if stage.rerank:
    return _reranked(job)
  if not job.run.processes.first:
    return {}
  query_QD, vectors = _vectors(job)
  own_Q = _own(job)
  exact_QK, scores_QK = search.search_others(
    search.open_index(EXACT, vectors), query_QD, stage.depth, own_Q
  )
  report = _Reporter(job)
  # The exact run comes first: others are held against it.
  report.add(EXACT, exact_QK, scores_QK, 1.0)
  for kind in stage.indexes:
    index = search.open_index(kind, vectors)
    if index.kind != EXACT:
      ids_QK, scores_QK = search.search_others(
        index, query_QD, stage.depth, own_Q
      )
      recall = search.recall_against(exact_QK, ids_QK)
      report.add(index.kind, ids_QK, scores_QK, recall)
  for width in stage.widths:
    cut_QW, cut = _cut(job, query_QD, width), _cut(job, vectors, width)
    ids_QK, scores_QK = search.search_others(
      search.open_index(EXACT, cut), cut_QW[:], stage.depth, own_Q
    )
    recall = search.recall_against(exact_QK, ids_QK)
    report.add(EXACT, ids_QK, scores_QK, recall, width=width)
  return report.summary()


def _own(job: Job[kinds.Evaluate]) -> np.ndarray | None:
  """As of `Dataset.own_rows`, and counted in the log."""
  own_Q = job.run.dataset.own_rows(job.stage.split)
  if own_Q is not None and job.run.processes.first:
    count = int((own_Q >= 0).sum())
    logging.info(
      "%s: the own document of %d queries is in no ranking", job.name, count
    )
  return own_Q


def _vectors(job: Job[kinds.Evaluate]) -> tuple[np.ndarray, encode.Shards]:
  """Of the split's queries and of all passages."""
  encoded = job.inputs["encoded"]
  path = encoded / f"queries-{job.stage.split}.npy"
  query_QD = arrays.read(path)
  return query_QD, encode.open_shards(encoded / "passages")


def _cut(
  job: Job[kinds.Evaluate], vectors: np.ndarray | encode.Shards, width: int
) -> encode.Cut:
  """The first coordinates of the vectors of `encoded`."""
  cosine = widths.encoder_of(job, "encoded").similarity == "cosine"
  return encode.Cut(vectors, width, keeps_length=cosine)


def _reranked(job: Job[kinds.Evaluate]) -> dict[str, Any]:
  """Measures the first `rerank_depth` of a run in the reranker's order."""
  stage, texts = job.stage, job.tokens_of("rerank")
  own_Q = _own(job)

  def work(start: int, stop: int, pieces: Pieces) -> dict[str, np.ndarray]:
    query_QD, vectors = _vectors(job)
    exact_QK, _ = search.search_others(
      search.open_index(EXACT, vectors), query_QD, stage.depth, own_Q
    )
    ids, rows = exact_QK[:, : stage.rerank_depth], np.arange(start, stop)
    scores = rerank.score_lists(
      job.frozen("rerank"),
      texts.queries[stage.split],
      texts.passages,
      rows,
      ids,
      pieces,
    )
    scores = score.with_ensemble(job, scores, stage.split, rows, ids)
    return {"ids": ids, "scores": scores}

  queries = len(texts.queries[stage.split])
  made = job.in_blocks(queries, ["ids", "scores"], work)
  if made is None:
    return {}
  report = _Reporter(job)
  report.add(RERANK, *rerank.in_order(*made), None)
  return report.summary()


class _Reporter:
  """Writes runs and gathers the rows that they lead to."""

  def __init__(self, job: Job[kinds.Evaluate]):
    self._job = job
    self._queries = job.run.dataset.queries[job.stage.split]
    encoded = accepted.chosen(job.run, job.stage.encoded)
    self._measured = job.stage.rerank or job.run.stage(encoded).params
    if job.stage.ensemble:
      self._measured += f"+{job.stage.ensemble}"
    self._rows: list[dict[str, Any]] = []

  def add(
    self,
    index: str,
    ids_QK: np.ndarray,
    scores_QK: np.ndarray,
    index_recall: float | None,
    width: int | None = None,
  ) -> None:
    """Writes the run of one index, or of cut vectors, and measures it."""
    of = f"width-{width}" if width else index
    file = "run.trec" if of in (EXACT, RERANK) else f"run.{of}.trec"
    passages = self._job.run.dataset.passages
    runs.write_run(
      self._job.folder / file,
      [query.id for query in self._queries],
      ids_QK,
      scores_QK,
      tag=self._measured,
      name_of=passages.id,
    )
    if self._job.stage.relevance == "answers":
      values = answers.evaluate(
        ids_QK, self._queries, passages, self._job.stage.metrics
      )
    else:
      run = runs.read_run(self._job.folder / file)
      qrels = self._job.run.dataset.qrels(self._job.stage.split)
      values = metrics.evaluate(
        run, qrels, self._job.stage.metrics, relevant=self._job.stage.relevant
      )
    if of in (EXACT, RERANK):
      runs.write_values(self._job.folder, values)
    for metric, by_query in values.items():
      self._rows.append(
        {
          "stage": self._job.name,
          "model_stage": self._measured,
          "dataset": self._job.run.dataset.name,
          "split": self._job.stage.split,
          "metric": metric,
          "value": metrics.mean(by_query),
          "queries": len(by_query),
          "index": index,
          "index_recall": index_recall,
          "width": width,
        }
      )
    logging.info(
      "%s: %s, %s",
      self._job.name,
      of,
      ", ".join(f"{m} {metrics.mean(v):.4f}" for m, v in values.items()),
    )

  def summary(self) -> dict[str, Any]:
    """The rows, and the figures of the first index as plain entries."""
    first = self._rows[0]["index"]
    figures: Sequence[dict] = [
      r for r in self._rows if r["index"] == first and not r["width"]
    ]
    return {
      **{row["metric"]: round(row["value"], 4) for row in figures},
      "results": self._rows,
    }
