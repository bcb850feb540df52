"""PROD measured on the topics of TREC Deep Learning 2019, passages.

The stages of prod_msmarco_passage.py, and behind them an evaluation of every
dual encoder on the way: what each step of the progression brings on graded
judgements. In a workdir where that config has run, everything else is cached,
and these stages only search:

    python -m prod_jax.main --config=configs/prod_trec_dl19.py \\
      --workdir=gs://bucket/prod

Reported, not run here: nDCG@10 73.3 for the student of 6 layers, as a
leaderboard (wizwand) quotes the paper; its MAP and recall are not known to us.

nDCG takes the four grades as they are. MAP and recall take grade 2 and above
as relevant, by the rules of the track; see TREC_DL in that file. Variants are
those of that file.
"""

import prod_msmarco_passage as passages
from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is one of prod_msmarco_passage.VARIANTS."""
  return measured_on("dl19", variant)


def measured_on(topics: str, variant: str) -> ConfigDict:
  """PROD, and each dual encoder's figures on a split."""
  settings = passages.PASSAGES.evaluations[f"_{topics}"]
  stages = passages.stages(passages.PASSAGES, online=variant == "online")
  dual_encoders = [
    s["params"] for s in stages.values() if s["kind"] == "encode"
  ]
  for params in dual_encoders:
    stages.setdefault(
      f"evaluate_{params}_{topics}", passages.evaluated(params, settings)
    )
  return passages.prod(variant, passages.data(), stages)
