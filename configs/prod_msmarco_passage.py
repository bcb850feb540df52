"""PROD on MS MARCO passages, as published (arXiv 2209.13335).

The stages, sizes and rates are those of the README of the official code
(github.com/microsoft/SimXNS, PROD/README.md, commit 84928ea), which runs on 8
GPUs; `[C file]` names code beside it. What the sources leave open says "our
choice".

  1  warm-up        student and 12-layer dual encoder, on the set's negatives,
                    then on what the dual encoder retrieves (flash1)
  2  TPD            dual encoder, 12-layer and 24-layer cross-encoder teach one
                    after the other, on fresh lists each (flash1 to flash3)
  3  DPD            the queries of flash4 that the teacher gets right and the
                    student wrong

It wants two folders of weights and one of a tokenizer. On a machine with
torch, once (a .bin is unpickled there and never here):

    from transformers import AutoModel, AutoTokenizer
    for name in ("ernie-2.0-base-en", "ernie-2.0-large-en"):
      AutoModel.from_pretrained(f"nghuyong/{name}").save_pretrained(
        f"models/{name}")
    AutoTokenizer.from_pretrained("bert-base-uncased").save_pretrained(
      "models/bert-base-uncased")

Then download and tokenise the data, see what each stage would take of a slice,
and run them:

    python -m prod_jax.cli.prepare --config=configs/prod_msmarco_passage.py \\
      --workdir=gs://bucket/prod
    python -m prod_jax.cli.plan --config=configs/prod_msmarco_passage.py \\
      --topology=v5e:2x4
    python -m prod_jax.main --config=configs/prod_msmarco_passage.py \\
      --workdir=gs://bucket/prod

Variants: `:student2` and `:student4` cut the student after 2 and 4 layers;
`:online` runs the cross-encoders inside of the step, as the official code
does, instead of scoring each pair once; `:runlocal` is the same list of stages
with tiny random encoders on docstrings, where the warm-up draws its negatives
from the whole collection, because that set has none of its own.

A dual encoder's vectors of 8.8 million passages are 27 GB on disk, and eight
are measured. `--stages` leaves out what is only measured: the encode stages of
student_warm, student_base and student_de.

Which is cheaper, `:online` or cached? A stage of 40,000 steps asks a teacher
in the step about 41 million pairs, and the cache about all 101 of each of
502,939 queries, 51 million. The cache is resumed by block, is read again by
the division, and costs nothing when a stage of the student is run again.

Reported, not run here (README; a 6-layer student, dev, with titles; the
README's "Recall@k" is hit@k here):

            MRR@10  hit@5  hit@20  hit@50  hit@1k
  6-layer     31.7   47.5    69.0    80.0    96.2
  PROD        39.3   56.4    78.1    87.0    98.4

TREC DL 2019 nDCG@10: 73.3, as a leaderboard quotes the paper.

Deviations, all of them ours:
- A cross-encoder is trained at the length at which it teaches, 144 and the
  query's 32. The README trains and reranks at 160 and teaches at 144.
- Its rows end with [SEP] and mark the passage by token type 1; the official
  ones do neither. The unused second head is left out.
- A passage without title is its text; the official code writes "-" for it.
- The positive of a list is its best ranked one, not the first of the file.
- The 24-layer cross-encoder of TPD-3 is used again for DPD: the README leaves
  open whether it is trained anew on flash4.
- For DPD the 24-layer cross-encoder is asked of the queries whose positive the
  student has 2nd to 15th; the division keeps no other.
- Fewer than the wanted negatives are repeated one after the other.
- bfloat16 on a TPU where the official code has float16 by apex.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from prod_jax.models.transformer import first_layers

GPUS = 8  # README; W below
QUERIES = 502_939  # training queries with a label, by the official qrels
VARIANTS = ("", "runlocal", "student2", "student4", "online")

# The share of a gathered stage's clip: see kinds.Train about `clip`.
CLIP = 2.0  # [C run_progressive_distill_marco.py]
GATHERED_CLIP = CLIP * GPUS

# T, hard and soft of all distillation, README.
DISTIL = dict(temperature=4.0, hard=0.1, soft=0.9)

DEV = dict(
  split="dev",
  depth=1000,  # README: top_k
  metrics=(
    "mrr@10",
    "hit@5",
    "hit@20",
    "hit@50",
    "hit@1000",
    "recall@100",
    "recall@1000",
    "ndcg@10",
    "map@1000",
  ),
)
TREC_DL = dict(
  depth=1000,
  # Grade 2 is relevant by the track's rules. The official code counts grade 1
  # in recall [C inference_DE_trec.py], so that its figure is another one.
  relevant=2,
  metrics=("ndcg@10", "map@1000", "recall@1000"),
)


@dataclasses.dataclass(frozen=True)
class Collection:
  """What a collection brings to the stages of PROD.

  Attributes:
    depth: of a list before it is cut to its first 100 negatives.
    division: the rule of DPD.
    evaluations: settings of an evaluate stage by what its name ends with; the
      first is for every model, the others for the last student.
    provided: how many of the set's own negatives the warm-up draws from.
    relevance: of a retrieved passage, see kinds.Mine.
  """

  depth: int
  division: Mapping[str, Any]
  evaluations: Mapping[str, Mapping[str, Any]]
  provided: int
  relevance: str = "labels"

  @property
  def splits(self) -> tuple[str, ...]:
    """What is encoded: queries to train on, and all to evaluate with."""
    measured = [e["split"] for e in self.evaluations.values()]
    return tuple(dict.fromkeys(["train", *measured]))


PASSAGES = Collection(
  depth=200,  # [C inference_DE_marco.py:390]
  # The student 2nd to 15th, the teacher 1st [C dataset_division_marco.py:97].
  division=dict(rule="marco", student_from=1, student_to=14, teacher_to=0),
  evaluations={
    "": DEV,
    "_dl19": dict(split="dl19", **TREC_DL),
    "_dl20": dict(split="dl20", **TREC_DL),
  },
  provided=30,  # drawn from the official triples [C build_marco_train.py]
)


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is one of VARIANTS."""
  return prod(variant, data(), stages(PASSAGES, online=variant == "online"))


