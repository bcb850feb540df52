"""LEAD on the start of baselines.py: layers of a teacher, trained together.

    python -m prod_jax.main --config=configs/lead.py --workdir=runs/lead

Three teachers, each with the warm student: a dual encoder and a
late-interaction model in-batch, a cross-encoder over the query's own list.
"""

import baselines
import quickstart
from ml_collections import ConfigDict

# No projection of tokens, as in the official code of LEAD.
MODELS = dict(late=dict(kind="late", mask_queries=True))


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  return baselines.experiment(variant, baselines.start() | lead(), **MODELS)


def lead() -> dict:
  """A late-interaction teacher, then LEAD from each of the three."""
  settings = dict(
    layers=2,  # all that the student has; official default 5 of 6
    select="random",  # official default
    redraw=10,  # official code
    layer_temperature=10.0,  # official code
  )

  def joint(teacher: str, in_batch: bool, **changes) -> dict:
    return baselines.taught(
      f"lead_{teacher}",
      method="lead",
      teacher=teacher,
      joint=True,
      settings=settings | dict(in_batch=in_batch),
      **changes,
    )

  return {
    **late_teacher(),
    # Official code: one hard negative beside those of the batch.
    **joint("teacher_de", True, negatives=1, batch_size=16),
    **joint("late", True, negatives=1, batch_size=16),
    **joint("ce", False),
  }


def late_teacher() -> dict:
  """A ColBERT, trained on labels and measured as a reranker."""
  return {
    "late": dict(
      kind="train",
      model="late",
      method="contrastive",
      batch_size=32,
      steps=12,
      warmup_steps=2,
      learning_rate=2e-5,  # official code of LEAD
    ),
    "evaluate_late": quickstart.reranked("late"),
  }
