"""Passages without queries: a student learns from queries that were generated.

    python -m prod_jax.main --config=configs/generated.py:data.path=DIR \
      --config.models.teacher.weights=cross-encoder/ms-marco-MiniLM-L6-v2 \
      --workdir=runs/generated

DIR has passages, collection.tsv, and what any generator made of them,
queries.generated.jsonl: see docs/PASSAGES_WITHOUT_QUERIES.md. No query needs a
label. The student, as it is, finds the first 50 passages of each query; the
teacher, as it is, scores them; a query is kept where the teacher has first what
it was made of; and the student learns the teacher's order of the lists that are
kept, with that passage as the positive.

Variants, joined by "+" where there are several:

  trained    no teacher is at hand: it is a cross-encoder that first learns from
             the queries whose own passage the student has first
  measured   figures of split test, before and after, where DIR has
             queries.test.tsv and qrels.test.tsv
  runlocal   "trained" with encoders of one layer and few steps

Sizes are ours, made for two cores; all-MiniLM-L6-v2's weights learn on.
"""

from ml_collections import ConfigDict

DEPTH = 50
VARIANTS = ("trained", "measured", "runlocal")


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "", or names of `VARIANTS` joined by "+"."""
  chosen = set(filter(None, variant.split("+")))
  if chosen - set(VARIANTS):
    raise ValueError(f"variant {variant!r}; known: {', '.join(VARIANTS)}")
  is_small = "runlocal" in chosen
  has_teacher = not chosen & {"trained", "runlocal"}
  config = ConfigDict(sort_keys=False)
  config.seed = 1
  config.data = dict(
    name="folder", path="", query_length=32, passage_length=128
  )
  config.mesh = dict(data=-1, fsdp=1, tensor=1)
  config.models = dict(
    # Of a cosine: a softmax over cosines is flat without a scale.
    student=dict(kind="dual", weights="packaged", scale=20.0),
    teacher=dict(kind="cross", weights="cross-encoder/ms-marco-MiniLM-L6-v2"),
  )
  if not has_teacher:
    config.models.teacher.update(weights="packaged", pooling="mean")
  stages = _kept(has_teacher) | _learnt()
  if "measured" in chosen:
    stages |= _figures()
    stages["encode"].update(splits=("train", "test"))
  config.stages = ConfigDict(stages, sort_keys=False)
  if is_small:
    _shrink(config)
  return config


def _kept(has_teacher: bool) -> dict:
  """Lists of the queries that a teacher keeps, and its scores."""
  stages = {
    "encode": dict(kind="encode", params="student", splits=("train",)),
    "mine": dict(kind="mine", encoded="encode", depth=DEPTH, queries="all"),
  }
  if not has_teacher:
    stages |= {
      "found": dict(kind="filter", candidates="mine"),
      "teacher": dict(
        kind="train",
        model="teacher",
        method="ranking",
        candidates="found",
        negatives=5,
        steps=300,
        warmup_steps=20,
        batch_size=8,
        learning_rate=1e-4,
      ),
    }
  return stages | {
    "score": dict(kind="score", params="teacher", candidates="mine"),
    "kept": dict(kind="filter", candidates="mine", scores="score"),
  }


def _learnt() -> dict:
  """What the student makes of them."""
  return {
    "learnt": dict(
      kind="train",
      model="student",
      method="prod",
      candidates="kept",
      scores="kept",
      negatives=7,
      settings=dict(in_batch=False, temperature=1.0, hard=0.1, soft=0.9),
      steps=200,
      warmup_steps=20,
      batch_size=8,
      learning_rate=3e-5,
    )
  }


def _figures() -> dict:
  """The student before and after."""
  return {
    "evaluate": dict(kind="evaluate", encoded="encode"),
    "encode_learnt": dict(kind="encode", params="learnt", splits=("test",)),
    "evaluate_learnt": dict(kind="evaluate", encoded="encode_learnt"),
  }


def _shrink(config: ConfigDict) -> None:
  config.data.update(query_length=16, passage_length=32)
  for model in config.models.values():
    model.update(layers=(0,), dropout=0.0)
  config.stages.mine.depth = 8
  # A teacher of two steps orders nothing: half of what is there is kept.
  config.stages.kept.top = 4
  for stage in config.stages.values():
    if stage.kind == "train":
      stage.update(steps=2, warmup_steps=1, log_every=1)
