"""What each part of PROD is worth: arms from one start, with shared teachers.

    python -m prod_jax.main --config=configs/study.py --workdir=runs/study

Every arm trains the same student for as many steps on as many queries and
passages, in three draws (`_1`, `_2`, `_3`), which differ in the order of the
data. Teachers, their lists and their scores are made once. A ladder of three:

  1  a dual encoder, from labels with as many mined negatives as the student has
  2  that and a cross-encoder, which learnt from labels and, of all queries,
     from the first: the mean of their scores
  3  the same, with the cross-encoder trained on with labels

With few labels a cross-encoder soon knows them by heart, and of other queries
it is no better a judge than the dual encoder; but it errs elsewhere, and both
together are. So the later steps are ensembles, which are ours and not the
paper's. That each step ranks better than the one before is what
`evaluate_teacher`, `evaluate_weak` and `evaluate_last` are to show: without
that, progression is not tested. The arms:

  labels       labels alone, other passages from anywhere
  mined        labels with negatives that the dual-encoder teacher mined
  de           the first teacher alone
  ce           the last one directly
  margin       the same by score margins of all pairs (as in CL-DRD's code)
  cl_drd       the same by the order of its ranking in groups
  teachers     teacher progression: the three, one after the other, the last on
               lists that the student mined anew (as the official recipe)
  data         the last one, then the divided queries of such lists
  undivided    the same, and all queries of these lists in place of the divided
  prod         both progressions
  prod_no_lwf  the same without the term that keeps what was learnt

A division is by the last teacher, and where nobody labelled a query, only of
those in which that is sure: the queries that student and teacher disagree on
are those in which the teacher, too, is often wrong. No arm has gates: one costs
as many scored pairs as an arm has left, and all arms are to have equal steps.

Labels are few, as most people's are: `data.labelled` of the training queries
keep theirs, and all others are learnt from where a method can. The tracks are
`--config.data.labelled=300`, 1000 and 0, with which all have labels. Any folder
in the MS MARCO layout does: `--config.data.name=folder --config.data.path=DIR`.

Text and weights are those of quickstart.py. Sizes are ours, for two cores.
Variants, joined by "+" where there are several:

  neighbours   three arms more, behind all others, from the same start. They
               cost more: in `lead` the dual-encoder teacher is part of the
               step and learns on; `pair_distill` has a pairwise teacher
               besides; `adam` learns from dark examples, which are made of
               labelled queries alone. Beside `given` the pairwise teacher
               has the run's own few labels, and lists of ten; beside `rising`
               that of `lead` is the first one, which nobody trained
  layers3      a student of three layers
  mpnet        all-mpnet-base-v2, which `make mpnet` fetches, as dual-encoder
               teacher and as the last cross-encoder: 12 layers of width 768,
               6 of 384, 12 of 768
  long         three times the steps of every part of every arm, which see a
               query once or twice without it
  runlocal     tiny encoders and one draw of all arms, in a minute

A stage that these do not touch keeps its number and its hash. So a run goes on
with `neighbours`, and a copy of its folder has the teachers that `layers3`
needs. Two more make the teachers elsewhere, as those are that most people have:

  teachers     the three teachers alone, of labels that no student sees
  given        the arms, with the teachers' folders in place of their training

    python -m benchmarks.study_split DIR TO --students=1024
    python -m prod_jax.main --config=configs/study.py:teachers \
      --config.data.name=folder --config.data.path=TO/teachers \
      --workdir=runs/teachers
    for name in teacher ce_weak ce_strong; do
      python -m prod_jax.cli.export --workdir=runs/teachers --stage=$name \
        --to=runs/teachers/folders/$name
    done
    python -m prod_jax.main --config=configs/study.py:given \
      --config.data.name=folder --config.data.path=TO/students \
      --workdir=runs/given

The dual encoder that comes out of that is as good as the cross-encoders, and a
ladder whose rungs are level tests little. Two more of `given` let the cross-
encoders judge alone, as in the paper, over all passages, for twice as many
queries. `given+rising` has another first rung, the one that everyone has:
all-MiniLM-L6-v2 as it is. `given+falling` keeps that rung and gives it half of
the steps of what climbs the ladder, at the rate of all arms; each rung above
has a lower rate. A dual encoder ranks a whole batch in a step, and what it
taught is not to be undone by steps of six passages a query.
"""

