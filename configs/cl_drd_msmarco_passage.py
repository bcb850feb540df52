"""CL-DRD on MS MARCO passages (arXiv 2204.13679).

A TAS-B student learns a cross-encoder's order in three iterations, each of
which orders more of it. Groups, labels, rates, epochs and sizes are those of
the official code (github.com/HansiZeng/CL-DRD, scripts/unity/ and
trainer/multistep-curriculum/) [C].

The official lists were made in advance, and neither the teacher nor the ranks
that the groups were drawn from are published. Our choice: a 12-layer
cross-encoder, trained as in prod_msmarco_passage.py on what the student
retrieves, over the first 200; the groups behind the ordered passages come from
the ranks to 50 and to 200.

Weights: `models/co-condenser-marco`, made as prod_msmarco_passage.py says, for
the teacher; and the student's, `models/distilbert-dot-tas_b-b256-msmarco`,
which is sebastian-hofstaetter/distilbert-dot-tas_b-b256-msmarco, a DistilBERT,
made in the same way.

    python -m prod_jax.cli.prepare --config=configs/cl_drd_msmarco_passage.py \\
      --workdir=gs://bucket/cl_drd
    python -m prod_jax.cli.plan --config=configs/cl_drd_msmarco_passage.py \\
      --topology=v5e:2x4
    python -m prod_jax.main --config=configs/cl_drd_msmarco_passage.py \\
      --workdir=gs://bucket/cl_drd

Variant `:runlocal`: as in prod_msmarco_passage.py, with shorter groups.

Reported, not run here (README of the official code; dev):

  MRR@10 38.2  nDCG@10 44.4  MAP@1000 38.6  R@50 84.5  R@1000 97.9

DL 2019 nDCG@10 72.5, MAP 45.3; DL 2020 68.7, 46.5 (table of LEAD's README).
"""

import prod_msmarco_passage as passages
from ml_collections import ConfigDict

TAS_B = "models/distilbert-dot-tas_b-b256-msmarco"
BATCH = 8  # queries, of all GPUs together [C]
# Passages of each group, and the rank at which each ends: sizes are [C], the
# ranks behind the first our choice.
GROUPS = (
  ((5, 12, 13), (5, 50, 200)),
  ((10, 10, 10), (10, 50, 200)),
  ((30,), (30,)),
)
RATES = (7e-6, 3e-6, 3e-6)  # [C]
EPOCHS = (4, 2, 2)  # [C]


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  config = passages.experiment(
    variant,
    # No titles; 30 and 256 tokens [C].
    passages.data(titles="", query_length=30, passage_length=256),
    models(),
    stages(),
    seed=4680,  # [C]
  )
  if variant == "runlocal":
    for number in (1, 2, 3):
      groups = len(GROUPS[number - 1][0])
      config.stages[f"cl_drd_{number}"].sampling_settings = dict(
        sizes=(2,) * groups, depths=(2, 6, 16)[:groups]
      )
  return config


def models() -> dict:
  """Two towers that start equal and share nothing [C], and the teacher."""
  return dict(
    student=dict(
      kind="dual",
      tied=False,
      **passages.bert(TAS_B) | dict(depth=6, type_vocab=0),
    ),
    ce_12=dict(kind="cross", **passages.bert("models/co-condenser-marco")),
  )


def stages() -> dict:
  """The student as it comes, its lists, the teacher, three iterations."""
  c = passages.PASSAGES
  made = {
    # No step: the published weights are the start.
    "tas_b": dict(
      kind="train",
      model="student",
      method="contrastive",
      negatives=1,
      batch_size=BATCH,
      steps=0,
      learning_rate=0.0,
    ),
    **passages.measured("tas_b", c, len(c.evaluations)),
    # Whole lists: the groups are ranks.
    **passages.mined(1, "tas_b", c, negatives=0),
    "ce_12": passages.cross_encoder(
      "ce_12", "mine_1", learning_rate=1e-5, warmup_steps=1000
    ),
    "evaluate_ce_12": passages.reranked("ce_12", "tas_b", c),
    **passages.scored("1", "ce_12"),
  }
  init = "tas_b"
  for number, (sizes, depths) in enumerate(GROUPS, 1):
    name = f"cl_drd_{number}"
    made[name] = dict(
      kind="train",
      model="student",
      init=init,
      candidates="mine_1",
      scores="score_1",
      method="cl_drd",
      settings=dict(labels=(-0.25, -0.5)),  # [C nway_dataset.py]
      sampling="groups",
      sampling_settings=dict(sizes=sizes, depths=depths),
      negatives=sum(sizes) - 1,
      batch_size=BATCH,
      steps=EPOCHS[number - 1] * passages.QUERIES // BATCH,
      warmup_steps=4000,  # [C]
      learning_rate=RATES[number - 1],
      weight_decay=0.01,  # [C]
      clip=1.0,  # [C]
    )
    made |= passages.measured(name, c, len(c.evaluations))
    init = name
  return made
