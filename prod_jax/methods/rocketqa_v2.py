"""RocketQAv2: retriever and ranker trained together (arXiv 2110.07367).

Both score the same list; the retriever follows the ranker, the ranker the
labels, and the divergence between them moves both (dynamic listwise
distillation):

  loss = KL(student || teacher) + CE(teacher)

The order of the KL's arguments is a setting, because the paper's text was not
at hand when this was written. Its hybrid data augmentation is the business of
the stages that make the lists, and denoising by the ranker is not part of it.
"""

import dataclasses
from typing import Any, Literal

import jax

from prod_jax import strict
from prod_jax.batch import Batch
from prod_jax.losses import contrastive, listwise
from prod_jax.methods import scoring
from prod_jax.methods.scoring import Sources
from prod_jax.models import Embedder
from prod_jax.train.step import Loss, LossFn, Rng

TRAINS = ("dual", "late")  # the kinds of model
READS = ("teacher", "joint")  # names of Sources


@dataclasses.dataclass(frozen=True)
class Settings:
  """The order of the divergence.

  Attributes:
    first: whose distribution stands first in the KL.
  """

  first: Literal["student", "teacher"] = "student"


def make(settings: Settings, student: Embedder, sources: Sources) -> LossFn:
  """Builds loss_fn(params, frozen, batch, rng) -> (loss, metrics).

  Raises:
    ConfigError: unless the teacher is trained too, and there is something to
      compare.
  """
  if not sources.joint:
    raise strict.ConfigError(
      "method rocketqa_v2: it trains the teacher too; set teacher and "
      "joint=True"
    )

  scoring.need_candidates("rocketqa_v2", sources, in_batch=False)

  def loss_fn(params: Any, frozen: Any, batch: Batch, rng: Rng) -> Loss:
    student_params, teacher_params = scoring.split(params, frozen, sources)
    keys = jax.random.split(rng.dropout)
    teacher = scoring.in_step(sources)
    s_BN, z_BN = (
      scoring.score(model, tree, texts, in_batch=False, dropout_key=key)
      for model, tree, texts, key in (
        (student, student_params, batch, keys[0]),
        (teacher, teacher_params, batch.of_teacher(), keys[1]),
      )
    )
    followed = (z_BN, s_BN) if settings.first == "student" else (s_BN, z_BN)
    with jax.named_scope("kd"):
      kl_B = listwise.kl(*followed, where=batch.where_BN)
    target_B, where_BN = scoring.columns(batch, in_batch=False)
    with jax.named_scope("ce"):
      ce_B = contrastive.cross_entropy(z_BN, target_B, where=where_BN)
    return (kl_B + ce_B).mean(), {"kl": kl_B.mean(), "teacher": ce_B.mean()}

  return loss_fn
