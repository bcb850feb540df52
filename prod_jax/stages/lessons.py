"""Lists that nobody can learn from, found before the first step.

A list with one passage has nothing to compare, and a teacher that gives one
score to all of a list says nothing of it. Both are counted over all lists of a
train stage; where the teacher says nothing of any list, the stage is refused.
"""

from typing import Any, NamedTuple

import numpy as np
from absl import logging

from prod_jax import kinds, strict
from prod_jax.batches.assemble import Examples
from prod_jax.batches.lists import Candidates
from prod_jax.stages import sources
from prod_jax.stages.run import Job

_LISTS = 10_000  # looked at at once


class Counts(NamedTuple):
  """Of lists that a stage trains on.

  Attributes:
    lists: all of them.
    alone: those with one passage.
    flat: those of several passages that the teacher gives one score.
  """

  lists: int = 0
  alone: int = 0
  flat: int = 0


def check(job: Job[kinds.Train], learnt_from: Examples) -> Counts:
  """Counts the lists that are trained on, and says how many teach nothing.

  Raises:
    ConfigError: the teacher gives one score to all passages of each list.
  """
  lists = learnt_from.candidates
  if lists is None:
    return Counts()
  numbers = np.flatnonzero(np.isin(lists.query, learnt_from.rows))
  alone = flat = 0
  for start in range(0, len(numbers), _LISTS):
    some = numbers[start : start + _LISTS]
    alone_Q = ((lists.ids[some] >= 0).sum(axis=1)) < 2
    alone += int(alone_Q.sum())
    if learnt_from.list_scores is not None:
      flat_Q = one_score(lists, learnt_from.list_scores, some)
      flat += int((flat_Q & ~alone_Q).sum())
  found = Counts(len(numbers), alone, flat)
  _say(job, found)
  return found


def summary(counts: Counts, still: int, steps: int) -> dict[str, Any]:
  """What a stage's summary has of it; nothing where there is nothing.

  Args:
    counts: of its lists.
    still: how many steps had a gradient of exactly 0.
    steps: that were done.
  """
  _, alone, flat = counts
  figures = {"alone": alone, "flat": flat, "still": still}
  words = {
    "alone": f"{alone} of {counts.lists} lists have one passage",
    "flat": f"to {flat} of {counts.lists} lists the teacher gives one score",
    "still": f"the gradient of {still} of {steps} steps was exactly 0",
  }
  found = {name: count for name, count in figures.items() if count}
  if not found:
    return {}
  return {**found, "why": "; ".join(words[name] for name in found)}


def one_score(
  lists: Candidates, scores_QC: np.ndarray, numbers: np.ndarray
) -> np.ndarray:
  """bool: which of these lists have several scores, and all the same."""
  scores = scores_QC[numbers]
  there = (lists.ids[numbers] >= 0) & ~np.isnan(scores)
  most = np.max(scores, axis=1, where=there, initial=-np.inf)
  least = np.min(scores, axis=1, where=there, initial=np.inf)
  return (most <= least) & (there.sum(axis=1) > 1)


def _say(job: Job[kinds.Train], counts: Counts) -> None:
  """Warns of such lists, or refuses them."""
  count, alone, flat = counts
  if flat and flat + alone == count:
    role = "second" if job.stage.second else "scores"
    teacher = sources.judge(job.run, getattr(job.stage, role))
    raise strict.ConfigError(
      f"{job.where}.{role}: {teacher} gives one score to all passages of a "
      f"list, in each of the {flat} lists with several; it has nothing to "
      "teach. Look at its parameters or its file, or learn from labels alone"
    )
  if not job.run.processes.first:
    return
  if alone:
    logging.warning(
      "%s: %d of %d lists have one passage, and nothing to compare it with but "
      "those of other queries; mine deeper, or leave fewer out",
      job.name,
      alone,
      count,
    )
  if flat:
    logging.warning(
      "%s: of %d of %d lists the teacher gives all passages one score, and "
      "teaches nothing by it",
      job.name,
      flat,
      count,
    )
