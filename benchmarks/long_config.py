"""The runs of benchmarks/long.py, as a config with variants.

steps           10,000 steps of a tiny encoder on docstrings
stages-NUMBER   that many stages, of four kinds in turn
corpus          embeds, mines and measures a folder, data.path, by ScaNN too
"""

from ml_collections import ConfigDict

STEPS, CHECKPOINT_EVERY, LOG_EVERY = 10_000, 500, 20
TOKENS = 64  # of a passage
WIDTH = 32  # of a vector
# A shard and a block are held in memory: of one size in all corpora, and both
# of two processes have some of the smallest.
SHARD_ROWS, BATCH_TOKENS = 2_500, 8192
_TRAIN = dict(
  kind="train",
  model="student",
  method="contrastive",
  batch_size=8,
  learning_rate=1e-3,
)


def get_config(variant: str) -> ConfigDict:
  """The config of a variant."""
  kind, _, number = variant.partition("-")
  config = ConfigDict(sort_keys=False)
  config.seed = 42
  config.data = dict(
    name="pydocs",
    path="",
    query_length=20,
    passage_length=32,
    max_queries={},
    max_passages=0,
  )
  config.mesh = dict(data=-1, fsdp=1, tensor=1)
  config.models = dict(
    student=dict(
      kind="dual",
      width=WIDTH,
      depth=1,
      heads=2,
      mlp_width=2 * WIDTH,
      pooling="mean",
      similarity="cosine",
      scale=20.0,
      dropout=0.0,
    )
  )
  made = dict(steps=steps, corpus=corpus)
  if kind == "stages":
    found = stages(int(number))
    config.data.max_passages = 256
    config.data.max_queries = dict(train=64, dev=16, test=16)
  else:
    found = made[kind]()
  if kind == "corpus":
    config.data.update(name="folder", passage_length=TOKENS)
  config.stages = ConfigDict(found, sort_keys=False)
  return config


def steps() -> dict:
  """One long stage; its last checkpoint is of half way to the next."""
  return dict(
    student=dict(
      _TRAIN,
      steps=STEPS,
      checkpoint_every=CHECKPOINT_EVERY,
      log_every=LOG_EVERY,
    )
  )


def stages(number: int) -> dict:
  """Rounds of train, encode, mine and evaluate, each of what was before."""
  found: dict = {}
  for i in range(number // 4):
    before = dict(init=f"student_{i - 1}", candidates=f"mine_{i - 1}")
    found |= {
      f"student_{i}": dict(_TRAIN, steps=2, **(before if i else {})),
      f"encode_{i}": dict(kind="encode", params=f"student_{i}"),
      f"mine_{i}": dict(kind="mine", encoded=f"encode_{i}", depth=8),
      f"evaluate_{i}": dict(
        kind="evaluate", encoded=f"encode_{i}", indexes=("exact",)
      ),
    }
  return found


def corpus() -> dict:
  """What is done with a corpus once there is a student."""
  split = dict(splits=("train",))
  return dict(
    student=dict(_TRAIN, steps=20),
    encode=dict(
      kind="encode",
      params="student",
      batch_tokens=BATCH_TOKENS,
      shard_rows=SHARD_ROWS,
      **split,
    ),
    mine=dict(kind="mine", encoded="encode", depth=32, negatives=16),
    evaluate=dict(kind="evaluate", encoded="encode", split="train"),
  )
