"""A tiny experiment, for bad inputs to be tried with.

Variant "provided" takes negatives of the set, "imported" lists of a file,
"unlabelled" all queries of train, "evaluate" trains nothing, "cross" reranks,
"late" has a model of token vectors.
"""

from ml_collections import ConfigDict

TINY = dict(width=8, heads=2, mlp_width=16, depth=1, dropout=0.0)
TRAIN = dict(
  kind="train",
  model="student",
  method="contrastive",
  steps=1,
  batch_size=8,
  learning_rate=1e-4,
)
ENCODED = dict(
  encode=dict(kind="encode", params="student", splits=("train", "test")),
  evaluate=dict(kind="evaluate", encoded="encode", indexes=("exact",)),
)


def get_config(variant: str = "") -> ConfigDict:
  """The experiment."""
  c = ConfigDict(sort_keys=False)
  c.seed = 1
  c.data = dict(
    name="folder", path="", tokenizer="", query_length=8, passage_length=12
  )
  c.mesh = dict(data=-1)
  c.models = dict(student=dict(kind="dual", **TINY))
  stages = dict(student=TRAIN, **ENCODED)
  if variant == "provided":
    stages = dict(lists=dict(kind="provided", negatives=3))
  elif variant == "imported":
    stages = dict(lists=dict(kind="imported", path=""))
  elif variant == "unlabelled":
    stages["mine"] = dict(
      kind="mine", encoded="encode", depth=4, queries="unlabelled"
    )
  elif variant == "evaluate":
    stages["student"] = TRAIN | dict(steps=0)
    stages["encode"] = ENCODED["encode"] | dict(splits=("test",))
  elif variant == "cross":
    c.models.ce = dict(kind="cross", **TINY)
    stages["mine"] = dict(kind="mine", encoded="encode", depth=4)
    stages["ce"] = TRAIN | dict(
      model="ce", method="ranking", candidates="mine", negatives=3
    )
    stages["score"] = dict(kind="score", params="ce", candidates="mine")
  elif variant == "late":
    c.models.late = dict(kind="late", **TINY)
  elif variant:
    raise ValueError(f"there is no variant {variant!r}")
  c.stages = ConfigDict(stages, sort_keys=False)
  return c
