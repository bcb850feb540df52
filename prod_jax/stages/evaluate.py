"""Stage kind `evaluate`: retrieve for held-out queries and measure.

Leaves a TREC run for each kind of index, `run.trec` being the exact one (or
the reranked one), and rows for `results.json` in its summary.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from prod_jax import kinds, metrics, strict
from prod_jax.data import answers
from prod_jax.data.tokens import TokenisedDataset
from prod_jax.retrieval import encode, rerank, runs, search
from prod_jax.stages.inputs import Inputs

EXACT = "exact"
RERANK = "rerank"


def inputs(stage: kinds.Evaluate) -> dict[str, str]:
  """The stages that this one reads, by role."""
  named = {"encoded": stage.encoded, "rerank": stage.rerank}
  return {k: v for k, v in named.items() if v}


def fingerprint(shared: Inputs, name: str, stage: kinds.Evaluate) -> dict:
  """What the result depends on besides this stage's config and inputs."""
  return shared.data_fingerprint()


def check(shared: Inputs, name: str, stage: kinds.Evaluate) -> None:
  """Raises ConfigError when its queries are not encoded, or names are wrong."""
  where = f"config.stages.{name}"
  shared.check_encoded(name, stage.encoded, stage.split)
  if stage.rerank:
    shared.check_trains(f"{where}.rerank", stage.rerank, ("cross", "late"))
  try:
    if stage.relevance == "answers":
      shared.dataset.answers(stage.split)
      answers.check_metrics(stage.metrics)
    metrics.evaluate({}, {}, stage.metrics, relevant=stage.relevant)
  except ValueError as error:
    raise strict.ConfigError(f"{where}: {error}") from error


def run(
  shared: Inputs,
  name: str,
  stage: kinds.Evaluate,
  read: Mapping[str, pathlib.Path],
  folder: pathlib.Path,
) -> dict[str, Any]:
  """Measures the dual encoder with each index, or the reranked run."""
  # Made by all processes together, so not behind the next line.
  texts = shared.tokens if stage.rerank else None
  if not shared.group.first:
    return {}
  vectors = encode.open_shards(read["encoded"] / "passages")
  query_QD = np.load(
    read["encoded"] / f"queries-{stage.split}.npy", allow_pickle=False
  )
  exact_QK, scores_QK = search.open_index(EXACT, vectors).search(
    query_QD, stage.depth
  )
  report = _Reporter(shared, name, stage, folder)
  if stage.rerank:
    ids, scores = _rerank(shared, stage, read, texts, exact_QK)
    report.add(RERANK, ids, scores, None)
    return report.summary()
  report.add(EXACT, exact_QK, scores_QK, 1.0)
  for kind in stage.indexes:
    index = search.open_index(kind, vectors)
    if index.kind != EXACT:
      ids_QK, scores_QK = index.search(query_QD, stage.depth)
      recall = search.recall_against(exact_QK, ids_QK)
      report.add(index.kind, ids_QK, scores_QK, recall)
  return report.summary()


def _rerank(
  shared: Inputs,
  stage: kinds.Evaluate,
  read: Mapping[str, pathlib.Path],
  texts: TokenisedDataset,
  ids_QK: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  """The first `rerank_depth` of a run in the reranker's order."""
  ids = ids_QK[:, : stage.rerank_depth]
  scores = rerank.score_lists(
    shared.model_of(stage.rerank),
    shared.copies(read["rerank"]),
    texts.queries[stage.split],
    texts.passages,
    np.arange(len(ids)),
    ids,
    texts.special,
    lengths=shared.config.data,
    batch_tokens=stage.batch_tokens,
  )
  order = np.argsort(np.where(ids >= 0, -scores, np.inf), axis=1, kind="stable")
  return (
    np.take_along_axis(ids, order, axis=1),
    np.take_along_axis(scores, order, axis=1),
  )


class _Reporter:
  """Writes runs and gathers the rows that they lead to."""

  def __init__(
    self,
    shared: Inputs,
    name: str,
    stage: kinds.Evaluate,
    folder: pathlib.Path,
  ):
    self._shared, self._name, self._stage = shared, name, stage
    self._folder = folder
    self._queries = shared.dataset.queries[stage.split]
    self._model_stage = (
      stage.rerank or shared.config.stages[stage.encoded].params
    )
    self._rows: list[dict[str, Any]] = []

  def add(
    self,
    index: str,
    ids_QK: np.ndarray,
    scores_QK: np.ndarray,
    index_recall: float | None,
  ) -> None:
    """Writes the run of one index and measures it."""
    file = "run.trec" if index in (EXACT, RERANK) else f"run.{index}.trec"
    passages = self._shared.dataset.passages
    runs.write_run(
      self._folder / file,
      [query.id for query in self._queries],
      ids_QK,
      scores_QK,
      tag=self._model_stage,
      name_of=passages.id,
    )
    if self._stage.relevance == "answers":
      values = answers.evaluate(
        ids_QK, self._queries, passages, self._stage.metrics
      )
    else:
      run = runs.read_run(self._folder / file)
      qrels = self._shared.dataset.qrels(self._stage.split)
      values = metrics.evaluate(
        run, qrels, self._stage.metrics, relevant=self._stage.relevant
      )
    for metric, by_query in values.items():
      self._rows.append(
        {
          "stage": self._name,
          "model_stage": self._model_stage,
          "dataset": self._shared.dataset.name,
          "split": self._stage.split,
          "metric": metric,
          "value": metrics.mean(by_query),
          "queries": len(by_query),
          "index": index,
          "index_recall": index_recall,
        }
      )
    logging.info(
      "%s: %s, %s",
      self._name,
      index,
      ", ".join(f"{m} {metrics.mean(v):.4f}" for m, v in values.items()),
    )

  def summary(self) -> dict[str, Any]:
    """The rows, and the figures of the first index as plain entries."""
    first = self._rows[0]["index"]
    figures: Sequence[dict] = [r for r in self._rows if r["index"] == first]
    return {
      **{row["metric"]: round(row["value"], 4) for row in figures},
      "results": self._rows,
    }
