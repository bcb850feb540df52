"""A loss from which a student learns nothing is refused where it is set."""

import pytest

from prod_jax import strict
from prod_jax.methods import adam, lead, pair_distill, prod, ranking
from prod_jax.methods.scoring import Sources
from tests.methods.batches import CROSS, DEEP_CROSS, DEEP_DUAL, DUAL

PROD = dict(in_batch=False, temperature=1.0)
# Of each method what else it needs, and the weights of what a student learns.
METHODS = [
  (prod, PROD | dict(lwf=1.0), ("hard", "soft")),
  (prod, PROD | dict(hard=0.0, soft=1.0, kd="dkd"), ("alpha", "beta")),
  (adam, {}, ("hard", "soft", "dark")),
  # The weight `teacher` is of what the teacher learns.
  (lead, dict(in_batch=True), ("student", "response", "layer")),
  (ranking, {}, ("hard", "soft")),
]


@pytest.mark.parametrize(("method", "needed", "weights"), METHODS)
def test_one_term_has_a_weight(method, needed, weights):
  nothing = needed | dict.fromkeys(weights, 0.0)
  with pytest.raises(strict.ConfigError) as error:
    strict.section(method.Settings, nothing, "config.stages.s.settings")
  names = " and ".join(weights)
  assert str(error.value).startswith(
    f"config.stages.s.settings.{names} are 0, which leaves nothing"
  )
  for weight in weights:
    settings = strict.section(method.Settings, nothing | {weight: 0.5}, "x")
    assert getattr(settings, weight) == 0.5


def test_weights_of_dkd_are_its_own():
  given = PROD | dict(hard=0.1, soft=0.9, kd="dkd", alpha=0.0, beta=0.0)
  with pytest.raises(strict.ConfigError, match="alpha and beta are 0"):
    strict.section(prod.Settings, given, "x")
  for unread in (dict(kd="softmax"), dict(soft=0.0)):
    assert strict.section(prod.Settings, given | unread, "x").beta == 0


def test_of_two_teachers_one_has_a_say():
  given = dict(in_batch=True, temperature=1.0, hard=1.0, soft=0.0, larger=True)
  with pytest.raises(strict.ConfigError, match="soft=0 lets neither speak"):
    strict.section(prod.Settings, given, "x")


def test_of_lead_labels_alone_teach_no_query_without_one():
  weights = dict(in_batch=True, response=0.0)
  for layer in (0.0, 1.0):
    settings = lead.Settings(**weights, layer=layer)
    assert lead.learns_unlabelled(settings) == bool(layer)


# Of each role, a method without a weight of what reads it, and that weight.
CACHED = Sources("scores", own_list=4)
IN_STEP = Sources("step", model=DEEP_CROSS, own_list=4)
LABELS = PROD | dict(hard=1.0, soft=0.0)
UNREAD = [
  ("teacher", prod, LABELS, DUAL, CACHED, ["soft"]),
  ("anchor", prod, PROD | dict(hard=1.0, soft=1.0), DUAL, CACHED, ["lwf"]),
  ("teacher", ranking, {}, CROSS, CACHED, ["soft"]),
  (
    "teacher",
    lead,
    dict(in_batch=False, layers=1, response=0.0, layer=0.0),
    DEEP_DUAL,
    IN_STEP,
    ["response", "layer"],
  ),
  ("teacher", adam, dict(soft=0.0, dark=0.0), DUAL, CACHED, ["soft", "dark"]),
  ("pairs", pair_distill, dict(pairs=0.0), DUAL, CACHED, ["pairs"]),
]


@pytest.mark.parametrize(
  ("role", "method", "given", "student", "there", "weights"), UNREAD
)
def test_what_a_stage_has_is_read(role, method, given, student, there, weights):
  beside = frozenset({role, "dark"} if method is adam else {role} - {"teacher"})
  sources = there._replace(beside=beside)
  with pytest.raises(strict.ConfigError) as error:
    method.make(method.Settings(**given), student, sources)
  is_needed = method in (adam, lead)
  unread = " and ".join(f"{weight}=0" for weight in weights)
  remedy = " or ".join(f"settings.{weight}" for weight in weights)
  assert str(error.value).endswith(
    f"nothing reads the stage's {role} where {unread}; set {remedy} above 0, "
    + "or "
    + ("take another method" if is_needed else f"leave the {role} out")
  )
  for weight in weights:
    assert callable(
      method.make(method.Settings(**given | {weight: 1.0}), student, sources)
    )


def test_a_joint_teacher_reads_labels():
  """Both models on labels: what LEAD's other terms are held against."""
  joint = IN_STEP._replace(joint=True)
  settings = dict(in_batch=False, layers=1, response=0.0, layer=0.0)
  assert callable(lead.make(lead.Settings(**settings), DEEP_DUAL, joint))
  with pytest.raises(strict.ConfigError, match=r"settings\.teacher above 0"):
    lead.make(lead.Settings(**settings, teacher=0.0), DEEP_DUAL, joint)


def test_scores_that_negatives_are_drawn_by_need_no_weight():
  drawn = CACHED._replace(draws=True)
  assert callable(prod.make(prod.Settings(**LABELS), DUAL, drawn))
