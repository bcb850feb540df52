"""A pairwise cross-encoder: which of two passages answers the query better.

Query and both passages stand in one row; a positive logit says that the first
is the better one. It is what PairDistill calls its pairwise teacher (arXiv
2410.01383). There that is a zero-shot duoT5 (arXiv 2101.05667); this one is
trained on labels: the positive against each other candidate, in both orders,
so that no order is a hint.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from prod_jax.batch import Batch
from prod_jax.methods import scoring
from prod_jax.methods.scoring import Sources
from prod_jax.models.cross import CrossEncoder
from prod_jax.train.step import Loss, LossFn, Rng

TRAINS = ("pairwise",)  # the kinds of model
READS = ()  # names of Sources


@dataclasses.dataclass(frozen=True)
class Settings:
  """Nothing to set."""


def make(settings: Settings, student: CrossEncoder, sources: Sources) -> LossFn:
  """Builds loss_fn(params, frozen, batch, rng) -> (loss, metrics).

  The loss is -log sigmoid of the logit that is right, the mean over the pairs
  of the batch and both orders.

  Raises:
    ConfigError: when there is nothing to compare.
  """
  del settings
  scoring.need_candidates("pairwise_ranking", sources, in_batch=False)

  def loss_fn(params: Any, frozen: Any, batch: Batch, rng: Rng) -> Loss:
    del frozen
    logit_BJ2, _ = student.score(params, batch.triple, dropout_key=rng.dropout)
    right_BJ2 = logit_BJ2 * jnp.array([[[1.0, -1.0]]])
    where_BJ1 = batch.where_BJ[..., None]
    with jax.named_scope("ce"):
      loss = _mean(-jax.nn.log_sigmoid(right_BJ2), where_BJ1)
    return loss, {"accuracy": _mean(right_BJ2 > 0, where_BJ1)}

  return loss_fn


def _mean(x_BJ2: jax.Array, where_BJ1: jax.Array) -> jax.Array:
  """Over the pairs that are there, 0 without any."""
  total = jnp.sum(x_BJ2, where=where_BJ1)
  return total / jnp.maximum(2 * where_BJ1.sum(), 1)
