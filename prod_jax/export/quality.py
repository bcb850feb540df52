"""What a model is worth as it is exported: figures on held-out queries.

Each form of the model embeds the same queries and passages of the run's dev
split, searches exactly, and is held against our own vectors.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from prod_jax import metrics, model_kinds, strict
from prod_jax.batches import rows as layout
from prod_jax.batches.store import TokenStore
from prod_jax.export import runtime
from prod_jax.export.finished import Trained
from prod_jax.export.folder import Part
from prod_jax.retrieval import encode, search

HELD = "ndcg@10"  # what may not be lost
METRICS = (HELD, "mrr@10", "recall@10", "recall@100")
_DEPTH = 100
# A dev split may have thousands of queries, and a collection millions of
# passages: so many are looked at, the same ones each time.
MOST_QUERIES, MOST_PASSAGES = 512, 16_384

# The vectors of all texts of a store, for a tower.
_Embed = Callable[[encode.Tower, TokenStore], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Sample:
  """Held-out queries, and what they are searched in.

  Attributes:
    split: of the data set.
    queries: int [Q], rows of the split.
    passages: int [P], rows of the collection; all that are labelled for one of
      the queries, and others.
    whole: whether these are all of both.
  """

  split: str
  queries: np.ndarray
  passages: np.ndarray
  whole: bool


def sample_of(trained: Trained) -> Sample:
  """The dev queries, or those of the split that the run measured.

  Raises:
    ConfigError: the data set has neither.
  """
  dataset = trained.run.dataset
  split = next(
    (s for s in ("dev", trained.left.split) if dataset.queries.get(s)), ""
  )
  if not split:
    raise strict.ConfigError(
      f"{dataset.name} has no dev split to measure the exported model on; "
      "leave out --onnx and --int8"
    )
  every = dataset.queries[split]
  queries = _spread(len(every), MOST_QUERIES)
  labelled = {
    dataset.row_of[name]
    for query in queries.tolist()
    for name, _ in every[query].positives
  }
  count = len(dataset.passages)
  others = _spread(count, max(MOST_PASSAGES - len(labelled), 0))
  passages = np.union1d(np.array(sorted(labelled), np.int64), others)
  whole = len(queries) == len(every) and len(passages) == count
  return Sample(split, queries, passages, whole)


def ours(trained: Trained) -> _Embed:
  """Our own vectors."""
  frozen = trained.frozen()

  def embed(tower: encode.Tower, store: TokenStore) -> np.ndarray:
    return encode.embedder(frozen, tower, store)(0, len(store))

  return embed


def of_graphs(
  trained: Trained, parts: Sequence[Part], folder: pathlib.Path, file: str
) -> _Embed:
  """Those of the graphs that were written, one a part."""
  by_tower = {
    part.name: runtime.load(folder / part.name / runtime.FOLDER / file)
    for part in parts
  }
  data, special = trained.run.config.data, trained.tokenizer.special
  assert isinstance(trained.model, model_kinds.Dual)
  scale = trained.model.scale

  def embed(tower: encode.Tower, store: TokenStore) -> np.ndarray:
    is_query = tower == "query"
    longest = data.query_length if is_query else data.passage_length
    texts = layout.single(store.slices(np.arange(len(store))), longest, special)
    session = by_tower.get(tower) or by_tower[""]
    found = runtime.over_texts(session, texts)
    return found * np.float32(scale if is_query else 1)

  return embed


def vectors_of(
  trained: Trained, sample: Sample, embed: _Embed
) -> tuple[np.ndarray, np.ndarray]:
  """Vectors of the sample's queries and passages."""
  tokens = trained.run.tokens_of(trained.stage.model)
  return (
    embed("query", _taken(tokens.queries[sample.split], sample.queries)),
    embed("passage", _taken(tokens.passages, sample.passages)),
  )


def measure(
  trained: Trained, sample: Sample, vectors: tuple[np.ndarray, np.ndarray]
) -> Mapping[str, float]:
  """The figures of exact search among these vectors."""
  dataset = trained.run.dataset
  every = dataset.queries[sample.split]
  query_QD, passage_PD = vectors
  depth = min(_DEPTH, len(passage_PD))
  ids_QK, scores_QK = search.open_index("exact", passage_PD).search(
    query_QD, depth
  )
  names = [dataset.passages.id(int(row)) for row in sample.passages]
  run = {
    every[query].id: {
      names[i]: float(score) for i, score in zip(ids, scores, strict=True)
    }
    for query, ids, scores in zip(
      sample.queries.tolist(), ids_QK.tolist(), scores_QK.tolist(), strict=True
    )
  }
  qrels = dataset.qrels(sample.split)
  found = metrics.evaluate(run, {q: qrels[q] for q in run}, METRICS)
  return {name: metrics.mean(values) for name, values in found.items()}


def check_loss(
  before: Mapping[str, float], after: Mapping[str, float], most: float
) -> None:
  """Raises ConfigError where weights of 8 bits lose more than they may."""
  logging.info("int8: %s %.4f, was %.4f", HELD, after[HELD], before[HELD])
  if before[HELD] - after[HELD] > most:
    raise strict.ConfigError(
      f"--int8: {HELD} falls from {before[HELD]:.4f} to {after[HELD]:.4f}, by "
      f"more than --most_loss={most}; allow more, or leave out --int8"
    )


def difference(
  ours: tuple[np.ndarray, np.ndarray], theirs: tuple[np.ndarray, np.ndarray]
) -> float:
  """The largest one, relative to the largest number where that is above 1."""
  return max(
    float(np.abs(a - b).max(initial=0) / max(np.abs(a).max(initial=0), 1))
    for a, b in zip(ours, theirs, strict=True)
  )


def _taken(store: TokenStore, rows: np.ndarray) -> TokenStore:
  """Some rows of a store, as a store in memory."""
  ids = [store[row] for row in rows.tolist()]
  return TokenStore(np.concatenate(ids), np.cumsum([0, *map(len, ids)]))


def _spread(count: int, most: int) -> np.ndarray:
  """At most so many numbers below `count`, evenly spread."""
  if count <= most:
    return np.arange(count)
  return np.unique(np.linspace(0, count - 1, most).astype(np.int64))


def described(sample: Sample) -> dict[str, Any]:
  """What the figures were measured on."""
  return {
    "split": sample.split,
    "queries": len(sample.queries),
    "passages": len(sample.passages),
    "whole": sample.whole,
  }