def prod(variant: str, data: dict, stages: dict, remat: str = "") -> ConfigDict:
  """PROD's models with these stages; `remat` is of the largest of them."""
  layers = dict(student2=2, student4=4).get(variant, 6)
  made = models(layers, remat)
  return experiment(variant, data, made, stages, known=VARIANTS)


def experiment(
  variant: str,
  data: dict,
  models: dict,
  stages: dict,
  seed: int = 42,  # README
  known: tuple[str, ...] = ("", "runlocal"),
) -> ConfigDict:
  """A config of these parts; "runlocal" makes them tiny."""
  if variant not in known:
    raise ValueError(f"variant {variant!r}; known: {', '.join(known[1:])}")
  config = ConfigDict(sort_keys=False)
  config.seed = seed
  config.data = data
  config.mesh = dict(data=-1, fsdp=1, tensor=1)
  config.models = ConfigDict(models, sort_keys=False)
  config.stages = ConfigDict(stages, sort_keys=False)
  if variant == "runlocal":
    shrink(config)
  return config


def data(**changes) -> dict:
  """MS MARCO passages with the titles of the RocketQA corpus."""
  return (
    dict(
      name="msmarco_passage",
      titles="rocketqa",
      title_join="[SEP]",  # [C marco_until.py:125]
      tokenizer="models/bert-base-uncased",  # for every model [C]
      query_length=32,  # [C marco_until.py:135]
      passage_length=144,  # README
    )
    | changes
  )


def models(student_layers: int, remat: str) -> dict:
  """The student and its three teachers; `remat` is of the largest one."""
  return dict(
    student=student(student_layers),
    teacher_de=dict(kind="dual", tied=False, **bert()),
    ce_12=dict(kind="cross", **bert()),
    ce_24=dict(kind="cross", **bert_large(), remat=remat),
  )


def student(layers: int) -> dict:
  """The first layers of ERNIE-2.0-base; two towers that share nothing."""
  kept = first_layers(layers)
  return dict(
    kind="dual", tied=False, layers=kept, **bert() | dict(depth=len(kept))
  )


def bert(weights: str = "models/ernie-2.0-base-en") -> dict:
  """A base encoder, dropout 0.1 [C].

  First token and dot product [C] are what `model_kinds` has.
  """
  return dict(
    weights=weights,
    width=768,
    depth=12,
    heads=12,
    mlp_width=3072,
    vocab_size=30_522,
    type_vocab=4 if "ernie" in weights else 2,
    max_positions=512,
    dropout=0.1,
    dtype="bfloat16",
  )


def bert_large() -> dict:
  """ERNIE-2.0-large."""
  return bert("models/ernie-2.0-large-en") | dict(
    width=1024, depth=24, heads=16, mlp_width=4096
  )


