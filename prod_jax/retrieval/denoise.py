"""Unlabelled passages that a teacher takes for positives, and without them.

Lists are as `batches.lists.Candidates`, and z are a teacher's scores of them.
z_pos is the score of the labelled passage of a list that the teacher likes
best; where no labelled passage has a score there is none. A tie with the limit
is a negative still.

Sources: taking out of lists what a cross-encoder takes for no negative is the
denoising of RocketQA (arXiv 2010.08191), where its confidence decides. Limits
that hang on the positive's score are those of NV-Retriever (arXiv 2407.15831):
"absolute" is its TopK-MarginPos and "relative" its TopK-PercPos, whose best is
.95. A percentile of positives' scores is ours, in the place of the constant of
its TopK-Abs.
"""

from typing import NamedTuple

import numpy as np

from prod_jax import kinds
from prod_jax.batches.lists import Candidates, emptied, relabel


class Found(NamedTuple):
  """What a rule takes for positives.

  Attributes:
    false_QC: bool, unlabelled passages above the limit of their list.
    limit_Q: the score above which they are; NaN where a list has no limit.
    positive_Q: column of the best labelled passage, -1 where there is none.
  """

  false_QC: np.ndarray
  limit_Q: np.ndarray
  positive_Q: np.ndarray


def find(
  lists: Candidates, scores_QC: np.ndarray, stage: kinds.Denoise
) -> Found:
  """Applies the stage's rule.

  A list without a labelled passage has a limit by "percentile" only.
  """
  positive_Q = best_positives(lists, scores_QC)
  z_pos_Q = scores_at(scores_QC, positive_Q)
  if stage.rule == "absolute":
    limit_Q = z_pos_Q - stage.margin
  elif stage.rule == "relative":
    limit_Q = stage.margin * z_pos_Q
  else:
    known = z_pos_Q[positive_Q >= 0]
    of_all = np.percentile(known, stage.percentile) if len(known) else np.nan
    limit_Q = np.full(len(positive_Q), of_all)
  # NaN is above nothing, and nothing is above it.
  above_QC = scores_QC > limit_Q[:, None]
  negative_QC = ~lists.label & (lists.ids >= 0)
  return Found(above_QC & negative_QC, limit_Q, positive_Q)


def best_positives(lists: Candidates, scores_QC: np.ndarray) -> np.ndarray:
  """int64 [Q]: column of the labelled passage with the highest score.

  The first of several, and -1 where none has a score.
  """
  there_QC = lists.label & ~np.isnan(scores_QC)
  best_Q = np.where(there_QC, scores_QC, -np.inf).argmax(axis=1)
  return np.where(there_QC.any(axis=1), best_Q, -1)


def scores_at(scores_QC: np.ndarray, column_Q: np.ndarray) -> np.ndarray:
  """float64 [Q]: the score in one column of each list, NaN for column -1."""
  at_Q1 = np.maximum(column_Q, 0)[:, None]
  taken_Q = np.take_along_axis(scores_QC, at_Q1, axis=1)[:, 0]
  return np.where(column_Q >= 0, taken_Q.astype(np.float64), np.nan)


def dropped(
  lists: Candidates, scores_QC: np.ndarray, false_QC: np.ndarray
) -> tuple[Candidates, np.ndarray]:
  """Lists and scores with empty places where these passages were.

  Scores of the others stay, and so do lists that have their labelled passages
  alone; a list without any passage is left out.
  """
  left = emptied(lists, false_QC)
  scores_QC = np.where(false_QC, np.float32(np.nan), scores_QC)
  keep_Q = (left.ids >= 0).any(axis=1)
  return Candidates(*(x[keep_Q] for x in left)), scores_QC[keep_Q]


def relabelled(
  lists: Candidates, scores_QC: np.ndarray, false_QC: np.ndarray
) -> tuple[Candidates, np.ndarray]:
  """Lists and scores in which these passages are positives.

  The positive that a step draws, the first labelled one, stays that: it comes
  first in its list. A list without a label begins with what it has got.
  """
  labelled_Q1 = lists.label.any(axis=1, keepdims=True)
  drawn_QC = np.where(labelled_Q1, lists.label, false_QC)
  drawn_Q1 = drawn_QC.argmax(axis=1)[:, None]
  gold_Q = np.take_along_axis(lists.ids, drawn_Q1, axis=1)[:, 0]
  # What moves a list's own scores moves the teacher's.
  judged = lists._replace(score=np.asarray(scores_QC))
  moved = relabel(judged, false_QC, gold_Q)
  return relabel(lists, false_QC, gold_Q), moved.score


def places(scores_QC: np.ndarray) -> np.ndarray:
  """int64 [Q, C]: 0-based place of each column in the teacher's order.

  Ties keep the order of the list; columns without a score come last.
  """
  key_QC = np.where(np.isnan(scores_QC), np.inf, -scores_QC)
  order_QC = np.argsort(key_QC, axis=1, kind="stable")
  out = np.empty_like(order_QC)
  column_QC = np.broadcast_to(np.arange(out.shape[1]), out.shape)
  np.put_along_axis(out, order_QC, column_QC, axis=1)
  return out
