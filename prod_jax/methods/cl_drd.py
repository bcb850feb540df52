"""CL-DRD: curriculum distillation of a teacher's order (arXiv 2204.13679).

The student sees columns of a teacher's ranking in groups: the first ones in
order, then groups of worse ones without an order among them. Only the order of
the pseudo-labels counts; the teacher's scores are not used. The curriculum is
a list of stages whose first group grows until it is the whole list.

The groups are made by `sampling="groups"` of a train stage. The official
repository ships lists made in advance and not how they were made: from which
ranks the groups are drawn is ours to say, in a config.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from prod_jax import strict
from prod_jax.batch import Batch
from prod_jax.losses import preference
from prod_jax.methods import scoring
from prod_jax.methods.scoring import Sources
from prod_jax.models import Embedder
from prod_jax.ranges import Real
from prod_jax.train.step import Loss, LossFn, Rng

TRAINS = ("dual", "late")  # the kinds of model
READS = ("teacher", "ranking_groups")  # names of Sources


@dataclasses.dataclass(frozen=True)
class Settings:
  """Labels of the groups.

  Attributes:
    labels: of each group after the first, in falling order and below every
      1 / rank, which is what the first group's columns get.
  """

  labels: tuple[Real, ...] = (-0.25, -0.5)

  def __post_init__(self) -> None:
    falling = sorted({0.0, *self.labels}, reverse=True)
    if falling != [0.0, *self.labels]:
      raise strict.FieldError(
        "labels", f"is {self.labels}; they fall, from below 0"
      )


def make(settings: Settings, student: Embedder, sources: Sources) -> LossFn:
  """Builds loss_fn(params, frozen, batch, rng) -> (loss, metrics).

  Raises:
    ConfigError: without a teacher's scores, without groups, or with groups of
      one passage in all.
  """
  if not sources.ranking_groups:
    raise strict.ConfigError(
      'method cl_drd: it needs groups of a ranking; set sampling="groups"'
    )
  if sources.ranking_groups > len(settings.labels) + 1:
    raise strict.ConfigError(
      f"method cl_drd: {sources.ranking_groups} groups are drawn, and "
      f"settings.labels {settings.labels} names {len(settings.labels)} after "
      "the first"
    )

  scoring.need_candidates("cl_drd", sources, in_batch=False)

  def loss_fn(params: Any, frozen: Any, batch: Batch, rng: Rng) -> Loss:
    del frozen
    s_BN = scoring.score(
      student, params, batch, in_batch=False, dropout_key=rng.dropout
    )
    label_BN = pseudo_labels(settings, batch.ranking_group_BN)
    with jax.named_scope("kd"):
      sums = preference.lambda_rank(s_BN, label_BN, where=batch.where_BN)
    return preference.pooled(sums), {"pairs": sums.pairs.mean()}

  return loss_fn


def learns_unlabelled(settings: Settings) -> bool:
  """Always: labels play no part."""
  del settings
  return True


def pseudo_labels(settings: Settings, ranking_group_BN: jax.Array) -> jax.Array:
  """1 / rank in the first group, whose columns are in order; else its label."""
  rank_N = jnp.arange(1.0, ranking_group_BN.shape[-1] + 1)
  of_group = jnp.array([0.0, *settings.labels])
  return jnp.where(
    ranking_group_BN == 0, (1 / rank_N)[None], of_group[ranking_group_BN]
  )
