"""What each part of PROD is worth: arms from one start, with shared teachers.

    python -m prod_jax.main --config=configs/study.py --workdir=runs/study

Every arm trains the same student for as many steps on as many queries and
passages, in three draws (`_1`, `_2`, `_3`), which differ in the order of the
data. Teachers, their lists and their scores are made once. The arms:

  labels       labels alone, other passages from anywhere
  mined        labels with negatives that the dual-encoder teacher mined
  de           the dual-encoder teacher alone
  ce           the stronger cross-encoder directly
  margin       the same by score margins of all pairs (as in CL-DRD's code)
  cl_drd       the same by the order of its ranking in groups
  teachers     teacher progression: dual encoder, cross-encoder, stronger one
  data         the stronger cross-encoder, then the divided queries
  prod         both progressions
  prod_no_lwf  the same without the term that keeps what was learnt

Labels are few, as most people's are: `data.labelled` of the training queries
keep theirs, and all others are learnt from where a method can. With
`--config.data.labelled=0` all have labels. Any folder in the MS MARCO layout
does: `--config.data.name=folder --config.data.path=DIR`.

Text and weights are those of quickstart.py. Sizes are ours, for two cores.
Variant `:runlocal` is the list with tiny encoders and one draw.
"""

import quickstart
from ml_collections import ConfigDict

DRAWS = (1, 2, 3)
STEPS = 160  # of every arm
LISTS, WEAK, STRONG = "lists", "score_weak", "score_strong"
DEPTH, DIVIDED_OF, NEGATIVES = 16, 384, 5


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  config = quickstart.get_config()
  config.data.update(
    labelled=300,
    max_queries=dict(train=1024, dev=128, test=512),
    max_passages=4000,
  )
  draws = DRAWS[:1] if variant == "runlocal" else DRAWS
  stages = start() | teachers()
  for draw in draws:
    stages |= arms(f"_{draw}")
  config.stages = ConfigDict(stages, sort_keys=False)
  quickstart.finish(config, variant)
  if variant == "runlocal":
    config.data.update(labelled=40, max_passages=400)
    config.stages.mine_teacher.encoded = quickstart.encoded("start")
  return config


def start() -> dict:
  """Student and dual-encoder teacher as they are, and after labels."""
  return {
    **quickstart.measured("student"),
    **quickstart.measured("teacher_de"),
    "start": dict(_labels(), model="student", steps=40, warmup_steps=4),
    **quickstart.measured("start"),
  }


def teachers() -> dict:
  """A dual encoder on what it mined, and a cross-encoder, twice as long."""
  cross = dict(
    kind="train",
    model="ce",
    method="ranking",
    # A cross-encoder learns little from the hardest negatives alone.
    candidates="lists_wide",
    negatives=5,
    batch_size=8,
    steps=150,
    warmup_steps=10,
    learning_rate=1e-4,
    clip=2.0,
  )
  return {
    "mine_teacher": quickstart.mine("encode_teacher_de", depth=30),
    "teacher": dict(
      _labels(),
      model="teacher_de",
      candidates="mine_teacher",
      negatives=1,
      steps=40,
      warmup_steps=4,
      learning_rate=2e-5,
    ),
    **quickstart.measured("teacher"),
    LISTS: quickstart.mine("encode_teacher", depth=DEPTH, queries="all"),
    "lists_wide": quickstart.mine("encode_teacher", depth=50),
    "ce_weak": dict(cross),
    "ce_strong": dict(cross, init="ce_weak"),
    **{f"evaluate_{ce}": _reranked(ce) for ce in ("ce_weak", "ce_strong")},
    WEAK: quickstart.scored("ce_weak", LISTS),
    STRONG: quickstart.scored("ce_strong", LISTS),
  }


