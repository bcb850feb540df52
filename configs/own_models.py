"""Your passages and two models that you have: the second teaches the first.

    python -m prod_jax.main --config=configs/own_models.py:data.path=DIR \
      --config.models.student.weights=intfloat/e5-small-v2 \
      --config.models.teacher.weights=cross-encoder/ms-marco-MiniLM-L6-v2 \
      --workdir=runs/own

DIR is a folder in the MS MARCO layout. `weights` of either is a folder as
transformers or sentence-transformers leaves it, or a hub's NAME/MODEL@REVISION;
pooling, prompts, similarity and head are those that the folder names, and each
model reads texts with its own tokenizer. The student, as it is, finds the first
50 passages of each training query; the teacher, as it is, scores them once; the
student learns their order, and both are measured before and after.

The variant "labels" has no second model: the student learns from labels, with
the negatives that it has mined. Sizes are ours, made for two cores.
"""

from ml_collections import ConfigDict

DEPTH = 50


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "labels", without a teacher."""
  if variant not in ("", "labels"):
    raise ValueError(f"variant {variant!r} is not '' or 'labels'")
  config = ConfigDict(sort_keys=False)
  config.seed = 1
  config.data = dict(
    name="folder", path="", query_length=32, passage_length=128
  )
  config.mesh = dict(data=-1, fsdp=1, tensor=1)
  config.models = dict(
    # Of a cosine: a softmax over cosines is flat without a scale, and 20 is a
    # temperature of 0.05. For a model that is compared by dots set scale=1; a
    # bare encoder does not say how it is compared, so set similarity, too.
    student=dict(kind="dual", weights="packaged", scale=20.0)
  )
  if not variant:
    config.models.teacher = dict(
      kind="cross", weights="cross-encoder/ms-marco-MiniLM-L6-v2"
    )
  config.stages = ConfigDict(_stages(variant), sort_keys=False)
  return config


def _stages(variant: str) -> dict:
  learnt = dict(
    kind="train",
    model="student",
    candidates="mine",
    negatives=7,
    steps=200,
    batch_size=8,
    learning_rate=3e-5,
    warmup_steps=20,
  )
  before = {
    "encode": dict(kind="encode", params="student"),
    "evaluate": dict(kind="evaluate", encoded="encode"),
    "mine": dict(kind="mine", encoded="encode", depth=DEPTH),
  }
  after = {
    "encode_learnt": dict(kind="encode", params="learnt"),
    "evaluate_learnt": dict(kind="evaluate", encoded="encode_learnt"),
  }
  if variant:
    return before | {"learnt": learnt | dict(method="contrastive")} | after
  return (
    before
    | {
      "score": dict(kind="score", params="teacher", candidates="mine"),
      "rerank": dict(
        kind="evaluate", encoded="encode", rerank="teacher", rerank_depth=DEPTH
      ),
      "learnt": learnt
      | dict(
        method="prod",
        scores="score",
        settings=dict(in_batch=False, temperature=1.0, hard=0.1, soft=0.9),
      ),
    }
    | after
  )
