"""PROD from end to end on real text, on two cores.

Text: docstrings of the installed Python packages (dataset `pydocs`). Weights:
all-MiniLM-L6-v2 of the `quickstart` extra, cut to layers [0, 5] for the
student. The stages are those of the paper (arXiv 2209.13335, figure and
README of the official code), the sizes our own:

  warm up student and dual-encoder teacher; mine; teacher -> student; mine;
  train cross-encoder 1; score; -> student with LwF; mine; train cross-encoder
  2; score; -> student with LwF; mine; score; divide; last distillation.

    make quickstart

or, with other settings,

    python -m prod_jax.main --config=configs/quickstart.py --workdir=runs/q

Variant `:runlocal` is the same list with tiny random encoders: it proves that
everything runs, in less than a minute, and learns nothing.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  if variant not in ("", "runlocal"):
    raise ValueError(f"variant {variant!r}; known: runlocal")
  config = ConfigDict(sort_keys=False)
  config.seed = 42  # official code
  config.data = dict(
    name="pydocs",
    tokenizer="packaged",
    title_join=". ",
    query_length=20,
    passage_length=40,
    max_queries=dict(train=512, dev=64, test=300),
  )
  config.mesh = dict(data=-1, fsdp=1, tensor=1)
  config.models = models()
  config.stages = ConfigDict(stages(), sort_keys=False)
  if variant == "runlocal":
    shrink(config)
  return config


def models() -> dict:
  """A student of 2 layers; teachers of 6, 3 and 6."""
  packaged = dict(weights="packaged", pooling="mean", dropout=0.0)
  dual = dict(kind="dual", similarity="cosine", scale=20.0, **packaged)
  cross = dict(kind="cross", **packaged)
  return dict(
    student=dict(layers=(0, 5), **dual),
    teacher_de=dict(**dual),
    ce_1=dict(layers=(0, 2, 5), **cross),
    ce_2=dict(**cross),
  )


def stages() -> dict:
  """PROD, stage by stage, in the order in which they run."""
  return {
    **warm_up(),
    **from_dual_encoder(),
    **from_cross_encoder("1", before="de"),
    **from_cross_encoder("2", before="ce_1"),
    **on_hard_queries(),
  }


def warm_up() -> dict:
  """Both dual encoders learn from labels alone."""
  train = dict(
    kind="train", method="contrastive", batch_size=32, learning_rate=2e-5
  )
  return dict(
    student_warm=dict(model="student", steps=32, warmup_steps=4, **train),
    **measured("warm", "student_warm"),
    teacher_de=dict(model="teacher_de", steps=16, warmup_steps=2, **train),
    **measured("teacher_de", "teacher_de"),
  )


def from_dual_encoder() -> dict:
  """The dual-encoder teacher, in-batch, its embeddings cached."""
  return dict(
    mine_1=mine("teacher_de"),
    student_de=dict(
      kind="train",
      model="student",
      init="student_warm",
      candidates="mine_1",
      scores="encode_teacher_de",
      negatives=1,  # METHODS: one positive, one hard negative
      method="prod",
      # T, hard and soft: README of the official code.
      settings=dict(in_batch=True, temperature=4.0, hard=0.1, soft=0.9),
      batch_size=32,
      steps=90,
      warmup_steps=9,
      learning_rate=3e-4,
      clip=2.0,
    ),
    **measured("de", "student_de"),
    mine_2=mine("de"),
  )


def from_cross_encoder(number: str, before: str) -> dict:
  """Train cross-encoder `number`, score once a pair, distil, mine anew."""
  ce, student = f"ce_{number}", f"student_ce_{number}"
  lists = f"mine_{int(number) + 1}"
  return {
    ce: dict(
      kind="train",
      model=ce,
      method="ranking",
      candidates=lists,
      negatives=3,
      batch_size=8,
      steps=40,
      warmup_steps=4,
      learning_rate=1e-4,
      clip=2.0,
    ),
    f"evaluate_{ce}": reranked(ce),
    f"score_{number}": dict(kind="score", params=ce, candidates=lists),
    student: distil(
      f"student_{before}",
      lists,
      f"score_{number}",
      steps=40,
      warmup_steps=4,
      learning_rate=1e-4,
    ),
    **measured(ce.replace("ce", "from_ce"), student),
    f"mine_{int(number) + 2}": mine(ce.replace("ce", "from_ce")),
  }


def on_hard_queries() -> dict:
  """Data progression: what the teacher gets right and the student wrong."""
  return dict(
    score_3=dict(kind="score", params="ce_2", candidates="mine_4"),
    divide=dict(kind="divide", scores="score_3", candidates="mine_4"),
    student_final=dict(
      distil(
        "student_ce_2",
        "mine_4",
        "score_3",
        steps=12,
        warmup_steps=2,
        learning_rate=2e-5,
      ),
      queries="divide",
      sampling="descend",
    ),
    **measured("final", "student_final"),
  )


def distil(init: str, lists: str, scores: str, **schedule) -> dict:
  """A cross-encoder's cached scores over the query's own list, with LwF."""
  return dict(
    kind="train",
    model="student",
    init=init,
    candidates=lists,
    scores=scores,
    anchor=lists,
    negatives=5,
    method="prod",
    # T and weights: README of the official code.
    settings=dict(in_batch=False, temperature=4.0, hard=0.1, soft=0.9, lwf=1.0),
    batch_size=8,
    clip=2.0,
    **schedule,
  )


def measured(name: str, params: str) -> dict:
  """Embed everything with what `params` trained, and measure it."""
  return {
    f"encode_{name}": dict(
      kind="encode", params=params, splits=("train", "test")
    ),
    f"evaluate_{name}": dict(kind="evaluate", encoded=f"encode_{name}"),
  }


def reranked(params: str) -> dict:
  """A cross-encoder measured on the dual-encoder teacher's first eight."""
  return dict(
    kind="evaluate",
    encoded="encode_teacher_de",
    rerank=params,
    rerank_depth=8,
  )


def mine(name: str) -> dict:
  """Fresh lists for the training queries."""
  return dict(kind="mine", encoded=f"encode_{name}", depth=8)


def shrink(config: ConfigDict) -> None:
  """Tiny random encoders, few queries, three steps a stage."""
  config.data.update(
    query_length=12,
    passage_length=24,
    max_queries=dict(train=128, dev=8, test=32),
  )
  for model in config.models.values():
    model.update(weights="", width=64, heads=2, mlp_width=64, depth=1)
    model.layers = ()
  for stage in config.stages.values():
    if stage.kind == "train":
      stage.update(
        steps=3, warmup_steps=1, batch_size=8, log_every=1, checkpoint_every=2
      )
  # Encoders that know nothing agree on little: keep whatever is divided.
  config.stages.divide.update(rule="nq", teacher_to=14)
