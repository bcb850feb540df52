"""Stage kind `compare`: a pairwise model's preferences within lists.

Leaves `compared/`, see `batches.lists.Compared`. A pair is asked about once and
read ever after.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from prod_jax import arrays, kinds, progress, strict
from prod_jax.batches.lists import Candidates, Compared, load_lists, save_lists
from prod_jax.retrieval import forward, pairs, rerank
from prod_jax.retrieval.pieces import Pieces
from prod_jax.stages.run import Job


def fingerprint(job: Job[kinds.Compare]) -> dict[str, Any]:
  """What the result depends on besides this stage's config and inputs."""
  return {
    **job.run.data_fingerprint(job.model_name("params")),
    "seed": job.seed,
  }


def check(job: Job[kinds.Compare]) -> None:
  """Raises ConfigError for another kind of model, or scores of other lists."""
  job.check_trains("params", ("pairwise",))
  job.check_scored("scores")


def run(job: Job[kinds.Compare]) -> dict[str, Any]:
  """Draws the pairs of each list and asks about those not asked about yet."""
  lists = load_lists(Candidates, job.inputs["candidates"] / "candidates")
  scores_QC = arrays.read(job.inputs["scores"] / "scores.npy")
  # Drawn for all lists before any is asked about: the pairs of a list depend on
  # its number and the seed alone, whichever blocks are there already.
  drawn = _draw(job, _trained_on(lists, scores_QC))
  if not (drawn >= 0).any():
    raise strict.ConfigError(
      f"stage {job.name}: no list of {job.stage.candidates} has two passages "
      f"to compare; see {job.where}.depth"
    )
  ask = _asker(job, lists)

  def work(start: int, stop: int, pieces: Pieces) -> dict[str, np.ndarray]:
    block_QJ2 = drawn[start:stop]
    line, pair = np.nonzero(block_QJ2[..., 0] >= 0)
    one, other = block_QJ2[line, pair].T
    of_first, *of_second = pieces.split(1 + job.stage.both_orders)
    better = ask(start + line, one, other, of_first)
    if of_second:
      worse = ask(start + line, other, one, *of_second)
      better = (better + 1 - worse) / 2  # two answers to one question
    prefer = np.zeros(block_QJ2.shape[:2], np.float32)
    prefer[line, pair] = better
    return {"prefer": prefer}

  made = job.in_blocks(len(drawn), ["prefer"], work)
  if made is None:
    return {}
  (prefer_QJ,) = made
  there_QJ = drawn[..., 0] >= 0
  compared = Compared(drawn[..., 0], drawn[..., 1], prefer_QJ)
  save_lists(compared, job.folder / "compared")
  return {
    "pairs": int(there_QJ.sum()),
    # How often the pairwise model turns the pointwise order around.
    "turned": round(float((prefer_QJ < 0.5)[there_QJ].mean()), 4),
  }


def _asker(
  job: Job[kinds.Compare], lists: Candidates
) -> Callable[[np.ndarray, np.ndarray, np.ndarray, Pieces], np.ndarray]:
  """(lists, columns, columns) to the probability that the former is better.

  What it has of them is kept in the pieces.
  """
  frozen, tokens = job.frozen("params"), job.tokens_of("params")
  queries = tokens.queries[job.source("candidates").split]

  def ask(
    line: np.ndarray, one: np.ndarray, other: np.ndarray, pieces: Pieces
  ) -> np.ndarray:
    passages, query = tokens.passages.anew(), lists.query[line]
    first, second = (lists.ids[line, column] for column in (one, other))
    with forward.named(query=query, passage=first):
      logits = rerank.score_texts(
        frozen,
        queries.slices(query),
        [passages.slices(first), passages.slices(second)],
        pieces,
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


def _draw(job: Job[kinds.Compare], scores_QC: np.ndarray) -> np.ndarray:
  """int32 [Q, pairs, 2], -1 where a list has fewer."""
  stage = job.stage
  out = np.full((len(scores_QC), stage.pairs, 2), -1, np.int32)
  lists = progress.shown(
    scores_QC, f"{job.name}: drawing", "lists", len(scores_QC), only_long=True
  )
  for number, scores_C in enumerate(lists):
    drawn = pairs.near_pairs(
      scores_C,
      depth=stage.depth,
      window=stage.window,
      count=stage.pairs,
      rng=np.random.default_rng((job.seed, number)),
    )
    out[number, : len(drawn)] = drawn
  return out
