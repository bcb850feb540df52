"""PROD from end to end on real text, on two cores.

Text: docstrings of the installed Python packages (dataset `pydocs`). Weights:
all-MiniLM-L6-v2 of the `quickstart` extra, its first and last layer for the
student. The stages are those of the paper (arXiv 2209.13335, figure and
README of the official code), the sizes our own:

  warm up student and dual-encoder teacher, the latter again on what it mined;
  teacher -> student; mine; train cross-encoder 1; score; -> student with LwF;
  mine; train cross-encoder 2; score; -> student with LwF; mine; score; divide;
  last distillation.

Between them stand gates, which are ours: a teacher teaches only where it ranks
the student's own lists better on dev, and a student goes on only where it is
no worse on dev than before. What is refused is skipped, and says why.

The cross-encoders, too, are ours in one point. After as many steps as ten
minutes allow, one of them orders a list no better than the dual encoder does;
but it errs elsewhere, and both together are better than either. So a later
teacher is the mean of both (`ensemble`). Its table row is the mean's.

No larger model than this one of 6 layers is to be had from a package index, so
the second cross-encoder is not larger than the first, as it is in the paper:
it is the first one trained longer, on lists mined anew.

    make quickstart

or, with other settings,

    python -m prod_jax.main --config=configs/quickstart.py --workdir=runs/q

Variant `:runlocal` is the same list with tiny random encoders: it proves that
everything runs, in less than a minute, and learns nothing.
"""

from ml_collections import ConfigDict

from prod_jax.models.transformer import spread_layers

# Faster than 8,192 in a microbenchmark, no different over a whole stage.
BATCH_TOKENS = 1024
# Passages of a list, and queries whose lists cross-encoders train on and score;
# data progression divides more of them.
DEPTH, QUERIES, HARD_OF = 10, 256, 640
# Beside a cross-encoder: both together are the teacher.
TOGETHER = dict(ensemble="encode_teacher_de")


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  config = ConfigDict(sort_keys=False)
  config.seed = 42  # official code
  config.data = dict(
    name="pydocs",
    tokenizer="packaged",
    title_join=". ",
    query_length=20,
    passage_length=32,
    max_queries=dict(train=1536, dev=128, test=256),
    max_passages=3200,  # of 6,250: each student embeds all of them
  )
  config.mesh = dict(data=-1, fsdp=1, tensor=1)
  config.models = models()
  config.stages = ConfigDict(stages(), sort_keys=False)
  finish(config, variant)
  return config


def finish(config: ConfigDict, variant: str) -> None:
  """Logs often, because stages are short, and applies the variant."""
  if variant not in ("", "runlocal"):
    raise ValueError(f"variant {variant!r}; known: runlocal")
  for stage in config.stages.values():
    if stage.kind == "train":
      stage.log_every = 2
  if variant == "runlocal":
    shrink(config)


def models() -> dict:
  """A student of 2 layers, teachers of 6."""
  packaged = dict(weights="packaged", pooling="mean", dropout=0.0)
  dual = dict(kind="dual", similarity="cosine", scale=20.0, **packaged)
  cross = dict(kind="cross", **packaged)
  return dict(
    student=dict(layers=spread_layers(2, 6), **dual),
    teacher_de=dict(**dual),
    ce=dict(**cross),
  )


def stages() -> dict:
  """PROD, stage by stage, in the order in which they run."""
  return {
    **measured("student"),
    **warm_up(),
    **accepted("student_warm", before=encoded("student")),
    **from_dual_encoder(),
    **from_cross_encoder(1, "student_de", steps=60),
    **from_cross_encoder(2, "student_ce_1", steps=40, init="ce_1"),
    **on_hard_queries(),
  }


def warm_up() -> dict:
  """Both dual encoders learn from labels, the teacher once more.

  The second time with negatives that it mined, as official code has it.
  """
  train = dict(
    kind="train",
    method="contrastive",
    batch_size=32,
    learning_rate=2e-5,  # official code
  )
  teacher = dict(model="teacher_de", warmup_steps=2, **train)
  return dict(
    student_warm=dict(model="student", steps=32, warmup_steps=4, **train),
    **measured("student_warm"),
    teacher_warm=dict(teacher, steps=12),
    encode_teacher_warm=dict(
      kind="encode",
      params="teacher_warm",
      splits=("train",),
      batch_tokens=BATCH_TOKENS,
    ),
    mine_teacher=mine("encode_teacher_warm", depth=30),
    teacher_de=dict(
      teacher,
      init="teacher_warm",
      candidates="mine_teacher",
      negatives=1,  # official code
      steps=16,
    ),
    **measured("teacher_de"),
  )


def from_dual_encoder() -> dict:
  """The dual-encoder teacher, in-batch, its embeddings cached."""
  return dict(
    gate_de=gate("student_warm", encoded("teacher_de")),
    mine_1=mine(encoded("teacher_de"), gate="gate_de", depth=30),
    student_de=dict(
      kind="train",
      model="student",
      init="accept_student_warm",
      gate="gate_de",
      candidates="mine_1",
      scores=encoded("teacher_de"),
      negatives=1,  # official code: one positive, one hard negative
      method="prod",
      # T, hard and soft: README of the official code.
      settings=dict(in_batch=True, temperature=4.0, hard=0.1, soft=0.9),
      batch_size=32,
      steps=100,
      warmup_steps=10,
      learning_rate=3e-4,
      clip=2.0,  # official code
    ),
    **measured("student_de"),
    **accepted("student_de", before="accept_student_warm"),
  )