def stages(c: Collection, *, online: bool) -> dict:
  """PROD, stage by stage, in the order in which they run."""
  return {
    **warm_up(c),
    **from_dual_encoder(c),
    **from_cross_encoder(
      c,
      12,
      init="student_de",
      lists=mined(2, "teacher_de", c),  # flash2
      # Mined with the teacher: what the student knew is asked in the step.
      anchor="start",
      online=online,
      learning_rate=1e-5,  # README
      warmup_steps=1000,  # README
    ),
    **from_cross_encoder(
      c,
      24,
      init="student_ce_12",
      lists=mined(3, "student_ce_12", c),  # flash3
      anchor="mine_3",
      online=online,
      learning_rate=5e-6,  # README
      warmup_steps=600,  # README
    ),
    **on_hard_queries(c, online=online),
  }


def warm_up(c: Collection) -> dict:
  """Labels alone: the set's own negatives, then those of flash1."""
  # README, both.
  first = labelled(candidates="provided", steps=40_000, warmup_steps=4000)
  again = labelled(candidates="mine_1", steps=10_000, warmup_steps=1000)
  return {
    "provided": dict(kind="provided", negatives=c.provided),
    "student_warm": dict(model="student", **first),
    **measured("student_warm", c),
    "teacher_warm": dict(model="teacher_de", **first),
    **measured("teacher_warm", c),
    **mined(1, "teacher_warm", c),  # flash1
    "student_base": dict(model="student", init="student_warm", **again),
    **measured("student_base", c),
    "teacher_de": dict(model="teacher_de", init="teacher_warm", **again),
    **measured("teacher_de", c),
  }


def from_dual_encoder(c: Collection) -> dict:
  """TPD-1: the 12-layer dual encoder, in-batch, its embeddings cached."""
  return {
    "student_de": dict(
      kind="train",
      model="student",
      init="student_base",
      candidates="mine_1",
      scores=encoded("teacher_de"),
      negatives=1,  # README
      method="prod",
      settings=dict(in_batch=True, **DISTIL),
      batch_size=16 * GPUS,  # README
      steps=40_000,  # README
      warmup_steps=4000,  # README
      learning_rate=5e-5,  # README
      clip=GATHERED_CLIP,
    ),
    **measured("student_de", c),
  }


def from_cross_encoder(
  c: Collection,
  layers: int,
  *,
  init: str,
  lists: dict,
  anchor: str,
  online: bool,
  **rate,
) -> dict:
  """TPD-2 and TPD-3: a cross-encoder is trained, and teaches on its lists."""
  (candidates,) = lists
  ce, number = f"ce_{layers}", candidates.removeprefix("mine_")
  taught = distilled(init, candidates, ce, online, f"score_{number}")
  return {
    **lists,
    ce: cross_encoder(ce, candidates, **rate),
    f"evaluate_{ce}": reranked(ce, "teacher_de", c),
    **({} if online else scored(number, ce)),
    f"student_{ce}": taught
    | dict(
      anchor=anchor,
      steps=40_000,  # README
      warmup_steps=4000,  # README
      learning_rate=5e-5,  # README
    ),
    **measured(f"student_{ce}", c),
  }


def on_hard_queries(c: Collection, *, online: bool) -> dict:
  """DPD, on the queries of flash4 that the division leaves."""
  return {
    # Whole lists: teacher and student are compared over all that the student
    # retrieved. Their first negatives are the same as those of flash4.
    **mined(4, "student_ce_24", c, negatives=0, **asked_ranks(c)),
    **scored("4", "ce_24"),
    "divide": dict(
      kind="divide", scores="score_4", candidates="mine_4", **c.division
    ),
    "student_final": distilled(
      "student_ce_24", "mine_4", "ce_24", online, "score_4"
    )
    | dict(
      anchor="mine_4",
      queries="divide",
      sampling="descend",  # README
      # README; 3 to 4 epochs of what is left is its advice.
      steps=2000,
      warmup_steps=200,  # README
      learning_rate=1e-5,  # README
      checkpoint_every=500,  # README
    ),
    **measured("student_final", c, len(c.evaluations)),
  }


def asked_ranks(c: Collection) -> dict:
  """Of which lists a teacher is asked: those that the division may keep."""
  if c.division["rule"] != "marco":
    return {}
  return dict(
    positive_from=c.division["student_from"],
    positive_to=c.division["student_to"],
  )


def labelled(**changes) -> dict:
  """A dual encoder on labels: in-batch, one hard negative a query."""
  return (
    dict(
      kind="train",
      method="contrastive",
      negatives=1,  # README
      batch_size=16 * GPUS,  # README
      learning_rate=2e-5,  # README
      clip=GATHERED_CLIP,
    )
    | changes
  )


def cross_encoder(model: str, lists: str, **changes) -> dict:
  """A cross-encoder on labels, over the query's own list."""
  return (
    dict(
      kind="train",
      model=model,
      method="ranking",
      candidates=lists,
      negatives=15,  # README
      batch_size=4 * GPUS * 8,  # README: 4 a GPU, 8 times
      accumulation=8,  # README
      steps=6000,  # README
      clip=CLIP,
      checkpoint_every=500,  # README
    )
    | changes
  )


