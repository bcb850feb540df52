"""What a train stage's teacher thinks of its lists, before the first step.

Leaves `scores.json` and logs a line: how the scores of teacher and retriever
are spread at the temperatures of the stage, how far the two agree, and at which
temperature the teacher would be neither one-hot nor flat. Cached scores of
lists are looked at in the columns that a step draws, or in whole lists where
it draws one only; embeddings teach in-batch, and are looked at in whole lists.
"""

import json
import math
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from prod_jax import kinds
from prod_jax.batches import assemble
from prod_jax.batches.assemble import Embeddings, Examples
from prod_jax.batches.lists import Candidates
from prod_jax.retrieval import scores
from prod_jax.stages import examples, sources
from prod_jax.stages.run import Job

FILE = "scores.json"
MOST_LISTS = 2_000  # evenly spaced

TrainJob = Job[kinds.Train]


class Looked(NamedTuple):
  """Lists as they are looked at, [Q, N] each.

  Attributes:
    label: bool, labelled positives.
    teacher, retriever: float32, NaN where there is no passage or no score.
    drawn: whether the columns are those that a step draws.
  """

  label: np.ndarray
  teacher: np.ndarray
  retriever: np.ndarray
  drawn: bool


def write(
  job: TrainJob, learnt_from: Examples, temperatures: tuple[float, float]
) -> None:
  """Writes and logs the report; nothing where no scores of lists are cached.

  Args:
    job: of the stage.
    learnt_from: its lists, and what the teacher says of them.
    temperatures: divisors of the teacher's and the student's scores.
  """
  if not job.run.processes.first:
    return
  looked = look(learnt_from, job.seed)
  if looked is None:
    return
  report = made(job, looked, temperatures)
  report["of_lists"] = len(learnt_from.rows)
  path = job.folder / FILE
  path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
  logging.info("%s: %s", job.name, said(report))


