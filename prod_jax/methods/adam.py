"""Our formulation of ADAM: dark examples, self-paced (arXiv 2212.10192).

A strong teacher finds mined negatives so easy that its scores say little
more than the label does. Dark examples, between positive and negative, are
where it has something to teach; and a query counts only while the teacher is
confident about it. There is no official code, and the paper's exact rules and
figures are not known to us: every number here is a parameter, none is theirs.

  loss = hard * CE + soft * KL over the list + dark * mean_kept KL over the
         list and the query's dark examples

The confidence of a query is the probability that the teacher gives to its
positive among the passages that are not dark. How dark examples are made
stands in `batches.dark`.
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

from prod_jax import strict
from prod_jax.batch import Batch
from prod_jax.losses import contrastive, listwise
from prod_jax.methods import scoring
from prod_jax.methods.scoring import Sources
from prod_jax.models import Embedder
from prod_jax.ranges import Count, NotNegative, Positive, Share
from prod_jax.train.step import Loss, LossFn, Rng

TRAINS = ("dual", "late")  # the kinds of model
READS = ("teacher", "dark")  # names of Sources


@dataclasses.dataclass(frozen=True)
class Settings:
  """Weights, and the pace.

  Attributes:
    temperature: divisor of student and teacher scores in both KLs, which are
      not multiplied by its square.
    hard, soft, dark: weights of the three terms.
    pace: what selects queries for the dark term: "threshold" keeps those
      whose confidence is at least the level, "fraction" the most confident
      share of the batch.
    start, end: that level or share at the first step and after `over` steps,
      straight in between and constant afterwards.
    over: steps.
  """

  temperature: Positive = 1.0
  hard: NotNegative = 0.1
  soft: NotNegative = 1.0
  dark: NotNegative = 1.0
  pace: Literal["threshold", "fraction"] = "fraction"
  start: Share = 0.5
  end: Share = 1.0
  over: Count = 1

  def __post_init__(self) -> None:
    scoring.need_a_weight(self, "hard", "soft", "dark")


def temperatures(settings: Settings) -> tuple[float, float]:
  """What divides the teacher's scores, and what the student's."""
  return settings.temperature, settings.temperature


def make(settings: Settings, student: Embedder, sources: Sources) -> LossFn:
  """Builds loss_fn(params, frozen, batch, rng) -> (loss, metrics).

  Raises:
    ConfigError: without dark examples, or cached scores of their teacher, or
      with nothing to compare.
  """
  if sources.teacher != "scores" or "dark" not in sources.beside:
    raise strict.ConfigError(
      "method adam: it needs a teacher's cached scores of the lists and of "
      "dark examples; set scores to a score stage and dark to a darken stage"
    )
  scoring.need_a_say(
    "adam", settings, sources, "teacher", "soft", "dark", is_needed=True
  )
  scoring.need_candidates("adam", sources, in_batch=False)
  T = settings.temperature

  def loss_fn(params: Any, frozen: Any, batch: Batch, rng: Rng) -> Loss:
    del frozen
    s_BX = score_with_dark(student, params, batch, rng.dropout)
    N = batch.where_BN.shape[1]
    z_BX = jnp.concatenate([batch.list_scores_BN, batch.dark_scores_BA], axis=1)
    where_BX = jnp.concatenate([batch.where_BN, batch.where_BA], axis=1)
    target_B, where_BN = scoring.columns(batch, in_batch=False)
    with jax.named_scope("ce"):
      ce_B = contrastive.cross_entropy(s_BX[:, :N], target_B, where=where_BN)

    def kl(columns: slice) -> jax.Array:
      return listwise.kl(
        s_BX[:, columns],
        z_BX[:, columns],
        where=where_BX[:, columns],
        student_temperature=T,
        teacher_temperature=T,
      )

    with jax.named_scope("kd"):
      kd_B = kl(slice(N))
    confidence_B = confidence(batch.list_scores_BN, where_BN)
    kept_B = keep(settings, confidence_B, rng.step)
    with jax.named_scope("dark"):
      dark = mean_of_kept(kl(slice(None)), kept_B)
    metrics = {
      "ce": ce_B.mean(),
      "kd": kd_B.mean(),
      "dark": dark,
      "kept": kept_B.mean(),
      "confidence": confidence_B.mean(),
    }
    loss = settings.hard * metrics["ce"] + settings.soft * metrics["kd"]
    return loss + settings.dark * dark, metrics

  return loss_fn


def score_with_dark(
  student: Embedder,
  params: Any,
  batch: Batch,
  dropout_key: jax.Array | None = None,
) -> jax.Array:
  """Scores [B, N + A] of the lists, dark examples behind the N passages."""
  keys = (None, None) if dropout_key is None else jax.random.split(dropout_key)
  query, passage, _ = scoring.embed(student, params, batch, keys[0])
  dark, _ = student.embed(params, batch.dark, "passage", dropout_key=keys[1])
  return jnp.concatenate(
    [
      scoring.compare(query, texts, in_batch=False) for texts in (passage, dark)
    ],
    axis=1,
  )


def confidence(list_scores_BN: jax.Array, where_BN: jax.Array) -> jax.Array:
  """[B]: the probability that the teacher gives to column 0, the positive."""
  p_BN = jax.nn.softmax(list_scores_BN, axis=-1, where=where_BN)
  return p_BN[:, 0]


def keep(
  settings: Settings, confidence_B: jax.Array, step: jax.Array
) -> jax.Array:
  """bool [B]: the queries whose dark examples are learnt from at `step`.

  At least one where a share is kept; ties at the edge of it are kept too.
  """
  done = jnp.clip(step / settings.over, 0.0, 1.0)
  level = settings.start + done * (settings.end - settings.start)
  if settings.pace == "threshold":
    return confidence_B >= level
  B = confidence_B.shape[0]
  count = jnp.clip(jnp.round(level * B).astype(jnp.int32), 1, B)
  return confidence_B >= jnp.sort(confidence_B)[::-1][count - 1]


def mean_of_kept(loss_B: jax.Array, kept_B: jax.Array) -> jax.Array:
  """Mean over the kept queries, 0 without any."""
  return jnp.sum(loss_B, where=kept_B) / jnp.maximum(kept_B.sum(), 1)