def from_cross_encoder(number: int, student: str, **cross_encoder) -> dict:
  """Train a cross-encoder on a student's lists, and distil it into that."""
  ce, lists = f"ce_{number}", f"mine_{number + 1}"
  return {
    # A cross-encoder learns little from the hardest negatives alone: it draws
    # from longer lists of the same retriever, as the official 100 are.
    f"{lists}_wide": mine(f"accept_{student}", depth=50),
    ce: dict(
      kind="train",
      model="ce",
      method="ranking",
      candidates=f"{lists}_wide",
      negatives=5,
      batch_size=8,
      warmup_steps=10,
      learning_rate=1e-4,
      clip=2.0,
      **cross_encoder,
    ),
    f"evaluate_{ce}": reranked(ce) | TOGETHER,
    f"gate_{ce}": gate(student, ce) | TOGETHER,
    lists: mine(
      f"accept_{student}", gate=f"gate_{ce}", depth=DEPTH, limit=QUERIES
    ),
    f"score_{number}": scored(ce, lists) | TOGETHER,
    f"student_{ce}": dict(
      distil(f"accept_{student}", lists, f"score_{number}"),
      gate=f"gate_{ce}",
      steps=40,
      warmup_steps=4,
      learning_rate=5e-5,  # official code
    ),
    **measured(f"student_{ce}"),
    **accepted(f"student_{ce}", before=f"accept_{student}"),
  }


def on_hard_queries() -> dict:
  """Data progression: what the teacher gets right and the student wrong."""
  return dict(
    gate_final=gate("student_ce_2", "ce_2") | TOGETHER,
    mine_4=mine(
      "accept_student_ce_2", gate="gate_final", depth=DEPTH, limit=HARD_OF
    ),
    score_3=scored("ce_2", "mine_4") | TOGETHER,
    # The student 2nd to 15th, the teacher 1st: official code.
    divide=dict(
      kind="divide",
      scores="score_3",
      candidates="mine_4",
      student_from=1,
      student_to=14,
      teacher_to=0,
    ),
    student_final=dict(
      distil("accept_student_ce_2", "mine_4", "score_3"),
      queries="divide",
      sampling="descend",
      steps=20,
      warmup_steps=2,
      learning_rate=1e-5,  # official code
    ),
    **measured("student_final"),
    **accepted("student_final", before="accept_student_ce_2"),
  )


def distil(init: str, lists: str, scores: str) -> dict:
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
    # Weights: README of the official code. Its T of 4 would make nearly equal
    # of these scores: an entropy of .96 of log n, says the stage's report.
    settings=dict(in_batch=False, temperature=1.0, hard=0.1, soft=0.9, lwf=1.0),
    batch_size=8,
    clip=2.0,
  )


def measured(params: str) -> dict:
  """Embed everything with what `params` trained, or is, and measure it."""
  return {
    encoded(params): dict(
      kind="encode",
      params=params,
      splits=("train", "dev", "test"),
      batch_tokens=BATCH_TOKENS,
    ),
    f"evaluate_{params}": dict(kind="evaluate", encoded=encoded(params)),
  }


def accepted(student: str, before: str) -> dict:
  """The student goes on if it is as good on dev as before, and as untrained."""
  return {
    f"accept_{student}": dict(
      kind="accept",
      encoded=encoded(student),
      before=before,
      base=encoded("student"),
    )
  }


def gate(student: str, teacher: str) -> dict:
  """The teacher teaches if it ranks the student's lists better, on dev."""
  return dict(
    kind="gate",
    encoded=f"accept_{student}",
    teacher=teacher,
    depth=DEPTH,
    batch_tokens=BATCH_TOKENS,
  )


def reranked(params: str) -> dict:
  """A cross-encoder measured on the first of the dual-encoder teacher."""
  return dict(
    kind="evaluate",
    encoded="encode_teacher_de",
    rerank=params,
    rerank_depth=DEPTH,
    batch_tokens=BATCH_TOKENS,
  )


def scored(params: str, lists: str) -> dict:
  """What a cross-encoder thinks of lists."""
  return dict(
    kind="score",
    params=params,
    candidates=lists,
    batch_tokens=BATCH_TOKENS,
  )


def encoded(params: str) -> str:
  """The stage that embeds with what `params` trained."""
  return f"encode_{params}"


def mine(source: str, depth: int = 8, **more) -> dict:
  """Fresh lists for the training queries."""
  return dict(kind="mine", encoded=source, depth=depth, **more)


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
    if "layers" in stage.get("settings", {}):
      stage.settings.layers = 1  # all that a student of these has
    # Encoders that know nothing agree on little: keep whatever is divided, ask
    # the gates and do not obey them.
    if stage.kind == "divide":
      stage.update(rule="nq", teacher_to=14)
    if stage.get("gate"):
      stage.gate = ""
    if stage.kind == "accept":
      stage.update(tolerance=1.0, base="")
  # Without weights there is no model as it is.
  for name in set(config.models) - set(config.stages):
    for stage in (encoded(name), f"evaluate_{name}"):
      if stage in config.stages:
        del config.stages[stage]
  if "accept_student_warm" in config.stages:
    config.stages.accept_student_warm.before = encoded("student_warm")