def look(learnt_from: Examples, seed: int) -> Looked | None:
  """Some lists with all that judges them, None where no teacher is cached."""
  lists, list_scores = learnt_from.candidates, learnt_from.list_scores
  embeddings = learnt_from.embeddings
  if lists is None or (list_scores is None and embeddings is None):
    return None
  rows = learnt_from.rows[:: -(-len(learnt_from.rows) // MOST_LISTS) or 1]
  rng = np.random.default_rng(seed)
  chosen = assemble.choose(learnt_from)(rows, rng)
  number_Q, column_QN = chosen.list_B, chosen.column_BN
  drawn = list_scores is not None and column_QN.shape[1] > 1
  if not drawn:
    columns = np.arange(lists.ids.shape[1])
    column_QN = np.broadcast_to(columns, (len(number_Q), len(columns)))
  at = number_Q[:, None], np.maximum(column_QN, 0)
  there_QN = (column_QN >= 0) & (lists.ids[at] >= 0)
  if drawn:
    there_QN &= ~_repeated(column_QN)
  if list_scores is not None:
    teacher_QN = list_scores[at]
  else:
    assert embeddings is not None  # as seen above
    teacher_QN = _embedded(embeddings, lists, number_Q)
  return Looked(
    label=lists.label[at] & there_QN,
    teacher=np.where(there_QN, teacher_QN, np.nan),
    retriever=np.where(there_QN, lists.score[at], np.nan),
    drawn=drawn,
  )


def made(
  job: TrainJob, looked: Looked, temperatures: tuple[float, float]
) -> dict[str, Any]:
  """The figures, by what they are of."""
  stage = job.stage
  teacher, retriever = looked.teacher, looked.retriever
  even = scores.even_temperature(teacher)
  found: dict[str, Any] = {
    "lists": len(teacher),
    "columns": teacher.shape[1],
    "drawn": looked.drawn,
    "teacher": {
      # Beside a second teacher `scores` has embeddings, which `look` leaves.
      "name": sources.judge(job.run, stage.second or stage.scores),
      **figures(teacher, looked.label, temperatures[0]),
    },
    "suggested_temperature": _rounded(even),
    "reason": _reason(even),
  }
  # Imported lists may have the teacher's own scores, provided ones have none.
  if np.isnan(retriever).all() or _equal(retriever, teacher):
    return {**found, "retriever": None, "agreement": None}
  mined_with = examples.mined_with(job, stage.candidates)
  found["retriever"] = {
    "name": mined_with or stage.candidates,
    # Otherwise the student would score these lists in another way.
    "is_student": mined_with is not None
    and mined_with == examples.begins_with(job),
    **figures(retriever, looked.label, temperatures[1]),
  }
  found["agreement"] = _mean(scores.agreement(teacher, retriever))
  return found


def figures(
  scores_QN: np.ndarray, label_QN: np.ndarray, temperature: float
) -> dict[str, Any]:
  """Means over lists of what one judge says, after the temperature."""
  softened_QN = scores_QN / temperature
  return {
    "temperature": _rounded(temperature),
    "extent": _mean(scores.extent(softened_QN)),
    "deviation": _mean(scores.deviation(softened_QN)),
    "entropy": _mean(scores.entropy(scores_QN, temperature)),
    "one_hot": _mean(scores.one_hot(scores_QN, temperature)),
    "flat": _mean(scores.flat(scores_QN, temperature)),
    "above_positive": _mean(scores.above_positive(scores_QN, label_QN)),
  }


def said(report: dict[str, Any]) -> str:
  """The report in one line."""
  columns = "drawn columns" if report["drawn"] else "columns"
  parts = [
    f"{report['lists']} of {report['of_lists']} lists, {report['columns']} "
    f"{columns}",
    _judge("teacher", report["teacher"]),
  ]
  retriever = report["retriever"]
  if retriever:
    role = "student" if retriever["is_student"] else "retriever"
    parts.append(_judge(role, retriever))
  if report["agreement"] is not None:
    parts.append(f"rank correlation {report['agreement']:.2f}")
  if report["suggested_temperature"]:
    parts.append(
      f"suggested temperature {report['suggested_temperature']:.3g}: "
      f"{report['reason']}"
    )
  return "; ".join(parts)


def _judge(role: str, judge: dict[str, Any]) -> str:
  words = (
    f"{role} {judge['name']} at temperature {_said(judge['temperature'])}: "
    f"spread {_said(judge['extent'])}, entropy {_said(judge['entropy'])} of "
    f"log n, one-hot {_percent(judge['one_hot'])}, flat "
    f"{_percent(judge['flat'])}"
  )
  if judge["above_positive"] is None:
    return words
  return f"{words}, {_percent(judge['above_positive'])} of negatives above"


def _equal(one_QN: np.ndarray, other_QN: np.ndarray) -> bool:
  return np.array_equal(one_QN, other_QN, equal_nan=True)


def _repeated(column_QN: np.ndarray) -> np.ndarray:
  """bool [Q, N]: columns that stand further left too, where negatives lack."""
  same_QNN = column_QN[:, :, None] == column_QN[:, None, :]
  return np.tril(same_QNN, -1).any(axis=2)


def _embedded(
  embeddings: Embeddings, lists: Candidates, number_Q: np.ndarray
) -> np.ndarray:
  """A dual encoder's scores of whole lists, [Q, C]; any on padding."""
  out = np.zeros((len(number_Q), lists.ids.shape[1]), np.float32)
  for line, number in enumerate(number_Q):
    query_D = np.asarray(embeddings.query[lists.query[number]])
    passage_CD = embeddings.passage[np.maximum(lists.ids[number], 0)]
    out[line] = np.asarray(passage_CD) @ query_D
  return out


def _reason(even: float | None) -> str:
  if even is None:
    return "too many scores are equal for any temperature to even them out"
  return (
    "there the teacher's mean entropy is half of log n, between one-hot and "
    "flat"
  )


def _mean(figure_Q: np.ndarray) -> float | None:
  return _rounded(scores.mean(figure_Q))


def _rounded(value: float | None) -> float | None:
  """With four digits; JSON has no NaN and no infinity."""
  if value is None or not math.isfinite(value):
    return None
  return float(f"{value:.4g}")


def _said(value: float | None) -> str:
  return "unknown" if value is None else f"{value:.3g}"


def _percent(share: float | None) -> str:
  return "unknown" if share is None else f"{100 * share:.0f}%"
