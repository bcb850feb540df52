"""Ranked passages and judgements to numbers, with trec_eval's definitions.

  mrr     1 / rank of the first relevant passage, 0 where there is none
  ndcg    DCG of the run / DCG of the best order of all judged passages;
          DCG sums grade / log2(rank + 1), so gains are linear
  map     precision at the rank of each relevant passage found, summed and
          divided by the number of all relevant ones
  recall  relevant passages found / all relevant passages
  hit     1 where any relevant passage is found

Each is written alone or with a cut-off: `mrr`, `mrr@10`. What the PROD papers
and code print as "R@k" is `hit@k`; the two differ for a query with several
relevant passages.

Two conventions decide the digits after the second. Passages are ordered by
score, as float32, and equal scores by passage id from z to a; ranks in a run
file are not looked at. And every judged query with something to find counts:
one that the run lacks scores 0. trec_eval by default leaves such queries out,
and counts those where there is nothing to find as 0. Its averages are sums over
the queries that the run has and somebody judged, by their number:

  >>> run = {"a": {"x": 1.0}, "void": {"x": 1.0}}
  >>> qrels = {"a": {"x": 1}, "void": {"x": 0}, "lost": {"x": 1}}
  >>> judged = {query: qrels[query] for query in run if query in qrels}
  >>> sum(evaluate(run, judged, ["map"])["map"].values()) / len(judged)
  0.5

Reading runs and qrels is retrieval/runs.py and sets/formats.py.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


class _Ranking(NamedTuple):
  """One query.

  Attributes:
    retrieved: int [K], grades of what was retrieved in order; unjudged are 0.
    judged: int [J], grades of all judged passages.
    lowest: grade from which on a passage is relevant to a binary metric.
  """

  retrieved: np.ndarray
  judged: np.ndarray
  lowest: int

  def hits(self, cutoff: int | None) -> np.ndarray:
    """1-based ranks of the relevant passages within the cut-off."""
    return 1 + np.flatnonzero(self.retrieved[:cutoff] >= self.lowest)

  def relevant(self) -> int:
    """How many passages are relevant, found or not."""
    return int(np.count_nonzero(self.judged >= self.lowest))


def _mrr(ranking: _Ranking, cutoff: int | None) -> float:
  hits = ranking.hits(cutoff)
  return float(1 / hits[0]) if len(hits) else 0.0


def _ndcg(ranking: _Ranking, cutoff: int | None) -> float:
  ideal = np.sort(ranking.judged)[::-1]
  return _dcg(ranking.retrieved[:cutoff]) / _dcg(ideal[:cutoff])


def _dcg(grades: np.ndarray) -> float:
  """Grades below 0, which mark spam, gain nothing."""
  discounts = np.log2(np.arange(2, len(grades) + 2))
  return float((np.maximum(grades, 0) / discounts).sum())


def _map(ranking: _Ranking, cutoff: int | None) -> float:
  hits = ranking.hits(cutoff)
  precisions = np.arange(1, len(hits) + 1) / hits
  return float(precisions.sum()) / ranking.relevant()


def _recall(ranking: _Ranking, cutoff: int | None) -> float:
  return len(ranking.hits(cutoff)) / ranking.relevant()


def _hit(ranking: _Ranking, cutoff: int | None) -> float:
  return float(len(ranking.hits(cutoff)) > 0)


_FUNCTIONS = {
  "mrr": _mrr,
  "ndcg": _ndcg,
  "map": _map,
  "recall": _recall,
  "hit": _hit,
}
_NAME = re.compile(rf"({'|'.join(_FUNCTIONS)})(?:@([1-9][0-9]*))?")


def evaluate(
  run: Mapping[str, Mapping[str, float]],
  qrels: Mapping[str, Mapping[str, int]],
  metrics: Sequence[str],
  *,
  relevant: int = 1,
) -> dict[str, dict[str, float]]:
  """Measures a run.

  Args:
    run: query id to passage id to score.
    qrels: query id to passage id to grade.
    metrics: names such as "ndcg@10".
    relevant: lowest grade that is relevant to mrr, map, recall and hit, at
      least 1 (TREC's Deep Learning tracks take 2). ndcg knows grades only.

  Returns:
    metric to query id to value, queries in the order of the qrels. Left out
    are queries with nothing to find: no passage of grade `relevant`, or, for
    ndcg, none of grade 1.

  Raises:
    ValueError: for an unknown metric, or a `relevant` below 1.
  """
  if relevant < 1:
    raise ValueError(
      f"relevant is {relevant}; grade 0 is all that nobody judged, take 1"
    )
  parsed = {name: parse(name) for name in metrics}
  values: dict[str, dict[str, float]] = {name: {} for name in parsed}
  for query, judged in qrels.items():
    ranking = _rank(run.get(query, {}), judged, relevant)
    best = ranking.judged.max(initial=0)
    for name, (kind, cutoff) in parsed.items():
      if best >= (1 if kind == "ndcg" else relevant):
        values[name][query] = _FUNCTIONS[kind](ranking, cutoff)
  return values


def mean(per_query: Mapping[str, float]) -> float:
  """The average over queries.

  Raises:
    ValueError: when there is none.
  """
  if not per_query:
    raise ValueError(
      "no query to average over: the qrels hold no passage that is relevant; "
      "look at their grades, and at the lowest grade that counts"
    )
  return float(np.mean(list(per_query.values())))


def parse(name: str) -> tuple[str, int | None]:
  """Splits "mrr@10" into ("mrr", 10), and "mrr" into ("mrr", None)."""
  match = _NAME.fullmatch(name)
  if not match:
    raise ValueError(
      f"unknown metric {name!r}; known: {', '.join(_FUNCTIONS)}, each alone or "
      "with a cut-off, as in mrr@10"
    )
  kind, cutoff = match.groups()
  return kind, int(cutoff) if cutoff else None


def _rank(
  scores: Mapping[str, float], judged: Mapping[str, int], lowest: int
) -> _Ranking:
  """Orders what was retrieved for one query, and looks its grades up."""
  names = sorted(scores, reverse=True)
  keys = np.array([scores[name] for name in names], np.float32)
  order = np.argsort(-keys, kind="stable")
  grades = np.array([judged.get(name, 0) for name in names], np.int64)
  return _Ranking(
    grades[order], np.array(list(judged.values()), np.int64), lowest
  )
