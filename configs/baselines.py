"""What PROD and its neighbours are compared with, from one start.

    python -m prod_jax.main --config=configs/baselines.py --workdir=runs/b

A start that every method shares: student, dual-encoder teacher and
cross-encoder, each trained on labels; lists that the teacher retrieves, and
the cross-encoder's scores of them. Then, each from the same warm student:

  none         labels and the lists' hard negatives, no teacher
  list_kl      the cross-encoder's distribution, T^2 KL, at T = 4
  list_kl_t1   the same at T = 1
  list_kl_raw  the same at T = 4 without T^2
  margin_mse   score margins of the positive (arXiv 2010.02666)
  margin_all   score margins of all pairs (the code of CL-DRD)
  tas          TAS-Balanced batches with margins (arXiv 2104.06967)
  rocketqa_v2  student and cross-encoder trained together (arXiv 2110.07367)

Text and weights are those of quickstart.py, as is the variant `:runlocal`.
Sizes are ours, made for two cores; a number that comes from somewhere says so.
"""

import quickstart
from ml_collections import ConfigDict

LISTS = "mine_lists"
SCORES = "score_lists"
STEPS = 24


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  return experiment(variant, start() | baselines())


def experiment(variant: str, stages: dict, **models) -> ConfigDict:
  """The quickstart's text and models, and others, with other stages."""
  config = quickstart.get_config()
  for name, model in models.items():
    config.models[name] = ConfigDict(
      dict(weights="packaged", dropout=0.0, **model)
    )
  config.stages = ConfigDict(stages, sort_keys=False)
  quickstart.finish(config, variant)
  return config


def start() -> dict:
  """Labels alone: student, teachers, lists and the cross-encoder's scores."""
  return {
    **quickstart.warm_up(),
    "mine_wide": quickstart.mine("encode_teacher_de", depth=50),
    "ce": dict(
      kind="train",
      model="ce",
      method="ranking",
      candidates="mine_wide",
      negatives=3,
      batch_size=8,
      steps=44,
      warmup_steps=4,
      learning_rate=1e-4,
      clip=2.0,  # official code of PROD
    ),
    "evaluate_ce": quickstart.reranked("ce"),
    LISTS: quickstart.mine("encode_teacher_de", depth=16, limit=192),
    SCORES: quickstart.scored("ce", LISTS),
  }


def baselines() -> dict:
  """Every baseline, and its figures."""
  plain = dict(in_batch=False, temperature=4.0, hard=0.1, soft=0.9)
  return {
    **taught("none", method="contrastive"),
    **taught("list_kl", method="prod", scores=SCORES, settings=plain),
    **taught(
      "list_kl_t1",
      method="prod",
      scores=SCORES,
      settings=plain | dict(temperature=1.0),
    ),
    **taught(
      "list_kl_raw",
      method="prod",
      scores=SCORES,
      settings=plain | dict(squared=False),
    ),
    **taught("margin_mse", method="margin_mse", scores=SCORES),
    **taught(
      "margin_all",
      method="margin_mse",
      scores=SCORES,
      settings=dict(margins="all"),
    ),
    "cluster": dict(kind="cluster", encoded="encode_student_warm", clusters=24),
    **taught(
      "tas",
      method="margin_mse",
      scores=SCORES,
      clusters="cluster",
      sampling="balanced",
      sampling_settings=dict(bins=10),
    ),
    **taught("rocketqa_v2", method="rocketqa_v2", teacher="ce", joint=True),
  }


def taught(name: str, **changes) -> dict:
  """A train stage from the warm student over the lists, and its figures."""
  stage = dict(
    kind="train",
    model="student",
    init="student_warm",
    candidates=LISTS,
    negatives=5,
    batch_size=8,
    steps=STEPS,
    warmup_steps=4,
    learning_rate=5e-5,  # official codes of PROD and LEAD
    clip=2.0,  # official codes of PROD and LEAD
  )
  return {name: stage | changes, **quickstart.measured(name)}
