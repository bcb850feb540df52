"""MarginMSE: a teacher's score differences (arXiv 2010.02666).

With `sampling="balanced"` and batches of one cluster it is the pairwise half
of TAS-Balanced (arXiv 2104.06967).
"""

import dataclasses
from typing import Any, Literal

import jax

from prod_jax.batch import Batch
from prod_jax.losses import pairwise
from prod_jax.methods import scoring
from prod_jax.methods.scoring import Sources
from prod_jax.models import Embedder
from prod_jax.train.step import Loss, LossFn, Rng

TRAINS = ("dual", "late")  # the kinds of model
READS = ("teacher",)  # names of Sources


@dataclasses.dataclass(frozen=True)
class Settings:
  """Which margins are compared.

  Attributes:
    margins: "positive" is the paper's, of the positive against each negative;
      "all" those of all pairs, as in the code of CL-DRD.
  """

  margins: Literal["positive", "all"] = "positive"


def make(settings: Settings, student: Embedder, sources: Sources) -> LossFn:
  """Builds loss_fn(params, frozen, batch, rng) -> (loss, metrics).

  Raises:
    ConfigError: without a teacher, or with nothing to compare.
  """
  scoring.need_teacher("margin_mse", sources, in_batch=False)
  scoring.need_candidates("margin_mse", sources, in_batch=False)
  loss_of = {
    "positive": pairwise.margin_mse,
    "all": pairwise.margin_mse_all,
  }[settings.margins]

  def loss_fn(params: Any, frozen: Any, batch: Batch, rng: Rng) -> Loss:
    s_BN = scoring.score(
      student, params, batch, in_batch=False, dropout_key=rng.dropout
    )
    z_BN = scoring.teacher_scores(sources, frozen, batch, in_batch=False)
    with jax.named_scope("kd"):
      return loss_of(s_BN, z_BN, where=batch.where_BN).mean(), {}

  return loss_fn


def learns_unlabelled(settings: Settings) -> bool:
  """Whether no margin is one of the positive."""
  return settings.margins == "all"
