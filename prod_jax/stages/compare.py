"""Stage kind `compare`: a pairwise model's preferences within lists.

Leaves `compared/`, see `data.lists.Compared`. A pair is asked about once and
read ever after.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from prod_jax import kinds, sharding
from prod_jax.data.lists import Candidates, Compared, load_lists, save_lists
from prod_jax.retrieval import blocks, pairs, rerank
from prod_jax.stages.inputs import Inputs


def inputs(stage: kinds.Compare) -> dict[str, str]:
  """The stages that this one reads, by role."""
  return {
    "params": stage.params,
    "candidates": stage.candidates,
    "scores": stage.scores,
  }


def fingerprint(shared: Inputs, name: str, stage: kinds.Compare) -> dict:
  """What the result depends on besides this stage's config and inputs."""
  return {**shared.data_fingerprint(), "seed": shared.seed(name)}


def check(shared: Inputs, name: str, stage: kinds.Compare) -> None:
  """Raises ConfigError for another kind of model, or scores of other lists."""
  where = f"config.stages.{name}"
  shared.check_trains(f"{where}.params", stage.params, ("pairwise",))
  shared.check_scored(name, stage.scores, stage.candidates)


def run(
  shared: Inputs,
  name: str,
  stage: kinds.Compare,
  read: Mapping[str, pathlib.Path],
  folder: pathlib.Path,
) -> dict[str, Any]:
  """Draws the pairs of each list and asks about those not asked about yet."""
  lists = load_lists(Candidates, read["candidates"] / "candidates")
  scores_QC = np.load(read["scores"] / "scores.npy", allow_pickle=False)
  drawn = _draw(shared.seed(name), stage, _trained_on(lists, scores_QC))
  ask = _asker(shared, stage, shared.copies(read["params"]), lists)

  def work(start: int, stop: int) -> dict[str, np.ndarray]:
    block_QJ2 = drawn[start:stop]
    line, pair = np.nonzero(block_QJ2[..., 0] >= 0)
    first, second = block_QJ2[line, pair].T
    better = ask(start + line, first, second)
    if stage.both_orders:
      worse = ask(start + line, second, first)
      better = (better + 1 - worse) / 2
    prefer = np.zeros(block_QJ2.shape[:2], np.float32)
    prefer[line, pair] = better
    return {"prefer": prefer}

  paths = blocks.compute(
    folder / "blocks",
    len(drawn),
    stage.block_queries,
    work,
    group=shared.group,
    name=name,
    unit="queries",
  )
  if not shared.group.first:
    return {}
  (prefer_QJ,) = blocks.gather(paths, ["prefer"], shared.group)
  there_QJ = drawn[..., 0] >= 0
  compared = Compared(drawn[..., 0], drawn[..., 1], prefer_QJ)
  save_lists(compared, folder / "compared")
  return {
    "pairs": int(there_QJ.sum()),
    # How often the pairwise model turns the pointwise order around.
    "turned": round(float((prefer_QJ < 0.5)[there_QJ].mean()), 4),
  }


def _asker(
  shared: Inputs,
  stage: kinds.Compare,
  copies: sharding.Copies,
  lists: Candidates,
) -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
  """(lists, columns, columns) to the probability that the first is better."""
  model = shared.model_of(stage.params)
  queries = shared.tokens.queries[shared.config.stages[stage.candidates].split]

  def ask(line, first, second):
    logits = rerank.score_texts(
      model,
      copies,
      queries.slices(lists.query[line]),
      [
        shared.tokens.passages.slices(lists.ids[line, column])
        for column in (first, second)
      ],
      shared.tokens.special,
      lengths=shared.config.data,
      batch_tokens=stage.batch_tokens,
    )
    return 0.5 * (1 + np.tanh(0.5 * logits))  # a sigmoid that never overflows

  return ask


def _trained_on(lists: Candidates, scores_QC: np.ndarray) -> np.ndarray:
  """The scores, NaN on columns that never come into a batch.

  A batch has one positive of a query; the others are no negatives either.
  """
  column_C = np.arange(lists.label.shape[1])
  other_QC = lists.label & (column_C != lists.label.argmax(axis=1)[:, None])
  return np.where(other_QC, np.nan, scores_QC)


def _draw(seed: int, stage: kinds.Compare, scores_QC: np.ndarray) -> np.ndarray:
  """int32 [Q, pairs, 2], -1 where a list has fewer."""
  out = np.full((len(scores_QC), stage.pairs, 2), -1, np.int32)
  for number, scores_C in enumerate(scores_QC):
    found = pairs.near_pairs(
      scores_C,
      depth=stage.depth,
      window=stage.window,
      count=stage.pairs,
      rng=np.random.default_rng((seed, number)),
    )
    out[number, : len(found)] = found
  return out