def distilled(
  init: str, lists: str, teacher: str, online: bool, scores: str
) -> dict:
  """A cross-encoder teaches over the query's own list, with LwF."""
  return dict(
    kind="train",
    model="student",
    init=init,
    candidates=lists,
    negatives=15,  # README
    method="prod",
    settings=dict(in_batch=False, lwf=1.0, **DISTIL),  # README
    batch_size=8 * GPUS,  # README
    clip=CLIP,
    **(dict(teacher=teacher) if online else dict(scores=scores)),
  )


def encoded(params: str) -> str:
  """The stage that embeds with what `params` trained."""
  return f"encode_{params}"


def measured(params: str, c: Collection, evaluations: int = 1) -> dict:
  """Embed everything with what `params` trained, and measure it.

  Exact inner product, as in the official code.
  """
  chosen = list(c.evaluations.items())[:evaluations]
  return {
    encoded(params): dict(
      kind="encode", params=params, splits=c.splits, batch_tokens=131_072
    )
  } | {
    f"evaluate_{params}{end}": evaluated(params, settings)
    for end, settings in chosen
  }


def evaluated(params: str, settings: Mapping[str, Any]) -> dict:
  """What `params` trained, measured on one set of queries."""
  return dict(
    kind="evaluate", encoded=encoded(params), indexes=("exact",), **settings
  )


def reranked(params: str, retriever: str, c: Collection) -> dict:
  """A cross-encoder, measured on the first 100 of a retriever (our choice)."""
  first, *_ = c.evaluations.values()
  return evaluated(retriever, first) | dict(
    rerank=params, rerank_depth=100, batch_tokens=131_072
  )


def mined(number: int, params: str, c: Collection, **changes) -> dict:
  """The README's flash files: the first 100 that are not labelled."""
  return {
    f"mine_{number}": dict(
      kind="mine",
      encoded=encoded(params),
      depth=c.depth,
      negatives=100,  # README
      relevance=c.relevance,
      block_queries=65_536,  # all vectors are read for each block
    )
    | changes
  }


def scored(number: str, params: str) -> dict:
  """What a cross-encoder thinks of lists, each pair once."""
  return {
    f"score_{number}": dict(
      kind="score",
      params=params,
      candidates=f"mine_{number}",
      batch_tokens=131_072,
    )
  }


def shrink(config: ConfigDict) -> None:
  """Docstrings, tiny random encoders, two steps a stage.

  All sizes, and the seed, are the same for every config that calls this, so
  that what one has compiled is there for the next.
  """
  config.seed = 42
  config.data = dict(
    name="pydocs",
    tokenizer="packaged",
    title_join="[SEP]",
    query_length=12,
    passage_length=24,
    max_queries=dict(train=64, dev=16, test=16),
    max_passages=160,
  )
  for model in config.models.values():
    model.update(weights="", width=32, depth=1, heads=2, mlp_width=32)
    model.update(layers=(), dtype="float32", remat="")
  # That set has no negatives of its own: any passage is one.
  gone = [n for n, stage in config.stages.items() if stage.kind == "provided"]
  for name in gone:
    del config.stages[name]
  for stage in config.stages.values():
    stage.update(SMALL.get(stage.kind, {}))
    for key, most in SMALLER.items():
      if stage.get(key):
        stage[key] = min(stage[key], most)
    if stage.get("candidates") in gone:
      stage.candidates = ""
    if stage.kind == "evaluate":
      stage.split = HELD_OUT.get(stage.split, stage.split)
    if stage.kind == "encode":
      splits = [HELD_OUT.get(split, split) for split in stage.splits]
      stage.splits = tuple(dict.fromkeys(splits))


# What stands in for splits that docstrings have not.
HELD_OUT = dict(dev="test", dl19="dev", dl20="dev")
SMALL = dict(
  train=dict(batch_size=8, accumulation=1, log_every=1),
  encode=dict(batch_tokens=1024),
  mine=dict(depth=32, relevance="labels", positive_from=0, positive_to=0),
  score=dict(batch_tokens=1024),
  compare=dict(batch_tokens=1024, depth=8, pairs=4),
  darken=dict(batch_tokens=1024, strengthened=1, masked=1),
  # Encoders that know nothing agree on little: keep whatever is divided.
  divide=dict(rule="nq", teacher_to=14),
  evaluate=dict(
    rerank_depth=8,
    relevance="labels",
    relevant=1,
    batch_tokens=1024,
  ),
)
SMALLER = dict(steps=2, warmup_steps=1, negatives=3)
