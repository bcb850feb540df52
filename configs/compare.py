"""Every method from one start, for one table.

    python -m prod_jax.main --config=configs/compare.py --workdir=runs/compare

The stages of baselines.py, lead.py, cl_drd.py, pair_distill.py and adam.py,
and PROD's own progression on the same start: from the dual encoder, then from
the cross-encoder with LwF on fresh lists, then once more on the queries that
the cross-encoder gets right and the student wrong.
"""

import adam
import baselines
import cl_drd
import lead
import pair_distill
import quickstart
from ml_collections import ConfigDict

MODELS = lead.MODELS | pair_distill.MODELS


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  return baselines.experiment(variant, stages(), **MODELS)


def stages() -> dict:
  """The start, and what each method does from there."""
  return {
    **baselines.start(),
    **baselines.baselines(),
    **prod(),
    **lead.lead(),
    **cl_drd.cl_drd(),
    **pair_distill.pair_distill(),
    **adam.adam(),
  }


def prod() -> dict:
  """Teacher progression, then data progression."""
  # T and weights: README of the official code.
  settings = dict(temperature=4.0, hard=0.1, soft=0.9)
  anchored = dict(
    candidates="mine_prod",
    scores="score_prod",
    anchor="mine_prod",
    method="prod",
    settings=settings | dict(in_batch=False, lwf=1.0),
    init="prod_de",
  )
  return {
    **baselines.taught(
      "prod_de",
      method="prod",
      scores="encode_teacher_de",
      settings=settings | dict(in_batch=True),
      negatives=1,  # official code
      batch_size=32,
      candidates="mine_wide",
      learning_rate=3e-4,
    ),
    "mine_prod": quickstart.mine(
      quickstart.encoded("prod_de"), depth=16, limit=192
    ),
    "score_prod": quickstart.scored("ce", "mine_prod"),
    **baselines.taught("prod_ce", **anchored),
    # The student 2nd to 15th, the teacher 1st: official code.
    "divide_prod": dict(
      kind="divide",
      scores="score_prod",
      candidates="mine_prod",
      student_from=1,
      student_to=14,
      teacher_to=0,
    ),
    **baselines.taught(
      "prod",
      **anchored
      | dict(
        init="prod_ce",
        anchor="start",
        queries="divide_prod",
        sampling="descend",
        steps=12,
        learning_rate=1e-5,  # official code
      ),
    ),
  }
