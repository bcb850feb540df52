"""PairDistill on MS MARCO passages (arXiv 2410.01383): its dual encoder.

A student learns from a pointwise and a pairwise teacher. Sizes and rates are
those of the official code (github.com/MiuLab/PairDistill): of its dpr-scale
part for the dual encoder [C conf/msmarco_pair_distill.yaml, train.sh], of its
ColBERT part for the variant `:colbert` [C ColBERT/train.py].

Our choice, because the teachers have 3 billion parameters and no BERT's
shape (monoT5-3B, duoT5-3B), or because it is not published: both teachers are
12-layer encoders trained here on labels, the pairwise one asked about two
passages at a time; the student starts from co-condenser and is warmed up on
the set's own negatives; there are two rounds, the second one on lists that
the student of the first retrieves.

Weights: `models/co-condenser-marco`, made as prod_msmarco_passage.py says.

    python -m prod_jax.cli.prepare --workdir=gs://bucket/pairdistill \\
      --config=configs/pairdistill_msmarco_passage.py
    python -m prod_jax.cli.plan --topology=v5e:2x4 \\
      --config=configs/pairdistill_msmarco_passage.py
    python -m prod_jax.main --workdir=gs://bucket/pairdistill \\
      --config=configs/pairdistill_msmarco_passage.py

Variants: `:colbert` distils into a late-interaction model, which is measured
as a reranker of the warm student, since there is no index of token vectors
here; `:runlocal` as in prod_msmarco_passage.py.

Reported, not run here: on MS MARCO and TREC the figures are not known to us.
Over the 16 rows of nDCG@10 in ColBERT/beir_results.tsv ColBERTv2 has a mean of
48.6 and PairDistill of 49.6.

Deviations, all of them ours:
- 32 queries a step, which 8 chips share, where 6 GPUs had 6 each.
- The dual encoder's softmax is over its own 64 passages; the official one runs
  over those of the whole batch, with the teacher's mass on its own.
- In `:colbert` the positive is the labelled passage, where the official one is
  the pointwise teacher's first; there are no markers, [MASK] tokens are
  attended to, and punctuation takes part. docs/FIDELITY.md names the settings.
"""

import prod_msmarco_passage as passages
from ml_collections import ConfigDict

VARIANTS = ("", "runlocal", "colbert")
DUAL = dict(
  model="student",
  # [C yaml]: T 1, lambda 1, no cross-entropy.
  settings=dict(temperature=1.0, teacher_scale=1.0, pairs=1.0, in_batch=0.0),
  batch_size=32,
  steps=passages.QUERIES // 32,  # one epoch [C train.sh]
  warmup_steps=10_000,  # [C yaml]
  learning_rate=3e-5,  # [C yaml]
  clip=2.0,  # [C yaml]
)
COLBERT = dict(
  model="colbert",
  # [C train.py]: alpha and tau 1, lambda 3, in-batch on.
  settings=dict(temperature=1.0, teacher_scale=1.0, pairs=3.0, in_batch=1.0),
  batch_size=32,  # [C train.py]
  accumulation=2,  # [C train.py]
  steps=30_000,  # [C train.py]
  warmup_steps=3000,  # [C train.py]
  learning_rate=1e-5,  # [C train.py]
)


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is one of VARIANTS."""
  late = variant == "colbert"
  return passages.experiment(
    variant,
    # No titles; 128 tokens [C yaml], of a ColBERT 180 [C train.py].
    passages.data(titles="", passage_length=180 if late else 128),
    models(),
    stages(late),
    known=VARIANTS,
  )


def models() -> dict:
  """A dual encoder of two towers [C], a ColBERT, and the teachers."""
  base = passages.bert("models/co-condenser-marco")
  return dict(
    # 32 queries of 64 passages are many on 8 chips: layers are computed twice.
    student=dict(kind="dual", tied=False, remat="layers", **base),
    colbert=dict(
      kind="late",
      projection=128,  # [C train.py]
      mask_queries=True,
      remat="layers",
      **base,
    ),
    ce_12=dict(kind="cross", **base),
    duo=dict(kind="pairwise", **base),
  )


def stages(late: bool) -> dict:
  """Warm up, train the teachers on the student's lists, distil twice."""
  c = passages.PASSAGES
  made = {
    "provided": dict(kind="provided", negatives=c.provided),
    # As PROD's warm-up.
    "student_warm": passages.labelled(
      model="student", candidates="provided", steps=40_000, warmup_steps=4000
    ),
    **passages.measured("student_warm", c),
    **lists(1, "student_warm"),
    # As PROD's 12-layer cross-encoder.
    "ce_12": passages.cross_encoder(
      "ce_12", "mine_1", learning_rate=1e-5, warmup_steps=1000
    ),
    "evaluate_ce_12": passages.reranked("ce_12", "student_warm", c),
    "duo": dict(
      kind="train",
      model="duo",
      method="pairwise_ranking",
      candidates="mine_1",
      negatives=7,
      batch_size=64,
      steps=6000,
      warmup_steps=600,
      learning_rate=1e-5,
      clip=2.0,
    ),
    **asked(1),
  }
  if late:
    return made | {
      "pair_distill": distilled(1, "", COLBERT),
      "evaluate_pair_distill": passages.reranked(
        "pair_distill", "student_warm", c
      ),
    }
  return made | {
    "pair_distill_1": distilled(1, "student_warm", DUAL),
    **passages.measured("pair_distill_1", c),
    **lists(2, "pair_distill_1"),
    **asked(2),
    "pair_distill_2": distilled(2, "pair_distill_1", DUAL),
    **passages.measured("pair_distill_2", c, len(c.evaluations)),
  }


def lists(number: int, params: str) -> dict:
  """The first 100, which is what the pointwise teacher ranks [C]."""
  return passages.mined(
    number, params, passages.PASSAGES, depth=100, negatives=0
  )


def asked(number: int) -> dict:
  """What both teachers think of the lists, once."""
  return passages.scored(str(number), "ce_12") | {
    f"compare_{number}": dict(
      kind="compare",
      params="duo",
      candidates=f"mine_{number}",
      scores=f"score_{number}",
      # [C pairwise_rerank.py]: pairs within 5 ranks of the first 100, 100 of
      # them, the higher ranked passage first.
      depth=100,
      window=5,
      pairs=100,
      batch_tokens=131_072,
    )
  }


def distilled(number: int, init: str, recipe: dict) -> dict:
  """Both teachers at once, over 64 passages of a list."""
  return dict(
    kind="train",
    init=init,
    candidates=f"mine_{number}",
    scores=f"score_{number}",
    pairs=f"compare_{number}",
    method="pair_distill",
    negatives=63,  # 64 passages [C yaml, train.py]
    **recipe,
  )
