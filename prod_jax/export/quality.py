"""What a model is worth as it is exported: figures on held-out queries.

Each form of a dual encoder embeds the same queries and passages of the run's
dev split and searches exactly; each form of a cross-encoder orders the same
lists. Both are held against what our own model makes of them.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging

from prod_jax import metrics, model_kinds, progress, sharding, strict
from prod_jax.batches import rows as layout
from prod_jax.batches.store import TokenStore
from prod_jax.export import runtime
from prod_jax.export.finished import Trained
from prod_jax.export.folder import Part
from prod_jax.retrieval import encode, rerank, search
from prod_jax.retrieval.forward import FrozenModel, Shown

HELD = "ndcg@10"  # what may not be lost
METRICS = (HELD, "mrr@10", "recall@10", "recall@100")
_DEPTH = 100
# A dev split may have thousands of queries, and a collection millions of
# passages: so many are looked at, the same ones each time.
MOST_QUERIES, MOST_PASSAGES = 512, 16_384
# A cross-encoder reads each pair.
_MOST_LISTS, _LIST = 64, 16

# Vectors of queries and of passages, or scores of lists.
Made = tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class Sample:
  """Held-out queries, and what is ranked for them.

  Attributes:
    split: of the data set.
    queries: int [Q], rows of the split.
    passages: int [P], rows of the collection; all that are labelled for one of
      the queries, and others.
    lists: int [Q, C], places in `passages`, for a cross-encoder: labelled ones
      and others.
    whole: whether all queries search all passages.
  """

  split: str
  queries: np.ndarray
  passages: np.ndarray
  lists: np.ndarray | None
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
  cross = isinstance(trained.model, model_kinds.Cross)
  every, count = dataset.queries[split], len(dataset.passages)
  queries = _spread(len(every), _MOST_LISTS if cross else MOST_QUERIES)
  labelled = [
    [dataset.row_of[name] for name, _ in every[query].positives]
    for query in queries.tolist()
  ]
  known = sorted({row for rows in labelled for row in rows})
  others = _spread(count, max(MOST_PASSAGES - len(known), 0))
  passages = np.union1d(np.array(known, np.int64), others)
  whole = len(queries) == len(every) and len(passages) == count
  lists = _lists(labelled, passages) if cross else None
  return Sample(split, queries, passages, lists, whole and not cross)


def ours(trained: Trained, sample: Sample) -> Made:
  """What our own model makes of a sample, in float32 as a graph does."""
  frozen = trained.frozen()
  transformer = dataclasses.replace(frozen.model.transformer, dtype="float32")
  model = dataclasses.replace(frozen.model, transformer=transformer)
  # Anew: those of a model in bfloat16 may have been rounded.
  copies = sharding.copies(trained.params)
  frozen = dataclasses.replace(frozen, model=model, copies=copies)
  before = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
  # Of the whole process: batches are run by threads.
  jax.config.update("jax_default_matmul_precision", "highest")
  try:
    return _made(frozen, sample, *_stores(trained, sample))
  finally:
    jax.config.update("jax_default_matmul_precision", before)


def _made(
  frozen: FrozenModel,
  sample: Sample,
  queries: TokenStore,
  passages: TokenStore,
) -> Made:
  lists = sample.lists
  if lists is not None:
    every = np.arange(len(queries))
    with progress.Meter("our own scores", lists.size, "pairs") as meter:
      scores = rerank.score_lists(
        frozen, queries, passages, every, lists, Shown(meter)
      )
    return (scores,)
  total = len(queries) + len(passages)
  with progress.Meter("our own vectors", total, "texts") as meter:
    watch = Shown(meter)
    return (
      encode.embedder(frozen, "query", queries)(0, len(queries), watch),
      encode.embedder(frozen, "passage", passages)(0, len(passages), watch),
    )


def of_graphs(
  trained: Trained,
  sample: Sample,
  parts: Sequence[Part],
  folder: pathlib.Path,
  file: str,
) -> Made:
  """What the graphs make of it that were written, one a part."""
  sessions = {
    part.name: runtime.load(folder / part.name / runtime.FOLDER / file)
    for part in parts
  }
  data, special = trained.run.config.data, trained.tokenizer.special
  queries, passages = _stores(trained, sample)
  if sample.lists is not None:
    line = np.repeat(np.arange(len(queries)), sample.lists.shape[1])
    pairs = layout.pair(
      queries.slices(line),
      passages.slices(sample.lists.reshape(-1)),
      data.query_length,
      layout.pair_length(data),
      special,
    )
    logits = runtime.over_texts(sessions[""], pairs)
    return (logits.reshape(sample.lists.shape),)
  assert isinstance(trained.model, model_kinds.Dual)
  found = []
  for tower, store, longest, scale in (
    ("query", queries, data.query_length, trained.model.scale),
    ("passage", passages, data.passage_length, 1.0),
  ):
    texts = layout.single(store.slices(np.arange(len(store))), longest, special)
    session = sessions.get(tower) or sessions[""]
    found.append(runtime.over_texts(session, texts) * np.float32(scale))
  return tuple(found)


def measure(
  trained: Trained, sample: Sample, made: Made
) -> Mapping[str, float]:
  """The figures of exact search among vectors, or of lists in their order."""
  dataset = trained.run.dataset
  every = dataset.queries[sample.split]
  if sample.lists is not None:
    ids_QK, scores_QK = sample.lists, made[0]
  else:
    query_QD, passage_PD = made
    depth = min(_DEPTH, len(passage_PD))
    index = search.open_index("exact", passage_PD)
    ids_QK, scores_QK = index.search(query_QD, depth)
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
  before: Mapping[str, float], after: Mapping[str, float], allowed: float
) -> None:
  """Raises ConfigError where weights of 8 bits lose more than they may."""
  logging.info("int8: %s %.4f, was %.4f", HELD, after[HELD], before[HELD])
  if before[HELD] - after[HELD] > allowed:
    raise strict.ConfigError(
      f"--int8: {HELD} falls from {before[HELD]:.4f} to {after[HELD]:.4f}, by "
      f"more than --most_loss={allowed}; allow more, or leave out --int8"
    )


def difference(ours: Made, theirs: Made) -> float:
  """The largest one, relative to the largest number where that is above 1."""
  return max(
    float(np.abs(a - b).max(initial=0) / max(np.abs(a).max(initial=0), 1))
    for a, b in zip(ours, theirs, strict=True)
  )


def _stores(trained: Trained, sample: Sample) -> tuple[TokenStore, TokenStore]:
  """Tokens of the sample's queries and passages, in memory."""
  tokens = trained.run.tokens_of(trained.stage.model)
  return (
    _taken(tokens.queries[sample.split], sample.queries),
    _taken(tokens.passages, sample.passages),
  )


