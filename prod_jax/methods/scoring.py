"""How a batch becomes a matrix of scores, the same for every method.

Two candidate sets exist. In-batch: each query against all P = B * N passages
of the global batch, one matmul that the compiler distributes. Own list: each
query against its own N candidates. X stands for either, P or N.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from prod_jax import strict
from prod_jax.batch import Batch
from prod_jax.losses import contrastive, max_sim
from prod_jax.models import Embedder, Encoder
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.late import LateEmbedding
from prod_jax.models.matryoshka import CutEncoder
from prod_jax.models.transformer import Out

PyTree = Any
Embedding = Any  # a vector a text, jax.Array [..., D], or a LateEmbedding


class Sources(NamedTuple):
  """What a stage offers to learn from besides labels.

  Attributes:
    teacher: "" for none, "step" for one that runs in the step, "scores" or
      "embeddings" for what is cached of one.
    model: the teacher that runs in the step, with `frozen["teacher"]`.
    width: of the vectors of a teacher whose embeddings are cached.
    joint: the teacher is trained too; `params` is then {"student", "teacher"},
      and what a method has beside them.
    beside: the roles of the stage that bring more, such as "anchor" (scores of
      the student as the stage began), "second" (cached scores of a second
      teacher), "pairs" or "dark".
    ranking_groups: how many groups of a teacher's ranking the columns are drawn
      from.
    draws: the columns are drawn by the teacher's scores.
    own_list, whole_batch: how many candidates a query has at most, in its own
      list and among the passages of its (micro-)batch; 0 where nobody knows.
  """

  teacher: Literal["", "step", "scores", "embeddings"] = ""
  model: Encoder | None = None
  width: int = 0
  joint: bool = False
  beside: frozenset[str] = frozenset()
  ranking_groups: int = 0
  draws: bool = False
  own_list: int = 0
  whole_batch: int = 0

  @property
  def names(self) -> frozenset[str]:
    """What there is, by the names that a method lists in `READS`."""
    there = {
      "teacher": self.teacher,
      "joint": self.joint,
      "ranking_groups": self.ranking_groups,
    }
    return self.beside | {name for name, value in there.items() if value}


class Columns(NamedTuple):
  """What the columns of a score matrix mean.

  Attributes:
    target_B: int32, the column of the positive, -1 of a query without labels.
    where_BX: bool, False where a column must not count: padding, another copy
      of the positive, or another labelled positive.
  """

  target_B: jax.Array
  where_BX: jax.Array


def columns(batch: Batch, *, in_batch: bool) -> Columns:
  """The columns of P passages, or of the query's own N."""
  B, N = batch.passage_id_BN.shape
  labelled_B = jnp.any(batch.positive_id_BM >= 0, axis=1)
  if not in_batch:
    return Columns(jnp.where(labelled_B, 0, -1), batch.where_BN)
  target_B = jnp.where(labelled_B, jnp.arange(B, dtype=jnp.int32) * N, -1)
  return Columns(
    target_B,
    contrastive.in_batch_where(
      batch.positive_id_BM, batch.passage_id_BN.reshape(-1), target_B
    ),
  )


def score(
  model: Encoder,
  params: PyTree,
  batch: Batch,
  *,
  in_batch: bool,
  dropout_key: jax.Array | None = None,
) -> jax.Array:
  """Scores of a batch, [B, P] in-batch or [B, N] over the own list.

  A cross-encoder has only own lists: it reads each pair by itself.
  """
  if isinstance(model, CrossEncoder):
    return model.score(params, batch.pair, dropout_key=dropout_key)[0]
  query, passage, _ = embed(model, params, batch, dropout_key)
  return compare(query, passage, in_batch=in_batch)


def embed(
  model: Embedder,
  params: PyTree,
  batch: Batch,
  dropout_key: jax.Array | None = None,
) -> tuple[Embedding, Embedding, tuple[Out, Out]]:
  """Queries [B, …], passages [B, N, …], and the layers of both towers."""
  keys = (None, None) if dropout_key is None else jax.random.split(dropout_key)
  texts: Any = batch.query  # Tokens, where the model takes no others
  query, query_out = model.embed(params, texts, "query", dropout_key=keys[0])
  passage, passage_out = model.embed(
    params, batch.passage, "passage", dropout_key=keys[1]
  )
  return query, passage, (query_out, passage_out)


@jax.named_scope("scores")
def compare(
  query: Embedding, passage: Embedding, *, in_batch: bool
) -> jax.Array:
  """Scores of embeddings over either candidate set: dots, or sums of maxima."""
  losses = max_sim if isinstance(query, LateEmbedding) else contrastive
  score_of = losses.in_batch_scores if in_batch else losses.own_list_scores
  if in_batch:
    passage = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), passage)
  if isinstance(query, LateEmbedding):
    return score_of(*query, *passage)
  return score_of(query, passage)