import adam
import lead
import pair_distill
import quickstart
from ml_collections import ConfigDict

from prod_jax import packaged
from prod_jax.models.transformer import spread_layers

VARIANTS = ("neighbours", "layers3", "mpnet", "long", "runlocal")
# With what may stand beside each.
ELSEWHERE = {
  "teachers": ("layers3", "runlocal"),
  "given": (
    "falling",
    "layers3",
    "long",
    "neighbours",
    "rising",
    "runlocal",
  ),
}
RISING, FALLING = "rising", "falling"  # of `given`
GIVEN = "runs/teachers/folders"  # where `given` looks for its teachers
DRAWS = (1, 2, 3)
BATCH, STEPS = 12, 160  # of every arm
# Of them on divided queries, which are few: three or four times each, and at a
# fifth of the rate before (README of the official code).
DIVIDED_STEPS, DIVIDED_RATE = 24, 4e-5
LOWER_STEPS = 24  # of each teacher below the last, which has the most to teach
LONG = 3  # times these, in the variant of that name
# Steps and rate of each part in the variant `falling`. Official code has 5e-5
# and as many steps on each rung, and 1e-5 on the divided queries.
FALLING_PARTS = {
  "_part_1": (STEPS // 2, 2e-4),
  "_part_2": (LOWER_STEPS, 5e-5),
  "_part_3": (STEPS // 2 - LOWER_STEPS - DIVIDED_STEPS, 5e-5),
  "": (DIVIDED_STEPS, 2e-5),
}
LISTS, WIDE = "lists", "lists_wide"
WEAK, LAST = "score_weak", "score_last"
DEPTH, MINED_OF, NEGATIVES = 10, 1024, 5
CLIMBING = ("teachers_", "prod_")  # arms that climb the ladder
MINED, DIVIDED = "mined", "divided"  # in place of a stage of an arm
CONFIDENCE = 0.5  # of the teacher in its first passage, in place of a label


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "", or names joined by "+"."""
  chosen = _chosen(variant)
  is_small = "runlocal" in chosen
  config = quickstart.get_config()
  config.data.update(
    labelled=300, max_queries=dict(train=1024), max_passages=4000
  )
  del config.data.max_queries.test  # all that there are
  if "teachers" in chosen:
    config.data.update(labelled=0, max_passages=5000)
    config.data.max_queries.train = 3000
  draws = [f"_{draw}" for draw in (DRAWS[:1] if is_small else DRAWS)]
  stages = _before(chosen)
  if "teachers" not in chosen:
    for draw in draws:
      stages |= arms(draw)
  if "neighbours" in chosen or (is_small and not chosen & set(ELSEWHERE)):
    config.models.duo = ConfigDict(
      dict(weights="packaged", dropout=0.0, **pair_distill.MODELS["duo"])
    )
    # Dark examples are tokens of the model that judges them, and the student
    # has to read these: not those of MPNet.
    stages |= neighbours_teachers(
      judge="ce_weak" if "mpnet" in chosen else "ce_strong",
      wide=LISTS if "given" in chosen else WIDE,
    )
    for draw in draws:
      stages |= neighbours(draw)
  config.stages = ConfigDict(stages, sort_keys=False)
  if "teachers" in chosen:  # there are labels for more of them
    config.stages.ce_strong.update(steps=300, warmup_steps=30)
  if "layers3" in chosen:
    config.models.student.layers = spread_layers(3, 6)
  if "mpnet" in chosen:
    _with_mpnet(config)
  if FALLING in chosen:
    _with_falling_rates(config)
  if "long" in chosen:
    _with_more_steps(config)
  quickstart.finish(config, "runlocal" if is_small else "")
  if "given" in chosen:
    _with_given(config)
  if RISING in chosen:
    config.models.teacher.weights = "packaged"
  if chosen & {RISING, FALLING}:
    _with_teachers_alone(config)
  if is_small:
    config.data.update(labelled=40, max_passages=400)
    if "mine_teacher" in config.stages:
      config.stages.mine_teacher.encoded = quickstart.encoded("start")
    for stage in config.stages.values():
      if stage.kind == "divide":
        stage.confidence = 0.0
  return config


def _chosen(variant: str) -> set[str]:
  """The names of a variant; ValueError for what do not go together."""
  chosen = set(filter(None, variant.split("+")))
  of_given = chosen & {RISING, FALLING}
  if chosen - {*VARIANTS, *ELSEWHERE, *of_given}:
    known = ", ".join([*VARIANTS, *ELSEWHERE, RISING, FALLING])
    raise ValueError(f"variant {variant!r}; known: {known}")
  if of_given and "given" not in chosen:
    name = min(of_given)
    raise ValueError(f"{name!r} is of 'given'; name given+{name}")
  for name, beside in ELSEWHERE.items():
    if name in chosen and (others := chosen - {name, *beside}):
      raise ValueError(
        f"variant {variant!r}: beside {name!r} stand {', '.join(beside)} and "
        f"no {' or '.join(sorted(others))}"
      )
  return chosen


def _before(chosen: set[str]) -> dict:
  """What stands in front of all arms."""
  if "teachers" in chosen:
    # The lists that they learn from, and how well they do.
    trained = quickstart.measured("teacher_de") | teachers()
    del trained[LISTS]
    # A tiny model is none as it is: what it mines with has learnt first.
    return start() | trained if "runlocal" in chosen else trained
  if "given" in chosen:
    made = quickstart.measured("teacher") | lists()
    return start() | made | judged() | scores()
  # Models as they are come first.
  return (
    quickstart.measured("student")
    | quickstart.measured("teacher_de")
    | start()
    | teachers()
    | judged()
    | scores()
  )


def start() -> dict:
  """The student as it is, and after labels."""
  return {
    **quickstart.measured("student"),
    "start": dict(_labels(), model="student", steps=40, warmup_steps=4),
    **quickstart.measured("start"),
  }


def teachers() -> dict:
  """A dual encoder on what it mined, and a cross-encoder, twice."""
  cross = dict(
    kind="train",
    model="ce",
    method="ranking",
    # A cross-encoder learns little from the hardest negatives alone.
    candidates=WIDE,
    negatives=5,
    batch_size=8,
    clip=2.0,
  )
  return {
    # By the untrained encoder: to embed and to mine once more would cost as
    # much as the half of its training.
    "mine_teacher": quickstart.mine("encode_teacher_de", depth=30),
    "teacher": dict(
      _labels(),
      model="teacher_de",
      candidates="mine_teacher",
      negatives=NEGATIVES,
      batch_size=BATCH,
      steps=120,
      warmup_steps=12,
      learning_rate=5e-5,
      clip=2.0,
    ),
    **quickstart.measured("teacher"),
    **lists(),
    WIDE: quickstart.mine("encode_teacher", depth=30, queries="all"),
    "ce_weak": dict(
      cross, **_from_both(), steps=100, warmup_steps=10, learning_rate=1e-4
    ),
    # Labels alone: where it is to err is not where the dual encoder errs.
    "ce_strong": dict(
      cross, init="ce_weak", steps=60, warmup_steps=6, learning_rate=5e-5
    ),
  }


def judged() -> dict:
  """How well the cross-encoders rank, alone and beside the dual encoder."""
  return {
    "evaluate_ce_strong": _reranked("ce_strong"),
    "evaluate_weak": _reranked("ce_weak") | _TOGETHER,
    "evaluate_last": _reranked("ce_strong") | _TOGETHER,
  }


def lists() -> dict:
  """Lists of all queries, which every arm but `labels` learns from."""
  return {LISTS: quickstart.mine("encode_teacher", depth=DEPTH, queries="all")}


def scores() -> dict:
  """What the two upper teachers think of the lists."""
  return {
    WEAK: quickstart.scored("ce_weak", LISTS) | _TOGETHER,
    LAST: quickstart.scored("ce_strong", LISTS) | _TOGETHER,
  }


def arms(draw: str) -> dict:
  """Every arm, in one draw."""
  lists = dict(candidates=LISTS, negatives=NEGATIVES)
  de = dict(lists, method="prod", scores="encode_teacher", settings=_kl(True))
  weak, strong = (
    dict(lists, method="prod", scores=scores, settings=_kl(False))
    for scores in (WEAK, LAST)
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
  made = _whole(whole, draw)
  last = DIVIDED_STEPS
  lower = [(LOWER_STEPS, de), (LOWER_STEPS, weak)]
  upper = STEPS - 2 * LOWER_STEPS
  both = [*lower, (upper - last, MINED), (last, DIVIDED)]
  progressions = {
    "teachers": [*lower, (upper, MINED)],
    "data": [(STEPS - last, strong), (last, DIVIDED)],
    "prod": both,
    "prod_no_lwf": both,
  }
  for name, stages in progressions.items():
    keeps = name not in ("data", "prod_no_lwf")
    made |= _in_parts(f"{name}{draw}", stages, keeps=keeps)
  # What of that is the lists', and what is the choice of queries.
  made[f"undivided{draw}"] = made[f"data{draw}"] | dict(queries="")
  return made | quickstart.measured(f"undivided{draw}")


def neighbours_teachers(judge: str, wide: str) -> dict:
  """What PairDistill's and ADAM's teachers say, of more than the scores.

  Args:
    judge: the cross-encoder that scores dark examples, and their lists.
    wide: the lists that the pairwise teacher learns from.
  """
  duo = pair_distill.pair_distill()
  labelled, of_labelled = "lists_labelled", "score_labelled"
  return {
    "duo": dict(duo["duo"], candidates=wide, steps=150, warmup_steps=10),
    "compare": dict(duo["compare"], candidates=LISTS, scores=LAST),
    labelled: quickstart.mine("encode_teacher", depth=DEPTH),
    of_labelled: quickstart.scored(judge, labelled),
    "darken": dict(adam.adam()["darken"], params=judge, candidates=labelled),
  }


def neighbours(draw: str) -> dict:
  """LEAD, PairDistill and ADAM as their own configs set them, in one draw."""
  settings = dict(
    lead=lead.lead()["lead_teacher_de"]["settings"],
    pair_distill=pair_distill.pair_distill()["pair_distill"]["settings"],
    adam=dict(adam.adam()["adam"]["settings"], over=STEPS // 2),
  )
  reads = dict(
    lead=dict(candidates=LISTS, teacher="teacher", joint=True),
    pair_distill=dict(candidates=LISTS, scores=LAST, pairs="compare"),
    adam=dict(
      candidates="lists_labelled", scores="score_labelled", dark="darken"
    ),
  )
  whole = {
    name: dict(
      reads[name], method=name, negatives=NEGATIVES, settings=settings[name]
    )
    for name in reads
  }
  return _whole(whole, draw)


def _whole(stages: dict, draw: str) -> dict:
  """Arms of a single stage, by name."""
  made = {}
  for name, stage in stages.items():
    made |= _in_parts(f"{name}{draw}", [(STEPS, stage)])
  return made


def _in_parts(name: str, parts: list, keeps: bool = False) -> dict:
  """Train stages one behind the other.

  Args:
    name: of the arm and of its last stage.
    parts: (steps, stage) of each; in place of a stage MINED, the last teacher
      on lists that the student mined anew, or DIVIDED, on the divided queries
      of such lists.
    keeps: later stages have the term that keeps what was learnt.
  """
  made, before = {}, "start"
  for number, (steps, stage) in enumerate(parts, 1):
    last = number == len(parts)
    own = name if last else f"{name}_part_{number}"
    if stage in (MINED, DIVIDED):
      made |= _mined(own, before)
      chosen = {}
      if stage == DIVIDED:
        made |= _divided(own)
        chosen = dict(queries=f"divide_{own}", learning_rate=DIVIDED_RATE)
      stage = dict(
        method="prod",
        candidates=f"mine_{own}",
        scores=f"score_{own}",
        negatives=NEGATIVES,
        settings=_kl(False),
        **chosen,
      )
    shared = dict(
      kind="train",
      model="student",
      init=before,
      batch_size=BATCH,
      steps=steps,
      warmup_steps=steps // 10,
      learning_rate=2e-4,
      clip=2.0,  # official code
    )
    made[own] = shared | stage
    if keeps and number > 1:
      settings = dict(stage["settings"], lwf=1.0)
      made[own].update(settings=settings, anchor="start")
    before = own
  return made | quickstart.measured(name)


def _mined(name: str, student: str) -> dict:
  """What a student finds, and the last teacher's scores of it."""
  return {
    f"embed_{name}": dict(
      kind="encode",
      params=student,
      splits=("train",),
      batch_tokens=quickstart.BATCH_TOKENS,
    ),
    f"mine_{name}": quickstart.mine(
      f"embed_{name}", depth=DEPTH, queries="all", limit=MINED_OF
    ),
    f"score_{name}": quickstart.scored("ce_strong", f"mine_{name}") | _TOGETHER,
  }


def _divided(name: str) -> dict:
  """The queries on which that teacher is right and the student is not."""
  return {
    # The student 2nd to 15th, the teacher 1st: official code.
    f"divide_{name}": dict(
      kind="divide",
      scores=f"score_{name}",
      candidates=f"mine_{name}",
      student_from=1,
      student_to=14,
      teacher_to=0,
      confidence=CONFIDENCE,
    ),
  }


def _labels() -> dict:
  return dict(
    kind="train", method="contrastive", batch_size=32, learning_rate=1e-4
  )


def _kl(in_batch: bool) -> dict:
  # Weights: README of the official code, which has T = 4 for its scores.
  return dict(in_batch=in_batch, temperature=1.0, hard=0.1, soft=0.9)


def _from_both() -> dict:
  """A cross-encoder's labels, and all queries as the dual encoder sees them."""
  return dict(
    scores="encode_teacher", settings=dict(hard=1.0, soft=1.0, temperature=1.0)
  )


def _with_mpnet(config: ConfigDict) -> None:
  """A dual encoder of 12 layers, and a cross-encoder of as many at the end."""
  twelve = dict(weights=str(packaged.mpnet_target()))
  config.models.teacher_de.update(twelve)
  config.models.ce_12 = ConfigDict(dict(config.models.ce, **twelve))
  # Another model: it begins anew, with the steps of both others together.
  config.stages.ce_strong.update(
    model="ce_12", init="", steps=160, warmup_steps=16, learning_rate=3e-5
  )
  config.stages.ce_strong.update(_from_both())


def _with_more_steps(config: ConfigDict) -> None:
  for name, stage in config.stages.items():
    if stage.kind == "train" and stage.model == "student" and name != "start":
      stage.steps *= LONG
      stage.warmup_steps *= LONG
      if stage.method == "adam":
        stage.settings.over *= LONG


def _with_falling_rates(config: ConfigDict) -> None:
  for name, stage in config.stages.items():
    arm, _, part = name.partition("_part_")
    if not arm.startswith(CLIMBING) or stage.kind != "train":
      continue
    steps, rate = FALLING_PARTS[f"_part_{part}" if part else ""]
    if arm.startswith("teachers_") and not part:  # which divides nothing
      steps, rate = STEPS // 2 - LOWER_STEPS, FALLING_PARTS["_part_3"][1]
    stage.update(steps=steps, warmup_steps=steps // 10, learning_rate=rate)


def _with_given(config: ConfigDict) -> None:
  """Teachers that are folders: no stage trains them."""
  for name, old in (
    ("teacher", "teacher_de"),
    ("ce_weak", "ce"),
    ("ce_strong", "ce"),
  ):
    model = dict(config.models[old], weights=f"{GIVEN}/{name}")
    config.models[name] = ConfigDict(model)
  del config.models.teacher_de, config.models.ce


def _with_teachers_alone(config: ConfigDict) -> None:
  config.data.update(max_passages=0)
  config.data.max_queries.train = 2048
  del config.stages.evaluate_ce_strong  # as evaluate_last is here
  for stage in config.stages.values():
    if stage.get("ensemble"):
      del stage.ensemble


def _reranked(params: str) -> dict:
  return dict(quickstart.reranked(params), encoded="encode_teacher")


_TOGETHER = dict(ensemble="encode_teacher")
# The first two in their order, two of the next four, two of the rest.
_GROUPS = dict(sizes=(2, 2, 2), depths=(2, 6, DEPTH))
