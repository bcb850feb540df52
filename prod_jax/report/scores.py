"""What a teacher and the miner before it thought of the same lists."""

import dataclasses

import numpy as np

from prod_jax import arrays
from prod_jax.batches.lists import Candidates, load_lists
from prod_jax.report import record

MOST_LISTS = 20_000


@dataclasses.dataclass(frozen=True)
class Judge:
  """The scores that one model gave to candidate lists.

  Attributes:
    name: the train stage of the model.
    unit: of the scores.
    positives, negatives: float32, of all lists together.
    outscored: mean share of a list's negatives below its best positive; NaN
      where no list has both.
  """

  name: str
  unit: str
  positives: np.ndarray
  negatives: np.ndarray
  outscored: float


@dataclasses.dataclass(frozen=True)
class Comparison:
  """A score stage: teacher and miner, and of how many lists."""

  teacher: Judge
  miner: Judge
  lists: int
  shown: int

  @property
  def sides(self) -> dict[str, Judge]:
    """Both judges by their role."""
    return {"teacher": self.teacher, "miner": self.miner}


def compare(run: record.Run, stage: record.Stage) -> Comparison | None:
  """Reads what a score stage made; None where something of it is absent.

  What an older config left in the folder of a pending stage does not count.

  Of more than `MOST_LISTS` lists so many are read, evenly spaced.
  """
  source = run.stages.get(stage.inputs.get("candidates", ""))
  path = stage.folder / "scores.npy"
  if source is None or not (source.ran and stage.ran and path.exists()):
    return None
  if not (source.folder / "candidates" / "score.npy").exists():
    return None
  lists = load_lists(Candidates, source.folder / "candidates")
  scores_QC = arrays.read(path, mapped=True)
  every = -(-len(scores_QC) // MOST_LISTS) or 1
  ids, label = lists.ids[::every], lists.label[::every]
  sides = {
    stage.inputs.get("params", ""): scores_QC[::every],
    source.name: lists.score[::every],
  }
  teacher, miner = (_judge(run, n, ids, label, s) for n, s in sides.items())
  for judge in (teacher, miner):
    if not len(judge.positives) or not len(judge.negatives):
      return None
  return Comparison(teacher, miner, lists=len(scores_QC), shown=len(ids))


def _judge(
  run: record.Run,
  name: str,
  ids: np.ndarray,
  label: np.ndarray,
  scores: np.ndarray,
) -> Judge:
  trained = run.trainer(name)
  there = (ids >= 0) & np.isfinite(scores)
  best_Q = np.where(label & there, scores, -np.inf).max(axis=1, initial=-np.inf)
  negative = ~label & there
  below_Q = (negative & (scores < best_Q[:, None])).sum(axis=1)
  count_Q = negative.sum(axis=1)
  both_Q = (count_Q > 0) & np.isfinite(best_Q)
  share = below_Q[both_Q] / count_Q[both_Q]
  return Judge(
    name=trained.name if trained else name,
    unit=_unit(run, trained.model if trained else ""),
    positives=scores[label & there],
    negatives=scores[negative],
    outscored=float(share.mean()) if len(share) else float("nan"),
  )


def _unit(run: record.Run, model: str) -> str:
  settings = (run.config.get("models") or {}).get(model) or {}
  if settings.get("kind") == "cross":
    return "logit"
  if settings.get("similarity") == "cosine":
    return f"cosine times {settings.get('scale', 1):g}"
  return "dot product" if settings.get("similarity") else "score"
