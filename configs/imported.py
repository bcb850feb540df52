"""A student learns from scores and lists that other tools made.

    python -m prod_jax.main --config=configs/imported.py:data.path=DIR \
      --config.stages.teacher.path=scores.jsonl --workdir=runs/imported

DIR is a folder in the MS MARCO layout, and the file has the scores of any
teacher: a TREC run, lines of query id, passage id and score, JSON lines, or
parquet; see the README. Queries and passages are known by id, or by text. Its
lists are those of the file. The variant "mined" makes lists here instead, and
takes the file's scores of them.

Sizes are ours, made for two cores: all-MiniLM-L6-v2's weights learn on.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "", "mined" or "runlocal"."""
  if variant not in ("", "mined", "runlocal"):
    raise ValueError(f"variant {variant!r} is not '', 'mined' or 'runlocal'")
  config = ConfigDict(sort_keys=False)
  config.seed = 1
  config.data = dict(
    name="folder",
    path="",
    tokenizer="packaged",
    query_length=32,
    passage_length=144,
  )
  config.mesh = dict(data=-1, fsdp=1, tensor=1)
  student = dict(
    kind="dual",
    weights="packaged",
    dropout=0.0,
    scale=20.0,
  )
  if variant == "runlocal":
    tiny = dict(weights="", width=32, heads=2, mlp_width=64, depth=1)
    tiny |= dict(pooling="mean", similarity="cosine")
    student |= tiny
    config.data.update(query_length=16, passage_length=32)
  config.models = dict(student=student)
  config.stages = ConfigDict(_stages(variant), sort_keys=False)
  return config


def _stages(variant: str) -> dict:
  # Of a cross-encoder of sentence-transformers: a sigmoid's, which is undone.
  teacher = dict(kind="imported", path="", transform="logit", missing="drop")
  train = dict(kind="train", model="student", batch_size=8, learning_rate=5e-5)
  steps = 2 if variant == "runlocal" else 200
  stages = {}
  if variant == "mined":
    stages = {
      "start": dict(train, method="contrastive", steps=0),
      "encode": dict(kind="encode", params="start"),
      "mine": dict(kind="mine", encoded="encode", depth=50),
    }
    teacher |= dict(candidates="mine")
  return stages | {
    "teacher": teacher,
    "student": dict(
      train,
      method="prod",
      candidates="teacher",
      scores="teacher",
      negatives=3,
      steps=steps,
      settings=dict(in_batch=False, temperature=4.0, hard=0.1, soft=0.9),
    ),
    "encode_student": dict(kind="encode", params="student"),
    "evaluate": dict(
      kind="evaluate", encoded="encode_student", split="test", depth=100
    ),
  }
