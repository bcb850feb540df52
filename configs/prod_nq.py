"""PROD on Natural Questions (arXiv 2209.13335).

The paper reports figures on this collection; of the recipe behind them the
official repository has the code of its parts and one trace, a folder name:
rate 5e-5 and 20,000 steps with the 24-layer teacher, which is itself taken at
step 10,000 [C dataset_division_nq.py:11]. Those are set here. Everything else
is as in prod_msmarco_passage.py, which is our choice.

- Lists, and the division, are of the first 100 [C prepare_ce_data_nq.py].
- A retrieved passage that contains an answer is no negative, and is what the
  division looks for; the positive that is trained on is the gold passage
  [C prepare_ce_data_nq.py].
- The division keeps what the teacher ranks better than the student and within
  its first 15, and what the student misses wholly [C dataset_division_nq.py].
- The warm-up takes the negatives of DPR's training file, which are BM25's.
- 128 tokens of a passage, the default of the official training script; the
  official code trains the cross-encoder at 256 [C train_CE_model_nq.py:112].
- Queries have at most 32 tokens; the official code does not cut them.

    python -m prod_jax.cli.prepare --config=configs/prod_nq.py \\
      --workdir=gs://bucket/prod_nq
    python -m prod_jax.cli.plan --config=configs/prod_nq.py --topology=v5e:2x4
    python -m prod_jax.main --config=configs/prod_nq.py \\
      --workdir=gs://bucket/prod_nq

Weights and variants are those of prod_msmarco_passage.py.

Reported, not run here (README of the official code; a 6-layer student, test;
its "Recall@k" says that any of the first k passages contains an answer):

              R@1   R@5  R@20  R@100
  6-layer    46.0  67.8  78.9   86.2
  PROD       57.6  75.6  84.7   89.6
"""

import dataclasses

import prod_msmarco_passage as passages
from ml_collections import ConfigDict

QUESTIONS = dataclasses.replace(
  passages.PASSAGES,
  depth=100,  # [C prepare_ce_data_nq.py]
  division=dict(rule="nq", teacher_to=14),  # [C dataset_division_nq.py:96]
  evaluations={
    "": dict(
      split="test",
      depth=100,
      relevance="answers",  # [C dpr_utils.py:311]
      metrics=("hit@1", "hit@5", "hit@20", "hit@100", "mrr@10"),
    )
  },
  relevance="answers",  # [C prepare_ce_data_nq.py:43]
)


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is one of prod_msmarco_passage.VARIANTS."""
  stages = passages.stages(QUESTIONS, online=variant == "online")
  stages["ce_24"]["steps"] = 10_000
  stages["student_ce_24"]["steps"] = 20_000
  return passages.prod(
    variant,
    passages.data(name="nq", titles="", passage_length=128),
    stages,
  )
