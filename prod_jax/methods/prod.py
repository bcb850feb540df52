"""PROD: progressive distillation for dense retrieval (arXiv 2209.13335).

One stage of it: a student learns from labels, from a frozen teacher's score
distribution, and keeps what it knew when the stage began (learning without
forgetting, LwF). The progression itself is a list of stages in a config.

  loss = hard * CE + soft * KD + lwf * LwF,  LwF = T^2 KL(anchor || student)

Where "bi_logit" compares embeddings of two widths, or of a student whose loss
is taken at several, the student's go through a learnt matrix first, one for
queries and passages, which is trained with the stage and no part of the
student.
The official code has students of their teachers' width alone; a matrix without
a bias is what TinyBERT has for hidden states (arXiv 1909.10351, equation 8:
MSE(H_S W_h, H_T)).

With in_batch=False and lwf=0 it is plain listwise distillation, the baseline
that PROD is compared with.
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from prod_jax import strict
from prod_jax.batch import Batch
from prod_jax.losses import contrastive, hidden, listwise, pairwise
from prod_jax.methods import scoring
from prod_jax.methods.scoring import Columns, Embedding, Sources
from prod_jax.models import Embedder, Encoder
from prod_jax.models.dual import DualEncoder
from prod_jax.ranges import NotNegative, Positive
from prod_jax.train.step import Loss, LossFn, Rng

TRAINS = ("dual", "late")  # the kinds of model
READS = ("teacher", "anchor", "second")  # names of Sources


@dataclasses.dataclass(frozen=True)
class Settings:
  """Weights and temperature of a stage.

  Attributes:
    in_batch: against all passages of the batch (dual-encoder teachers), or
      over the query's own list (cross-encoder teachers).
    temperature: divisor T of student and teacher scores in KD and LwF.
    hard, soft, lwf: weights of the three terms; they need not sum to 1.
    kd: what matches the teacher. "softmax" is T^2 KL; "logit" half the squared
      difference of scores; "dkd" the decoupled KL; "bi_logit" half the squared
      difference of embeddings, for a dual-encoder teacher of any width; "prob"
      the cross-entropy that divides only the teacher by T.
    lwf_kd: what holds the student to the anchor, as of `kd`. The official code
      has the distance of `kd` there, and none beside "dkd" and "prob".
    alpha, beta: target and non-target weight of "dkd".
    squared: T^2 is in, as in the official code. Without it, a T above 1 makes
      KD and LwF weaker by T^2.
    larger: two teachers, and each step learns from the one whose loss is the
      larger (the official `double_teacher_type`): the first in-batch, the
      second, which has cached scores, over the query's own list.
  """

  in_batch: bool
  temperature: Positive
  hard: NotNegative
  soft: NotNegative
  lwf: NotNegative = 0.0
  kd: Literal["softmax", "logit", "dkd", "bi_logit", "prob"] = "softmax"
  lwf_kd: Literal["softmax", "logit"] = "softmax"
  alpha: NotNegative = 1.0
  beta: NotNegative = 1.0
  squared: bool = True
  larger: bool = False

  def __post_init__(self) -> None:
    scoring.need_a_weight(self, "hard", "soft")
    if self.kd == "dkd" and self.soft:
      scoring.need_a_weight(self, "alpha", "beta")
    if self.in_batch and self.lwf:
      raise strict.FieldError(
        "lwf",
        "is defined on the query's own list; set lwf=0 or in_batch=False",
      )
    if self.larger and not self.in_batch:
      raise strict.FieldError(
        "larger", "has a first teacher that teaches in-batch; set in_batch=True"
      )
    if self.larger and not self.soft:
      raise strict.FieldError(
        "larger", "compares two teachers, and soft=0 lets neither speak; set it"
      )
    if self.larger and self.kd == "bi_logit":
      raise strict.FieldError(
        "kd",
        "is 'bi_logit', which compares embeddings, and the second teacher of "
        "larger=True has scores only; set another kd",
      )


def make(settings: Settings, student: Embedder, sources: Sources) -> LossFn:
  """Builds loss_fn(params, frozen, batch, rng) -> (loss, metrics).

  Args:
    settings: of the stage.
    student: the model that is trained.
    sources: what the stage offers besides labels. `frozen["anchor"]` holds
      the student's parameters as the stage began, unless the batch carries
      its scores.

  Raises:
    ConfigError: when a weighted term has nothing to read.
  """
  _check(settings, student, sources)
  projects = _matrix_shape(settings, student, sources) is not None
  held = dataclasses.replace(settings, kd=settings.lwf_kd)

  def loss_fn(params: Any, frozen: Any, batch: Batch, rng: Rng) -> Loss:
    tree = params["student"] if projects else params
    query, passage, _ = scoring.embed(student, tree, batch, rng.dropout)
    s_BX = scoring.compare(query, passage, in_batch=settings.in_batch)
    columns = scoring.columns(batch, in_batch=settings.in_batch)
    ce_B = _cross_entropy(s_BX, columns)
    loss_B = settings.hard * ce_B
    metrics = {"ce": ce_B.mean()}
    if settings.soft:
      if settings.kd == "bi_logit":
        own_query, own_passage = (
          project(params, x) if projects else x for x in (query, passage)
        )
        to = _teacher_embeddings(sources, frozen, batch)
        with jax.named_scope("kd"):
          kd_B = hidden.embedding_mse(
            own_query, own_passage, *to, where=batch.where_BN
          )
      else:
        z_BX = scoring.teacher_scores(
          sources, frozen, batch, in_batch=settings.in_batch
        )
        with jax.named_scope("kd"):
          kd_B = distance(settings, s_BX, z_BX, columns)
      loss_B = loss_B + settings.soft * kd_B
      metrics["kd"] = kd_B.mean()
    if settings.lwf:
      anchor_BN = _anchor_scores(student, frozen, batch)
      with jax.named_scope("lwf"):
        lwf_B = distance(held, s_BX, anchor_BN, columns)
      loss_B = loss_B + settings.lwf * lwf_B
      metrics["lwf"] = lwf_B.mean()
    if not settings.larger:
      return loss_B.mean(), metrics
    s_BN = scoring.compare(query, passage, in_batch=False)
    first = loss_B.mean()
    of_second = _second(settings, s_BN, batch).mean()
    larger = jnp.where(first >= of_second, first, of_second)
    return larger, {**metrics, "first": first, "second": of_second}

  return loss_fn


def learns_unlabelled(settings: Settings) -> bool:
  """Whether the teacher has a say, and by no distance that needs a label."""
  return bool(settings.soft) and settings.kd != "dkd"


def temperatures(settings: Settings) -> tuple[float, float]:
  """What divides the teacher's scores, and what the student's."""
  T = settings.temperature
  if settings.kd in ("logit", "bi_logit"):
    return 1.0, 1.0
  return T, 1.0 if settings.kd == "prob" else T


def beside(
  settings: Settings, student: Embedder, sources: Sources, key: PRNGKeyArray
) -> dict[str, Any]:
  """The matrix to the teacher's width where there is one: {"projection"}."""
  shape = _matrix_shape(settings, student, sources)
  if shape is None:
    return {}
  kernel = jax.nn.initializers.lecun_normal()(key, shape, jnp.float32)
  return {"projection": {"kernel": kernel}}


