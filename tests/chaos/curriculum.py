"""A small curriculum with a stage of every kind, as a config of prod_jax.

    python -m prod_jax run --config=tests/chaos/curriculum.py:DIR --workdir=W

DIR is what material.py writes; `DIR+lists` is the first stages alone. Encoders
are tiny and random: what is wanted of a result is only that it comes out the
same again. Stages have several blocks, shards and checkpoints, so that there is
something to interrupt.
"""

from ml_collections import ConfigDict

LISTS = "+lists"
_SHAPE = dict(width=16, depth=1, heads=2, mlp_width=32, dropout=0.1)


def get_config(variant: str = "") -> ConfigDict:
  """The experiment over the material in a folder.

  Args:
    variant: that folder; with `LISTS` behind it, the first stages alone.
  """
  folder = variant.removesuffix(LISTS)
  config = ConfigDict(sort_keys=False)
  config.seed = 7
  config.data = dict(
    name="folder",
    path=folder,
    tokenizer=f"{folder}/tokenizer",
    query_length=10,
    passage_length=18,
  )
  config.mesh = dict(data=-1, fsdp=1, tensor=1)
  config.models = dict(
    student=dict(kind="dual", pooling="mean", **_SHAPE),
    ranker=dict(kind="cross", pooling="mean", **_SHAPE),
    pairwise=dict(kind="pairwise", pooling="mean", **_SHAPE),
  )
  stages = _lists()
  if folder == variant:
    stages |= _teachers(folder) | _student()
  config.stages = ConfigDict(stages, sort_keys=False)
  return config


def _lists() -> dict:
  """A first student, what it finds, and lists that came with the set."""
  return {
    "train": _train("student", "contrastive"),
    "encode": _encode("train"),
    "cluster": dict(kind="cluster", encoded="encode", clusters=3),
    "provided": dict(kind="provided", negatives=2),
    "mine": _mine(positive_to=14),
    "mine_all": _mine(queries="all"),
    "filter": dict(kind="filter", candidates="mine_all", top=6),
  }


def _teachers(folder: str) -> dict:
  """What rankers, and a file of the user's, say of the lists."""
  return {
    "ranker": _train("ranker", "ranking", candidates="filter", negatives=2),
    "pairwise": _train(
      "pairwise", "pairwise_ranking", candidates="filter", negatives=2
    ),
    "score": dict(
      kind="score", params="ranker", candidates="mine", block_queries=10
    ),
    "imported": dict(
      kind="imported", path=f"{folder}/scores.tsv", candidates="provided"
    ),
    "denoise": dict(
      kind="denoise", candidates="mine", scores="score", action="keep"
    ),
    "divide": dict(
      kind="divide",
      candidates="mine",
      scores="score",
      student_from=0,
      teacher_to=14,
    ),
    "compare": dict(
      kind="compare",
      params="pairwise",
      candidates="mine",
      scores="score",
      pairs=2,
      block_queries=10,
    ),
    "darken": dict(
      kind="darken",
      params="ranker",
      candidates="mine",
      strengthened=1,
      strengthen_rate=0.3,
      masked=1,
      mask_rate=0.3,
      block_queries=10,
    ),
    "gate": dict(kind="gate", encoded="encode", teacher="ranker", depth=10),
  }


def _student() -> dict:
  """A student that learns from them, taken on or not, and its figures."""
  return {
    "student": _train(
      "student",
      "prod",
      init="train",
      candidates="mine",
      scores="score",
      queries="divide",
      clusters="cluster",
      anchor="mine",
      negatives=2,
      settings=dict(
        in_batch=False, temperature=2.0, hard=0.1, soft=0.9, lwf=1.0
      ),
    ),
    "encode_student": _encode("student"),
    "accept": dict(kind="accept", encoded="encode_student", before="encode"),
    "evaluate": dict(kind="evaluate", encoded="encode_student"),
    "rerank": dict(
      kind="evaluate",
      encoded="encode_student",
      rerank="ranker",
      rerank_depth=12,
    ),
  }


def _train(model: str, method: str, **changes) -> dict:
  stage = dict(
    kind="train",
    model=model,
    method=method,
    steps=5,
    batch_size=4,
    learning_rate=1e-2,
    warmup_steps=1,
    log_every=1,
    checkpoint_every=2,
  )
  return stage | changes


def _encode(params: str) -> dict:
  return dict(kind="encode", params=params, shard_rows=24)


def _mine(**changes) -> dict:
  mine = dict(kind="mine", encoded="encode", depth=6, block_queries=10)
  return mine | changes
