"""PROD's options on the start of baselines.py, a stage each.

    python -m prod_jax.main --config=configs/prod_options.py --workdir=runs/po

  prod_bi_logit  the teacher's embeddings instead of its scores
  prod_late      a late-interaction teacher in the step, in-batch
  prod_larger    two teachers, the larger loss of each step teaches
  prod_simans    negatives drawn near the positive's score (arXiv 2210.11773)
  prod_dkd, prod_logit, prod_prob   the other distances

The last four learn from the cross-encoder over the query's own list, without
LwF. The figures of a stage say what its option does to this student, no more.
"""

import baselines
import lead
from ml_collections import ConfigDict

MODELS = lead.MODELS


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  return baselines.experiment(
    variant,
    baselines.start() | lead.late_teacher() | prod_options(),
    **MODELS,
  )


def prod_options() -> dict:
  """One stage an option."""
  # T and weights: README of the official code.
  base = dict(temperature=4.0, hard=0.1, soft=0.9)
  in_batch = dict(in_batch=True, **base)
  own_list = dict(in_batch=False, **base)
  embeddings = dict(scores="encode_teacher_de", negatives=1, batch_size=32)

  def taught(option: str, settings: dict, **changes) -> dict:
    return baselines.taught(
      f"prod_{option}", method="prod", settings=settings, **changes
    )

  return {
    **taught("bi_logit", in_batch | dict(kd="bi_logit"), **embeddings),
    **taught("late", in_batch, teacher="late", negatives=1, batch_size=16),
    **taught(
      "larger",
      in_batch | dict(larger=True),
      scores="encode_teacher_de",
      second=baselines.SCORES,
    ),
    **taught(
      "simans",
      own_list,
      scores=baselines.SCORES,
      sampling="simans",
      # a = 0.5, b = 0 are the README's example; scores here reach 20.
      sampling_settings=dict(a=0.5, b=0.0),
    ),
    **taught(
      "dkd",
      own_list | dict(kd="dkd", alpha=1.0, beta=8.0),
      scores=baselines.SCORES,
    ),
    **taught("logit", own_list | dict(kd="logit"), scores=baselines.SCORES),
    **taught("prob", own_list | dict(kd="prob"), scores=baselines.SCORES),
  }
