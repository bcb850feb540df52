"""PROD: progressive distillation for dense retrieval (arXiv 2209.13335).

One stage of it: a student learns from labels, from a frozen teacher's score
distribution, and keeps what it knew when the stage began (learning without
forgetting, LwF). The progression itself is a list of stages in a config.

  loss = hard * CE + soft * KD + lwf * T^2 KL(anchor || student)
"""

import dataclasses
from typing import Any, Literal

import jax

from prod_jax import strict
from prod_jax.batch import Batch
from prod_jax.losses import contrastive, listwise, pairwise
from prod_jax.methods import scoring
from prod_jax.methods.scoring import Encoder, Sources
from prod_jax.models.dual import DualEncoder

TRAINS = "dual"  # the kind of model


@dataclasses.dataclass(frozen=True)
class Settings:
  """Weights and temperature of a stage.

  Attributes:
    in_batch: against all passages of the batch (dual-encoder teachers), or
      over the query's own list (cross-encoder teachers).
    temperature: divisor of student and teacher scores in KD and LwF.
    hard, soft, lwf: weights of the three terms; they need not sum to 1.
    kd: what matches the teacher: "softmax" is T^2 KL, "logit" half the squared
      difference, "dkd" the decoupled KL.
    alpha, beta: target and non-target weight of "dkd".
  """

  in_batch: bool
  temperature: float
  hard: float
  soft: float
  lwf: float = 0.0
  kd: Literal["softmax", "logit", "dkd"] = "softmax"
  alpha: float = 1.0
  beta: float = 1.0

  def __post_init__(self):
    if self.in_batch and self.lwf:
      raise strict.ConfigError(
        "method prod: lwf is defined on the query's own list; set lwf=0 or "
        "in_batch=False"
      )


def make(
  settings: Settings,
  student: DualEncoder,
  *,
  teacher: Encoder | None,
  sources: Sources,
):
  """Builds loss_fn(params, frozen, batch, key) -> (loss, metrics).

  Args:
    settings: of the stage.
    student: the model that is trained.
    teacher: runs in the step with `frozen["teacher"]`; None where the batch
      carries the teacher's cached scores or embeddings.
    sources: what the stage offers besides labels. `frozen["anchor"]` holds
      the student's parameters as the stage began, unless the batch carries
      its scores.

  Raises:
    ConfigError: when a weighted term has nothing to read.
  """
  _check(settings, sources)

  def loss_fn(params: Any, frozen: Any, batch: Batch, key: jax.Array):
    s_BX = scoring.score(
      student, params, batch, in_batch=settings.in_batch, dropout_key=key
    )
    target_B, where_BX = scoring.columns(batch, in_batch=settings.in_batch)
    t_BX = _teacher_scores(settings, teacher, frozen, batch)
    ce_B = contrastive.cross_entropy(s_BX, target_B, where=where_BX)
    kd_B = distance(settings, s_BX, t_BX, target_B, where_BX)
    loss_B = settings.hard * ce_B + settings.soft * kd_B
    metrics = {"ce": ce_B.mean(), "kd": kd_B.mean()}
    if settings.lwf:
      anchor_BN = scoring.frozen_scores(
        student, frozen.get("anchor"), batch, batch.anchor_BN, in_batch=False
      )
      lwf_B = _kl(settings, s_BX, anchor_BN, where_BX)
      loss_B = loss_B + settings.lwf * lwf_B
      metrics["lwf"] = lwf_B.mean()
    return loss_B.mean(), metrics

  return loss_fn


def _teacher_scores(
  settings: Settings, teacher: Encoder | None, frozen: Any, batch: Batch
) -> jax.Array:
  cached = batch.teacher_BN
  if batch.teacher_query_BD is not None:
    cached = scoring.dot(
      batch.teacher_query_BD,
      batch.teacher_passage_BND,
      in_batch=settings.in_batch,
    )
  return scoring.frozen_scores(
    teacher,
    frozen.get("teacher"),
    batch,
    cached,
    in_batch=settings.in_batch,
  )


def _check(settings: Settings, sources: Sources) -> None:
  if settings.soft and not sources.teacher:
    raise strict.ConfigError(
      "method prod: soft > 0 needs a teacher; set teacher or scores"
    )
  if settings.lwf and not sources.anchor:
    raise strict.ConfigError(
      'method prod: lwf > 0 needs an anchor; set anchor to "start" or to a '
      "mine stage of the same student"
    )


def distance(
  settings: Settings,
  s_BX: jax.Array,
  t_BX: jax.Array,
  target_B: jax.Array,
  where_BX: jax.Array,
) -> jax.Array:
  """The distillation term by `settings.kd`, [B]."""
  if settings.kd == "logit":
    return pairwise.logit_mse(s_BX, t_BX, where=where_BX)
  if settings.kd == "dkd":
    return listwise.dkd(
      s_BX,
      t_BX,
      target=target_B,
      alpha=settings.alpha,
      beta=settings.beta,
      temperature=settings.temperature,
      where=where_BX,
    )
  return _kl(settings, s_BX, t_BX, where_BX)


def _kl(
  settings: Settings,
  s_BX: jax.Array,
  t_BX: jax.Array,
  where_BX: jax.Array,
) -> jax.Array:
  T = settings.temperature
  return listwise.kl(
    s_BX,
    t_BX,
    where=where_BX,
    student_temperature=T,
    teacher_temperature=T,
    scale=T * T,
  )