def project(params: Any, vector: jax.Array) -> jax.Array:
  """Embeddings [..., D] of the student at the teacher's width."""
  return vector @ params["projection"]["kernel"]


def distance(
  settings: Settings, s_BX: jax.Array, z_BX: jax.Array, columns: Columns
) -> jax.Array:
  """Scores against a teacher's by the distance of the settings, [B]."""
  target_B, where_BX = columns
  T = settings.temperature
  if settings.kd == "logit":
    return pairwise.logit_mse(s_BX, z_BX, where=where_BX)
  if settings.kd == "prob":
    return listwise.probability(s_BX, z_BX, temperature=T, where=where_BX)
  if settings.kd == "dkd":
    return listwise.dkd(
      s_BX,
      z_BX,
      target=target_B,
      alpha=settings.alpha,
      beta=settings.beta,
      temperature=T,
      where=where_BX,
    )
  return _kl(settings, s_BX, z_BX, columns)


def _kl(
  settings: Settings, s_BX: jax.Array, z_BX: jax.Array, columns: Columns
) -> jax.Array:
  T = settings.temperature
  return listwise.kl(
    s_BX,
    z_BX,
    where=columns.where_BX,
    student_temperature=T,
    teacher_temperature=T,
    scale=T * T if settings.squared else 1.0,
  )


