"""LEAD on MS MARCO passages (arXiv 2212.05225).

Four pairs of teacher and student that learn together, as in the scripts of
the official code (github.com/microsoft/SimXNS, LEAD/, commit 84928ea):

  lead_12de  12-layer dual encoder  -> 6-layer dual encoder
  lead_12cb  12-layer ColBERT       -> 6-layer dual encoder
  lead_12ce  12-layer cross-encoder -> 6-layer dual encoder
  lead_24cb  24-layer ColBERT       -> 12-layer dual encoder

Rates, steps, accumulation, temperatures and weights are the scripts' [S].
Batch size, negatives, lengths, the number of layers and the warm-up are
arguments that the scripts leave to their caller; the paper's appendix B is
said to hold them. Where the official argument parser has a default it is
taken [D], else it is our choice.

Weights: `models/co-condenser-marco` (Luyu/co-condenser-marco) and
`models/ernie-2.0-large-en`, made as prod_msmarco_passage.py says; and the
student's, `models/distilbert-base-uncased`, made in the same way.

    python -m prod_jax.cli.prepare --config=configs/lead_msmarco_passage.py \\
      --workdir=gs://bucket/lead
    python -m prod_jax.cli.plan --config=configs/lead_msmarco_passage.py \\
      --topology=v5e:2x4
    python -m prod_jax.main --config=configs/lead_msmarco_passage.py \\
      --workdir=gs://bucket/lead

Variant `:runlocal`: as in prod_msmarco_passage.py, with one layer matched.

Reported, not run here (LEAD/assets/main_result.jpg; dev, DL 2019, DL 2020;
66M and 110M parameters are 6 and 12 layers):

              MRR@10  MAP@1k   R@1k  nDCG19  MAP19  nDCG20  MAP20
  lead_12cb     37.8    38.3   97.4    70.4   43.0    68.9   44.1
  lead_24cb     40.4    40.9   99.0    72.5   48.8    71.2   48.8

Deviations, all of them ours:
- The 12-layer dual encoder starts from co-condenser; one of the official
  scripts takes MASTER's weights, another one co-condenser.
- Inner layers of a ColBERT are unit vectors as the last one is.
- One optimizer for both models, clipped by their common norm.
- A draw of layers is kept for 10 steps because the official code redraws
  where it saves, and it saves every 10.
"""

import prod_msmarco_passage as passages
from ml_collections import ConfigDict

GPUS = passages.GPUS
LISTS = "mine_1"
COCONDENSER = "models/co-condenser-marco"
DISTILBERT = "models/distilbert-base-uncased"
CLIP = 2.0  # [C]
GATHERED_CLIP = CLIP * GPUS  # see kinds.Train about `clip`


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  config = passages.experiment(
    variant, passages.data(), models(), stages(), seed=888
  )
  if variant == "runlocal":
    for stage in config.stages.values():
      if stage.get("method") == "lead":
        stage.settings.layers = 1  # all that there is
  return config


def models() -> dict:
  """Students and teachers; all towers share their weights [S]."""
  base = passages.bert(COCONDENSER)
  # No projection, and queries padded with [MASK] tokens that take part [C].
  late = dict(kind="late", mask_queries=True)
  return dict(
    student=dict(
      kind="dual",
      **passages.bert(DISTILBERT) | dict(depth=6, type_vocab=0),
    ),
    de_12=dict(kind="dual", **base),
    cb_12=base | late,
    ce_12=base | dict(kind="cross", remat="layers"),
    cb_24=passages.bert_large() | late | dict(remat="layers"),
  )


def stages() -> dict:
  """Hard negatives, every model alone, then the four pairs."""
  return {
    **hard_negatives(),
    **alone("student_base", "student"),
    **measured("student_base"),
    **alone("de_12", "de_12"),
    **measured("de_12"),
    **alone("cb_12", "cb_12"),
    **alone("ce_12", "ce_12"),
    **alone("cb_24", "cb_24", learning_rate=1e-5),  # [S]
    **{
      f"evaluate_{name}": passages.reranked(name, "de_12", passages.PASSAGES)
      for name in ("cb_12", "ce_12", "cb_24")
    },
    **together("12de", "student_base", "de_12", learning_rate=5e-5),  # [S]
    **together("12cb", "student_base", "cb_12", learning_rate=2e-5),  # [S]
    **together(
      "12ce",
      "student_base",
      "ce_12",
      steps=100_000,  # [S]
      learning_rate=5e-5,  # [S]
    ),
    **together(
      "24cb", "de_12", "cb_24", model="de_12", learning_rate=2e-5
    ),  # [S]
  }


def hard_negatives() -> dict:
  """The first 100 of a 12-layer dual encoder on the set's own negatives."""
  return {
    "provided": dict(kind="provided", negatives=30),  # our choice
    "de_first": alone("de_first", "de_12")["de_first"]
    | dict(candidates="provided"),
    **measured("de_first"),
    **passages.mined(1, "de_first", passages.PASSAGES),
  }


def alone(name: str, model: str, **changes) -> dict:
  """A model by itself, on labels and the hard negatives."""
  crossed = model == "ce_12"
  return {
    name: dict(
      kind="train",
      model=model,
      method="ranking" if crossed else "contrastive",
      steps=20_000,  # [S]
      warmup_steps=2000,  # a tenth [D]
      learning_rate=1e-5 if crossed else 2e-5,  # [S]
      **sizes(crossed),
    )
    | changes
  }


def together(
  name: str, init: str, teacher: str, model: str = "student", **changes
) -> dict:
  """A student and a teacher that goes on learning."""
  crossed = teacher == "ce_12"
  steps = changes.pop("steps", 50_000)  # [S]
  stage = dict(
    kind="train",
    model=model,
    init=init,
    teacher=teacher,
    joint=True,  # [S]
    method="lead",
    settings=dict(
      in_batch=not crossed,  # [C util.py:567]
      layers=5,  # [D]
      select="random",  # [S]
      redraw=10,  # [C run_LEAD.py:259]
      temperature=1.0,  # [S]
      layer_temperature=10.0,  # [S]
      student=1.0,  # [S], as the three below
      teacher=1.0,
      response=1.0,
      layer=1.0,
    ),
    steps=steps,
    warmup_steps=steps // 10,  # [D]
    **sizes(crossed),
  )
  if teacher == "cb_24":  # of another width than its student
    stage["settings"]["projection"] = False  # [C]
  return {
    f"lead_{name}": stage | changes,
    **measured(f"lead_{name}", whole=True),
  }


def sizes(crossed: bool) -> dict:
  """Of a batch, and the clip: with a cross-encoder nothing is gathered."""
  if crossed:
    return dict(
      candidates=LISTS,
      # Our choice: one query a GPU, and as many negatives as PROD has.
      batch_size=1 * GPUS * 10,
      accumulation=10,  # [S]
      negatives=15,
      clip=CLIP,
    )
  return dict(
    candidates=LISTS,
    batch_size=8 * GPUS,  # [D]
    negatives=1,  # [D]
    clip=GATHERED_CLIP,
  )


def measured(params: str, whole: bool = False) -> dict:
  """A dual encoder's figures: dev, and at the end both TREC topics."""
  return passages.measured(params, passages.PASSAGES, 3 if whole else 1)