def arms(draw: str) -> dict:
  """Every arm, in one draw."""
  lists = dict(candidates=LISTS, negatives=NEGATIVES)
  de = dict(lists, method="prod", scores="encode_teacher", settings=_kl(True))
  weak, strong = (
    dict(lists, method="prod", scores=scores, settings=_kl(False))
    for scores in (WEAK, STRONG)
  )
  groups = dict(sampling="groups", sampling_settings=_GROUPS, negatives=0)
  whole = {
    "labels": dict(method="contrastive", negatives=NEGATIVES),
    "mined": dict(lists, method="contrastive"),
    "de": de,
    "ce": strong,
    "margin": dict(strong, method="margin_mse", settings=dict(margins="all")),
    "cl_drd": dict(strong, method="cl_drd", settings={}, **groups),
  }
  made = {}
  for name, stage in whole.items():
    made |= _in_parts(f"{name}{draw}", [(STEPS, stage)])
  parts = STEPS // 4
  progressions = {
    "teachers": [(2 * parts, de), (parts, weak), (parts, strong)],
    "data": [(3 * parts, strong), (parts, None)],
    "prod": [(parts, de), (parts, weak), (parts, strong), (parts, None)],
    "prod_no_lwf": [(parts, de), (parts, weak), (parts, strong), (parts, None)],
  }
  for name, stages in progressions.items():
    keeps = name not in ("data", "prod_no_lwf")
    made |= _in_parts(f"{name}{draw}", stages, keeps=keeps)
  return made


def _in_parts(name: str, parts: list, keeps: bool = False) -> dict:
  """Train stages one behind the other; None is one on divided queries.

  Args:
    name: of the arm and of its last stage.
    parts: (steps, what it learns from) of each.
    keeps: later stages have the term that keeps what was learnt.
  """
  made, before = {}, "start"
  for number, (steps, stage) in enumerate(parts, 1):
    last = number == len(parts)
    own = name if last else f"{name}_part_{number}"
    if stage is None:
      made |= _divided(name, before)
      stage = dict(
        method="prod",
        candidates=f"mine_{name}",
        scores=f"score_{name}",
        queries=f"divide_{name}",
        negatives=NEGATIVES,
        settings=_kl(False),
      )
    made[own] = dict(
      kind="train",
      model="student",
      init=before,
      batch_size=12,
      steps=steps,
      warmup_steps=steps // 10,
      learning_rate=2e-4,
      clip=2.0,  # official code
      **stage,
    )
    if keeps and number > 1:
      settings = dict(stage["settings"], lwf=1.0)
      made[own].update(settings=settings, anchor="start")
    before = own
  return made | quickstart.measured(name)


def _divided(name: str, student: str) -> dict:
  """What a student finds, the stronger teacher's scores, and the division."""
  return {
    f"embed_{name}": dict(
      kind="encode",
      params=student,
      splits=("train",),
      batch_tokens=quickstart.BATCH_TOKENS,
    ),
    f"mine_{name}": quickstart.mine(
      f"embed_{name}", depth=DEPTH, queries="all", limit=DIVIDED_OF
    ),
    f"score_{name}": quickstart.scored("ce_strong", f"mine_{name}"),
    # The student 2nd to 15th, the teacher 1st: official code.
    f"divide_{name}": dict(
      kind="divide",
      scores=f"score_{name}",
      candidates=f"mine_{name}",
      student_from=1,
      student_to=14,
      teacher_to=0,
    ),
  }


def _labels() -> dict:
  return dict(
    kind="train", method="contrastive", batch_size=32, learning_rate=1e-4
  )


def _kl(in_batch: bool) -> dict:
  # Weights: README of the official code, which has T = 4 for its scores.
  return dict(in_batch=in_batch, temperature=1.0, hard=0.1, soft=0.9)


def _reranked(params: str) -> dict:
  return dict(quickstart.reranked(params), encoded="encode_teacher")


# The first two in their order, two of the next four, two of the rest.
_GROUPS = dict(sizes=(2, 2, 2), depths=(2, 6, DEPTH))
