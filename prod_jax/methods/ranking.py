"""Listwise cross-entropy of a cross-encoder over its own list.

The localised contrastive loss of Gao et al. (arXiv 2101.08751), which is how
PROD trains its cross-encoder teachers: one positive, N - 1 mined negatives.
"""

import dataclasses
from typing import Any

from prod_jax.batch import Batch
from prod_jax.losses import contrastive
from prod_jax.methods import scoring
from prod_jax.methods.scoring import Sources
from prod_jax.models.cross import CrossEncoder
from prod_jax.train.step import Loss, LossFn, Rng

TRAINS = ("cross",)  # the kinds of model
READS = ()  # names of Sources


@dataclasses.dataclass(frozen=True)
class Settings:
  """Nothing to set."""


def make(settings: Settings, student: CrossEncoder, sources: Sources) -> LossFn:
  """Builds loss_fn(params, frozen, batch, rng) -> (loss, metrics)."""
  del settings, sources

  def loss_fn(params: Any, frozen: Any, batch: Batch, rng: Rng) -> Loss:
    del frozen
    scores_BN = scoring.score(
      student, params, batch, in_batch=False, dropout_key=rng.dropout
    )
    target_B, where_BN = scoring.columns(batch, in_batch=False)
    loss_B = contrastive.cross_entropy(scores_BN, target_B, where=where_BN)
    return loss_B.mean(), {}

  return loss_fn