@jax.named_scope("ce")
def _cross_entropy(s_BX: jax.Array, columns: Columns) -> jax.Array:
  return contrastive.cross_entropy(
    s_BX, columns.target_B, where=columns.where_BX
  )


@jax.named_scope("anchor")
def _anchor_scores(student: Embedder, frozen: Any, batch: Batch) -> jax.Array:
  return scoring.frozen_scores(
    student, frozen.get("anchor"), batch, batch.anchor_BN, in_batch=False
  )


@jax.named_scope("second")
def _second(settings: Settings, s_BN: jax.Array, batch: Batch) -> jax.Array:
  """What the second teacher's loss is, over the query's own list, [B]."""
  columns = scoring.columns(batch, in_batch=False)
  ce_B = _cross_entropy(s_BN, columns)
  kd_B = distance(settings, s_BN, batch.list_scores_BN, columns)
  return settings.hard * ce_B + settings.soft * kd_B


@jax.named_scope("teacher")
def _teacher_embeddings(
  sources: Sources, frozen: Any, batch: Batch
) -> tuple[Embedding, Embedding]:
  if batch.teacher_query_BD is not None:
    return batch.teacher_query_BD, batch.teacher_passage_BND
  teacher = scoring.in_step(sources)
  assert isinstance(teacher, DualEncoder)  # as `make` has seen
  query_BD, passage_BND, _ = scoring.embed(
    teacher, frozen["teacher"], batch.of_teacher()
  )
  return jax.lax.stop_gradient((query_BD, passage_BND))


def _matrix_shape(
  settings: Settings, student: Encoder, sources: Sources
) -> tuple[int, int] | None:
  """Of the matrix between embeddings that are compared, where one belongs."""
  if not (settings.soft and settings.kd == "bi_logit"):
    return None
  return scoring.matrix_shape(student, sources)


def _check(settings: Settings, student: Encoder, sources: Sources) -> None:
  if settings.soft or settings.larger:
    scoring.need_teacher("prod", sources, in_batch=settings.in_batch)
  scoring.need_a_say("prod", settings, sources, "teacher", "soft")
  scoring.need_a_say("prod", settings, sources, "anchor", "lwf")
  # The other distances are of scores by themselves, not among each other.
  if not (settings.soft and settings.kd in ("logit", "bi_logit")):
    scoring.need_candidates("prod", sources, in_batch=settings.in_batch)
  if settings.larger != ("second" in sources.beside):
    raise strict.ConfigError(
      "method prod: larger=True and a second teacher go together; set both, "
      "settings.larger and second, or neither"
    )
  if settings.lwf and "anchor" not in sources.beside:
    raise strict.ConfigError(
      'method prod: lwf > 0 needs an anchor; set anchor to "start" or to a '
      "mine stage of the same student"
    )
  embeds = sources.teacher == "embeddings" or isinstance(
    sources.model, DualEncoder
  )
  if settings.kd == "bi_logit" and not (
    embeds and isinstance(student, DualEncoder)
  ):
    raise strict.ConfigError(
      "method prod: kd='bi_logit' compares the embeddings of two dual "
      "encoders; set teacher to one, or scores to an encode stage"
    )
