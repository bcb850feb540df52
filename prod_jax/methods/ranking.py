"""Listwise cross-entropy of a cross-encoder over its own list.

The localised contrastive loss of Gao et al. (arXiv 2101.08751), which is how
PROD trains its cross-encoder teachers: one positive, N - 1 mined negatives.

  loss = hard * CE + soft * T^2 KL(teacher || model)

The second term, which PROD has for students alone, lets a cross-encoder learn
from queries that nobody labelled: a dual encoder says how their lists lie.
"""

import dataclasses
from typing import Any

import jax

from prod_jax.batch import Batch
from prod_jax.losses import contrastive, listwise
from prod_jax.methods import scoring
from prod_jax.methods.scoring import Sources
from prod_jax.models.cross import CrossEncoder
from prod_jax.ranges import NotNegative, Positive
from prod_jax.train.step import Loss, LossFn, Rng

TRAINS = ("cross",)  # the kinds of model
READS = ("teacher",)  # names of Sources


@dataclasses.dataclass(frozen=True)
class Settings:
  """Weights of labels and teacher.

  Attributes:
    hard, soft: weights of the labels and of the teacher's distribution.
    temperature: divisor T of both scores in the latter.
  """

  hard: NotNegative = 1.0
  soft: NotNegative = 0.0
  temperature: Positive = 1.0

  def __post_init__(self) -> None:
    scoring.need_a_weight(self, "hard", "soft")


def make(settings: Settings, student: CrossEncoder, sources: Sources) -> LossFn:
  """Builds loss_fn(params, frozen, batch, rng) -> (loss, metrics).

  Raises:
    ConfigError: when there is a teacher without a weight, or a weight without
      a teacher, or there is nothing to compare.
  """
  if settings.soft:
    scoring.need_teacher("ranking", sources, in_batch=False)
  scoring.need_a_say("ranking", settings, sources, "teacher", "soft")
  scoring.need_candidates("ranking", sources, in_batch=False)
  T = settings.temperature

  def loss_fn(params: Any, frozen: Any, batch: Batch, rng: Rng) -> Loss:
    scores_BN = scoring.score(
      student, params, batch, in_batch=False, dropout_key=rng.dropout
    )
    target_B, where_BN = scoring.columns(batch, in_batch=False)
    with jax.named_scope("ce"):
      ce_B = contrastive.cross_entropy(scores_BN, target_B, where=where_BN)
    loss_B = settings.hard * ce_B
    if not settings.soft:
      return loss_B.mean(), {}
    teacher_BN = scoring.teacher_scores(sources, frozen, batch, in_batch=False)
    with jax.named_scope("kd"):
      kd_B = listwise.kl(
        scores_BN,
        teacher_BN,
        where=where_BN,
        student_temperature=T,
        teacher_temperature=T,
        scale=T * T,
      )
    loss = (loss_B + settings.soft * kd_B).mean()
    return loss, {"ce": ce_B.mean(), "kd": kd_B.mean()}

  return loss_fn


def learns_unlabelled(settings: Settings) -> bool:
  """Whether a teacher has a say."""
  return bool(settings.soft)


def temperatures(settings: Settings) -> tuple[float, float]:
  """What divides the teacher's scores, and what the model's."""
  return settings.temperature, settings.temperature
