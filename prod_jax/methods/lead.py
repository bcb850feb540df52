"""LEAD: liberal feature-based distillation (arXiv 2212.05225).

Teacher and student learn together. Both read the labels, each its own; their
last layers follow each other; and chosen layers of the student follow chosen
layers of the teacher, each layer turned into a distribution over passages, so
that widths, depths and tokenizers need not agree:

  loss = CE(student) + CE(teacher) + response * (KL(t || s) + KL(s || t))
         + layer * sum_k w_k KL(t_k || s_k),  w = softmax_k(-CE(t_k) / tau)

Nothing of it is cut from the gradient but w: the teacher is pulled towards
the student, as in the official code. A teacher that stays frozen
(`joint=False`) has neither a loss of its own nor the second KL.

Where both models have vectors, and of two widths, those of a student's layer go
through a learnt matrix of that layer to the teacher's width before "layer"
scores them: one for queries and passages, trained with the stage and no part of
the student. The other terms have the last layer's scores without it, by which
the student is used. A narrower student's matrices begin with orthonormal rows,
which leave each score what it was. The official code has none
(`projection=False`).

Layers are scored like the last one. The official code leaves the hidden
states of a ColBERT's inner layers unnormalised, which makes their softmax
almost one-hot; here they are unit vectors as in its last layer.
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from prod_jax import strict
from prod_jax.batch import Batch
from prod_jax.losses import contrastive, hidden, listwise
from prod_jax.methods import layers, scoring
from prod_jax.methods.scoring import Sources
from prod_jax.models import Embedder, Encoder
from prod_jax.ranges import Count, NotNegative, Positive
from prod_jax.train.step import Loss, LossFn, Rng

TRAINS = ("dual", "late")  # the kinds of model
READS = ("teacher", "joint")  # names of Sources


@dataclasses.dataclass(frozen=True)
class Settings:
  """Which layers, and how much they count.

  Attributes:
    in_batch: against all passages of the batch (dual encoders and late
      interaction), or over the query's own list (cross-encoders).
    layers: K, how many layers are matched.
    select: "random" draws K layers of each model without replacement, in
      ascending order; "last" takes the K below each model's final layer and
      that one; "skip" takes those of the student, and every second layer of
      the teacher from its first.
    redraw: steps that a random draw is kept for.
    temperature: divisor of the scores of the side that is followed.
    layer_temperature: tau.
    projection: matrices where student and teacher differ in width, or where the
      student is cut to several.
    student, teacher, response, layer: weights of the terms.
  """

  in_batch: bool
  layers: Count = 5
  select: Literal["random", "last", "skip"] = "random"
  redraw: Count = 10
  temperature: Positive = 1.0
  layer_temperature: Positive = 10.0
  projection: bool = True
  student: NotNegative = 1.0
  teacher: NotNegative = 1.0
  response: NotNegative = 1.0
  layer: NotNegative = 1.0

  def __post_init__(self) -> None:
    scoring.need_a_weight(self, "student", "response", "layer")


def make(settings: Settings, student: Embedder, sources: Sources) -> LossFn:
  """Builds loss_fn(params, frozen, batch, rng) -> (loss, metrics).

  Raises:
    ConfigError: without a teacher in the step, or with more layers asked for
      than a model has.
  """
  _check(settings, student, sources)
  T, teacher = settings.temperature, scoring.in_step(sources)
  projects = _matrix_shape(settings, student, sources) is not None

  def loss_fn(params: Any, frozen: Any, batch: Batch, rng: Rng) -> Loss:
    student_params, teacher_params = scoring.split(
      params, frozen, sources, beside=projects
    )
    kernels = _kernels(params["projection"]) if projects else None
    keys = jax.random.split(rng.dropout)
    with jax.named_scope("student"):
      s = _read(settings, student, student_params, batch, keys[0], kernels)
    # A frozen teacher is read as it was trained to be used: without dropout.
    teacher_key = keys[1] if sources.joint else None
    of_teacher = batch.of_teacher()
    with jax.named_scope("teacher"):
      t = _read(settings, teacher, teacher_params, of_teacher, teacher_key)
    target_B, where_BX = scoring.columns(batch, in_batch=settings.in_batch)
    student_K, teacher_K = chosen_layers(
      settings, student.transformer.depth, teacher.transformer.depth, rng
    )
    t_KBX = t.at(teacher_K)
    weight_K = hidden.layer_weights(
      t_KBX, target_B, where=where_BX, temperature=settings.layer_temperature
    )
    terms = {
      "student": contrastive.cross_entropy(s.last_BX, target_B, where=where_BX),
      "response": listwise.kl(
        s.last_BX, t.last_BX, where=where_BX, teacher_temperature=T
      ),
      "layer": hidden.layer_kl(
        s.at(student_K), t_KBX, weight_K, where=where_BX, temperature=T
      ),
    }
    if sources.joint:
      terms["teacher"] = contrastive.cross_entropy(
        t.last_BX, target_B, where=where_BX
      )
      terms["response"] += listwise.kl(
        t.last_BX, s.last_BX, where=where_BX, teacher_temperature=T
      )
    loss_B = sum(getattr(settings, k) * x_B for k, x_B in terms.items())
    return loss_B.mean(), {k: x_B.mean() for k, x_B in terms.items()}

  return loss_fn


def learns_unlabelled(settings: Settings) -> bool:
  """Whether a term has a weight that is no cross-entropy."""
  return bool(settings.response or settings.layer)


def beside(
  settings: Settings, student: Embedder, sources: Sources, key: PRNGKeyArray
) -> dict[str, Any]:
  """A matrix to the teacher's width for each layer of the student, where there
  are any: {"projection": {"0", "1", …}}.
  """
  shape = _matrix_shape(settings, student, sources)
  if shape is None:
    return {}
  # A wider student's products are the same in the mean of many draws alone.
  scale = max(1.0, shape[0] / shape[1]) ** 0.5
  first = jax.nn.initializers.orthogonal(scale)
  keys = jax.random.split(key, student.transformer.depth)
  return {
    "projection": {
      str(layer): {"kernel": first(own, shape, jnp.float32)}
      for layer, own in enumerate(keys)
    }
  }


def chosen_layers(
  settings: Settings, student_depth: int, teacher_depth: int, rng: Rng
) -> tuple[jax.Array, jax.Array]:
  """int32 [K] indices of student and teacher layers, paired in order.

  A random draw depends on the stage's key and on step // redraw alone, and is
  part of the compiled program: another draw is no other trace.
  """
  K = settings.layers
  if settings.select == "last":
    return _last(student_depth, K), _last(teacher_depth, K)
  if settings.select == "skip":
    return _last(student_depth, K), 2 * jnp.arange(K)
  key = jax.random.fold_in(rng.stage, rng.step // settings.redraw)
  student_K, teacher_K = (
    jnp.sort(jax.random.permutation(k, depth)[:K])
    for k, depth in zip(
      jax.random.split(key), (student_depth, teacher_depth), strict=True
    )
  )
  return student_K, teacher_K


def _matrix_shape(
  settings: Settings, student: Encoder, sources: Sources
) -> tuple[int, int] | None:
  """Of the matrix between layers that are compared, where one belongs."""
  if not (settings.projection and settings.layer):
    return None
  return scoring.matrix_shape(student, sources)


def _kernels(projection: Any) -> jax.Array:
  """[depth, D, E], the matrix of each layer of the student."""
  return jnp.stack(
    [projection[str(k)]["kernel"] for k in range(len(projection))]
  )


def _last(depth: int, K: int) -> jax.Array:
  return jnp.arange(depth - K, depth)


def _read(
  settings: Settings,
  model: Encoder,
  params: Any,
  batch: Batch,
  dropout_key: jax.Array | None,
  kernels: jax.Array | None = None,
) -> layers.LayerScores:
  return layers.score_layers(
    model,
    params,
    batch,
    in_batch=settings.in_batch,
    dropout_key=dropout_key,
    kernels=kernels,
  )


def _check(settings: Settings, student: Encoder, sources: Sources) -> None:
  scoring.need_teacher("lead", sources, in_batch=settings.in_batch)
  # A teacher that learns too has labels of its own.
  weights = ["response", "layer", *["teacher"] * sources.joint]
  scoring.need_a_say(
    "lead", settings, sources, "teacher", *weights, is_needed=True
  )
  scoring.need_candidates("lead", sources, in_batch=settings.in_batch)
  if sources.model is None:
    raise strict.ConfigError(
      "method lead: it reads the teacher's layers; set teacher, not scores"
    )
  step = 2 if settings.select == "skip" else 1
  for name, needed, depth in (
    ("student", settings.layers, student.transformer.depth),
    (
      "teacher",
      step * (settings.layers - 1) + 1,
      sources.model.transformer.depth,
    ),
  ):
    if not 1 <= needed <= depth:
      raise strict.ConfigError(
        f"method lead: layers={settings.layers} with select="
        f"{settings.select!r} needs {needed} layers of the {name}, which has "
        f"{depth}"
      )
