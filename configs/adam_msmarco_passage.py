"""Our formulation of ADAM on MS MARCO passages (arXiv 2212.10192).

There is no official code, and the paper's operators, rates, weights and
schedule are not known to us. Every number below is our choice but those that
are taken over from prod_msmarco_passage.py; figures of this config say nothing
about the paper's.

A student learns a cross-encoder's distribution over its own list, and over
dark examples beside it: negatives with a span of the positive, and positives
with holes, which the teacher finds neither right nor wrong. Queries of which
the teacher is sure come first.

Weights: `models/co-condenser-marco`, made as prod_msmarco_passage.py says.

    python -m prod_jax.cli.prepare --config=configs/adam_msmarco_passage.py \\
      --workdir=gs://bucket/adam
    python -m prod_jax.cli.plan --config=configs/adam_msmarco_passage.py \\
      --topology=v5e:2x4
    python -m prod_jax.main --config=configs/adam_msmarco_passage.py \\
      --workdir=gs://bucket/adam

Variant `:runlocal` as in prod_msmarco_passage.py.

Reported: the abstract says that it improves on its baselines on MS MARCO and
TREC DL 2019; the figures are not known to us.
"""

import prod_msmarco_passage as passages
from ml_collections import ConfigDict

STEPS = 40_000


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  base = passages.bert("models/co-condenser-marco")
  models = dict(
    student=dict(kind="dual", tied=False, **base),
    ce_12=dict(kind="cross", **base),
  )
  return passages.experiment(
    variant, passages.data(titles=""), models, stages()
  )


def stages() -> dict:
  """Warm up, train the teacher, make dark examples, distil."""
  c = passages.PASSAGES
  return {
    "provided": dict(kind="provided", negatives=c.provided),
    "student_warm": passages.labelled(
      model="student", candidates="provided", steps=STEPS, warmup_steps=4000
    ),
    **passages.measured("student_warm", c),
    **passages.mined(1, "student_warm", c),
    "ce_12": passages.cross_encoder(
      "ce_12", "mine_1", learning_rate=1e-5, warmup_steps=1000
    ),
    "evaluate_ce_12": passages.reranked("ce_12", "student_warm", c),
    **passages.scored("1", "ce_12"),
    "darken": dict(
      kind="darken",
      params="ce_12",
      candidates="mine_1",
      strengthened=4,
      strengthen_rate=0.3,
      masked=4,
      mask_rate=0.3,
      batch_tokens=131_072,
    ),
    "adam": dict(
      kind="train",
      model="student",
      init="student_warm",
      candidates="mine_1",
      scores="score_1",
      dark="darken",
      negatives=15,
      method="adam",
      settings=dict(
        temperature=1.0,
        hard=0.1,
        soft=1.0,
        dark=1.0,
        pace="fraction",
        start=0.5,
        end=1.0,
        over=STEPS // 2,
      ),
      batch_size=8 * passages.GPUS,
      steps=STEPS,
      warmup_steps=4000,
      learning_rate=5e-5,
      clip=passages.CLIP,
    ),
    **passages.measured("adam", c, len(c.evaluations)),
  }
