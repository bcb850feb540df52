"""DPR: in-batch cross-entropy of a dual encoder (arXiv 2004.04906).

Warms up students and dual-encoder teachers. Each query is set against every
passage of the global batch, its own hard negatives among them.
"""

import dataclasses
from typing import Any

import jax

from prod_jax.batch import Batch
from prod_jax.losses import contrastive
from prod_jax.methods import scoring
from prod_jax.methods.scoring import Sources
from prod_jax.models import Embedder
from prod_jax.train.step import Loss, LossFn, Rng

TRAINS = ("dual", "late")  # the kinds of model
READS = ()  # names of Sources


@dataclasses.dataclass(frozen=True)
class Settings:
  """Nothing to set: the scale of a cosine is the model's."""


def make(settings: Settings, student: Embedder, sources: Sources) -> LossFn:
  """Builds loss_fn(params, frozen, batch, rng) -> (loss, metrics).

  Raises:
    ConfigError: when there is nothing to compare.
  """
  del settings
  scoring.need_candidates("contrastive", sources, in_batch=True)

  def loss_fn(params: Any, frozen: Any, batch: Batch, rng: Rng) -> Loss:
    del frozen
    scores_BP = scoring.score(
      student, params, batch, in_batch=True, dropout_key=rng.dropout
    )
    target_B, where_BP = scoring.columns(batch, in_batch=True)
    with jax.named_scope("ce"):
      loss_B = contrastive.cross_entropy(scores_BP, target_B, where=where_BP)
    return loss_B.mean(), {}

  return loss_fn