def need_a_weight(settings: Any, *fields: str) -> None:
  """For the `__post_init__` of settings that are weights of a loss.

  Args:
    settings: of a method.
    fields: weights, of which one has to be above 0 for the student to learn.

  Raises:
    FieldError: all of them are 0.
  """
  if not any(getattr(settings, field) for field in fields):
    first, *others = fields
    raise strict.FieldError(
      first,
      f"and {' and '.join(others)} are 0, which leaves nothing to learn from; "
      "set one of them above 0",
    )


def need_a_say(
  method: str,
  settings: Any,
  sources: Sources,
  role: str,
  *weights: str,
  is_needed: bool = False,
) -> None:
  """Raises ConfigError where a stage has a role that nothing reads.

  Args:
    method: its name.
    settings: of the method.
    sources: what the stage has.
    role: of `Sources.names`.
    weights: of the terms that read it.
    is_needed: the method does nothing without it.
  """
  if role not in sources.names or any(getattr(settings, w) for w in weights):
    return
  if role == "teacher" and sources.draws:
    return
  raise strict.ConfigError(
    f"method {method}: nothing reads the stage's {role} where "
    f"{' and '.join(f'{w}=0' for w in weights)}; set "
    f"{' or '.join(f'settings.{w}' for w in weights)} above 0, or "
    f"{'take another method' if is_needed else f'leave the {role} out'}"
  )


def need_teacher(method: str, sources: Sources, *, in_batch: bool) -> None:
  """Raises ConfigError without a teacher, or with one that cannot score so."""
  if not sources.teacher:
    raise strict.ConfigError(
      f"method {method}: it needs a teacher; set teacher or scores"
    )
  own_list = sources.teacher == "scores" or isinstance(
    sources.model, CrossEncoder
  )
  if in_batch and own_list:
    raise strict.ConfigError(
      f"method {method}: in_batch=True needs a teacher with embeddings, and "
      "a cross-encoder's scores are of the query's own list; set "
      "in_batch=False, or teacher or scores to a dual encoder's"
    )


def need_candidates(method: str, sources: Sources, *, in_batch: bool) -> None:
  """Raises ConfigError where a query has one candidate, so that nothing is
  compared: a softmax over it is 1, whatever its score.
  """
  if in_batch and sources.whole_batch == 1:
    raise strict.ConfigError(
      f"method {method}: batch_size and accumulation leave a query alone with "
      "its positive, and there is nothing to compare that with; set negatives, "
      "or a larger batch_size"
    )
  if not in_batch and sources.own_list == 1:
    raise strict.ConfigError(
      f"method {method}: negatives=0 leaves a query's own list with one "
      "passage, and there is nothing to compare that with; set negatives"
    )


def in_step(sources: Sources) -> Encoder:
  """The teacher that runs in the step, where `make` has seen that there is one.

  Raises:
    ValueError: there is none.
  """
  return _there(sources.model)


def split(
  params: PyTree, frozen: PyTree, sources: Sources, *, beside: bool = False
) -> tuple[PyTree, PyTree]:
  """Parameters of the student, and of a teacher trained with it or frozen.

  With `beside` the method has parameters of its own in `params`, too.
  """
  student = params["student"] if sources.joint or beside else params
  return student, params["teacher"] if sources.joint else frozen["teacher"]


def matrix_shape(student: Encoder, sources: Sources) -> tuple[int, int] | None:
  """The student's width and the teacher's, where a matrix belongs between them.

  That is where they differ, or where the student is cut and so has several.
  None where they agree, or where a model has scores and no vectors.
  """
  teacher = sources.model
  if isinstance(student, CrossEncoder) or isinstance(teacher, CrossEncoder):
    return None
  width = sources.width if teacher is None else teacher.width
  if not width or (
    student.width == width and not isinstance(student, CutEncoder)
  ):
    return None
  return student.width, width


@jax.named_scope("teacher")
def teacher_scores(
  sources: Sources, frozen: PyTree, batch: Batch, *, in_batch: bool
) -> jax.Array:
  """Scores of a frozen teacher by whichever of its sources the stage has.

  One that runs in the step reads `Batch.of_teacher`, as any teacher does.
  """
  cached = None
  if sources.teacher == "scores":
    cached = batch.list_scores_BN
  elif sources.teacher == "embeddings":
    cached = compare(
      batch.teacher_query_BD, batch.teacher_passage_BND, in_batch=in_batch
    )
  return frozen_scores(
    sources.model,
    frozen.get("teacher"),
    batch.of_teacher(),
    cached,
    in_batch=in_batch,
  )


def frozen_scores(
  model: Encoder | None,
  params: PyTree,
  batch: Batch,
  cached: jax.Array | None,
  *,
  in_batch: bool,
) -> jax.Array:
  """Scores of a model that is not trained: cached ones, else computed here.

  The one place where they are cut off from the gradient.
  """
  if cached is None:
    cached = score(_there(model), params, batch, in_batch=in_batch)
  return jax.lax.stop_gradient(cached)


def _there(model: Encoder | None) -> Encoder:
  if model is None:
    raise ValueError("no model runs in the step, and its scores are not cached")
  return model
