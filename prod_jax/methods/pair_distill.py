"""PairDistill: a pairwise teacher beside a pointwise one (arXiv 2410.01383).

A reranker's scores say little about which of two close passages is better. A
second teacher that reads both says it, for pairs near each other in the
first teacher's ranking:

  loss = KL(pointwise || s) + in_batch * CE
         + pairs * mean over (i, j) of KL([p, 1 - p] || softmax([s_i, s_j]))

The cross-entropy sets the query's positive against the passages of all other
queries, and not against its own list, which the teachers judge.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from prod_jax import strict
from prod_jax.batch import Batch
from prod_jax.losses import contrastive, listwise, preference
from prod_jax.methods import scoring
from prod_jax.methods.scoring import Columns, Sources
from prod_jax.models import Embedder
from prod_jax.ranges import NotNegative, Positive
from prod_jax.train.step import Loss, LossFn, Rng

TRAINS = ("dual", "late")  # the kinds of model
READS = ("teacher", "pairs")  # names of Sources


@dataclasses.dataclass(frozen=True)
class Settings:
  """Weights of the terms.

  Attributes:
    temperature: tau, a divisor of the student's scores in both KLs.
    teacher_scale: alpha, a factor of the pointwise teacher's scores.
    pairs: lambda, 3 for the official ColBERT and 1 for its DPR.
    in_batch: 1 for the official ColBERT; its DPR code has no such term, and
      takes the softmax of its list over all passages of the batch instead.
  """

  temperature: Positive = 1.0
  teacher_scale: Positive = 1.0
  pairs: NotNegative = 3.0
  in_batch: NotNegative = 1.0


def temperatures(settings: Settings) -> tuple[float, float]:
  """What divides the teacher's scores, and what the student's."""
  scale = settings.teacher_scale
  return 1 / scale if scale else math.inf, settings.temperature


def _need_others(sources: Sources) -> None:
  """Raises ConfigError where no other query has passages in a micro-batch."""
  if sources.own_list and sources.whole_batch == sources.own_list:
    raise strict.ConfigError(
      "method pair_distill: batch_size and accumulation leave a query alone, "
      "and in_batch > 0 compares with passages of others; set a larger "
      "batch_size, or in_batch=0"
    )


def make(settings: Settings, student: Embedder, sources: Sources) -> LossFn:
  """Builds loss_fn(params, frozen, batch, rng) -> (loss, metrics).

  Raises:
    ConfigError: without a pointwise or, where it counts, a pairwise teacher,
      or with nothing to compare.
  """
  scoring.need_teacher("pair_distill", sources, in_batch=False)
  scoring.need_candidates("pair_distill", sources, in_batch=False)
  if settings.in_batch:
    _need_others(sources)
  scoring.need_a_say("pair_distill", settings, sources, "pairs", "pairs")
  if settings.pairs and "pairs" not in sources.beside:
    raise strict.ConfigError(
      "method pair_distill: pairs > 0 needs a pairwise teacher; set pairs to "
      "a compare stage"
    )

  def loss_fn(params: Any, frozen: Any, batch: Batch, rng: Rng) -> Loss:
    query, passage, _ = scoring.embed(student, params, batch, rng.dropout)
    s_BN = scoring.compare(query, passage, in_batch=False)
    z_BN = scoring.teacher_scores(sources, frozen, batch, in_batch=False)
    with jax.named_scope("kd"):
      kd_B = listwise.kl(
        s_BN,
        z_BN * settings.teacher_scale,
        where=batch.where_BN,
        student_temperature=settings.temperature,
      )
    loss, metrics = kd_B.mean(), {"kd": kd_B.mean()}
    if settings.pairs:
      with jax.named_scope("pair"):
        sums = preference.preference_kl(
          s_BN,
          batch.first_BJ,
          batch.second_BJ,
          batch.prefer_BJ,
          temperature=settings.temperature,
        )
      metrics |= {"pair": preference.pooled(sums), "pairs": sums.pairs.mean()}
      loss = loss + settings.pairs * metrics["pair"]
    if settings.in_batch:
      s_BP = scoring.compare(query, passage, in_batch=True)
      target_B, where_BP = others_columns(batch)
      with jax.named_scope("in_batch"):
        ce_B = contrastive.cross_entropy(s_BP, target_B, where=where_BP)
      metrics["in_batch"] = ce_B.mean()
      loss = loss + settings.in_batch * metrics["in_batch"]
    return loss, metrics

  return loss_fn


def learns_unlabelled(settings: Settings) -> bool:
  """Always: only the in-batch term needs a label."""
  del settings
  return True


def others_columns(batch: Batch) -> Columns:
  """The query's positive and every passage that another query brought.

  Labelled positives of a query that others brought do not count against it;
  the official code keeps them.
  """
  B, N = batch.passage_id_BN.shape
  target_B, where_BP = scoring.columns(batch, in_batch=True)
  column_P = jnp.arange(B * N)[None]
  is_own_BP = column_P // N == jnp.arange(B)[:, None]
  is_target_BP = column_P == target_B[:, None]
  return Columns(target_B, where_BP & (~is_own_BP | is_target_BP))
