"""PROD's data progression: which queries are still worth a lesson.

Ranks are 0-based positions of the first labelled positive in one and the same
list: as the student retrieved it, and as the teacher reorders it.
"""

import numpy as np

from prod_jax import kinds
from prod_jax.batches.lists import Candidates, first_rank


def student_ranks(candidates: Candidates) -> np.ndarray:
  """Rank of the first positive in the student's run, -1 where it is missed."""
  return first_rank(candidates.rank, candidates.label)


def worth_asking(
  candidates: Candidates, student_from: int, student_to: int
) -> np.ndarray:
  """Which lists rule "marco" may keep, whatever a teacher says; bool [Q].

  Of a list without labels the teacher says what is right.
  """
  student_Q = student_ranks(candidates)
  is_close = (student_Q >= student_from) & (student_Q <= student_to)
  return is_close | ~candidates.label.any(axis=1)


def teacher_ranks(candidates: Candidates, scores_QC: np.ndarray) -> np.ndarray:
  """Rank of the first positive once the teacher has reordered that run.

  Only what the student retrieved is reordered: a positive that it missed
  stays missed. Ties keep the student's order.
  """
  retrieved = candidates.rank >= 0
  key = np.where(retrieved, -scores_QC, np.inf)
  order = np.lexsort((candidates.rank, key), axis=1)
  ranks = np.empty_like(order)
  places = np.broadcast_to(np.arange(order.shape[1]), order.shape)
  np.put_along_axis(ranks, order, places, axis=1)
  return first_rank(np.where(retrieved, ranks, -1), candidates.label)


def with_teachers_first(
  candidates: Candidates, scores_QC: np.ndarray
) -> Candidates:
  """The lists, where those without labels have the teacher's first passage.

  Of what the student retrieved; of equal scores the one that it ranks higher.
  """
  retrieved = candidates.rank >= 0
  first_Q = np.where(retrieved, scores_QC, -np.inf).argmax(axis=1)
  is_first = np.arange(retrieved.shape[1]) == first_Q[:, None]
  unlabelled = ~candidates.label.any(axis=1, keepdims=True)
  label = candidates.label | (unlabelled & is_first & retrieved)
  return candidates._replace(label=label)


def confidence(candidates: Candidates, scores_QC: np.ndarray) -> np.ndarray:
  """The teacher's probability of its own first passage, [Q].

  By the softmax of its scores over what the student retrieved; 0 where that is
  nothing.
  """
  there_QC = candidates.rank >= 0
  scores_QC = np.where(there_QC, scores_QC, -np.inf)
  there_Q = there_QC.any(axis=1)
  highest_Q1 = np.where(there_Q, scores_QC.max(axis=1), 0)[:, None]
  sum_Q = np.exp(scores_QC - highest_Q1).sum(axis=1)  # the best alone adds 1
  return np.where(there_Q, 1 / np.maximum(sum_Q, 1), 0.0)


def keep(
  student_Q: np.ndarray, teacher_Q: np.ndarray, stage: kinds.Divide
) -> np.ndarray:
  """Which queries stay, bool [Q].

  Rule "marco" (PROD on MS MARCO): the student has the positive at
  `student_from` to `student_to`, the teacher at most at `teacher_to`. Rule
  "nq" (PROD on Natural Questions): the teacher beats the student, and is at
  most at `teacher_to`; what the student misses wholly counts as beaten.
  """
  teacher_right = (teacher_Q >= 0) & (teacher_Q <= stage.teacher_to)
  if stage.rule == "nq":
    missed = student_Q < 0
    return teacher_right & (missed | (teacher_Q < student_Q))
  student_close = (student_Q >= stage.student_from) & (
    student_Q <= stage.student_to
  )
  return teacher_right & student_close