def _taken(store: TokenStore, rows: np.ndarray) -> TokenStore:
  ids = [store[row] for row in rows.tolist()]
  return TokenStore(np.concatenate(ids), np.cumsum([0, *map(len, ids)]))


def _lists(
  labelled: Sequence[Sequence[int]], passages: np.ndarray
) -> np.ndarray:
  """Labelled passages of each query, and others up to a list."""
  length = min(_LIST, len(passages))
  rng = np.random.default_rng(0)
  lists = []
  for rows in labelled:
    own = np.searchsorted(passages, rows)[:length]
    drawn = rng.permutation(len(passages))[: 2 * length]
    rest = np.setdiff1d(drawn, own, assume_unique=True)
    lists.append(np.concatenate([own, rest])[:length])
  return np.stack(lists)


def _spread(count: int, limit: int) -> np.ndarray:
  """At most so many numbers below `count`, evenly spread."""
  if count <= limit:
    return np.arange(count)
  return np.unique(np.linspace(0, count - 1, limit).astype(np.int64))


def described(sample: Sample) -> dict[str, Any]:
  """What the figures were measured on."""
  return {
    "split": sample.split,
    "queries": len(sample.queries),
    "passages": len(sample.passages),
    "list": None if sample.lists is None else sample.lists.shape[1],
    "whole": sample.whole,
  }
