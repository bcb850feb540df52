"""PairDistill on the start of baselines.py: a second, pairwise teacher.

    python -m prod_jax.main --config=configs/pair_distill.py --workdir=runs/pd

The paper's pairwise teacher is duoT5-3B; this one is a cross-encoder over a
query and two passages, trained here on labels.
"""

import baselines
import quickstart
from ml_collections import ConfigDict

MODELS = dict(duo=dict(kind="pairwise", pooling="mean"))


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  return baselines.experiment(
    variant, baselines.start() | pair_distill(), **MODELS
  )


def pair_distill() -> dict:
  """Train the pairwise teacher, ask it once a pair, distil."""
  return {
    "duo": dict(
      kind="train",
      model="duo",
      method="pairwise_ranking",
      candidates="mine_wide",
      negatives=2,
      batch_size=6,
      steps=32,
      warmup_steps=4,
      learning_rate=1e-4,
      clip=2.0,  # official code
    ),
    "compare": dict(
      kind="compare",
      params="duo",
      candidates=baselines.LISTS,
      scores=baselines.SCORES,
      depth=8,
      window=5,  # official code, with duoT5
      pairs=6,
      both_orders=True,
      batch_tokens=quickstart.BATCH_TOKENS,
    ),
    **baselines.taught(
      "pair_distill",
      method="pair_distill",
      scores=baselines.SCORES,
      pairs="compare",
      # Official code, ColBERT: alpha = tau = 1, lambda = 3.
      settings=dict(
        temperature=1.0, teacher_scale=1.0, pairs=3.0, in_batch=1.0
      ),
    ),
  }
