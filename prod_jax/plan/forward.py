"""Stages that run a frozen model over many rows, as programs.

Rows of a run have their natural length; here all are of the greatest one.
Every function makes the program of its stage kind; `size` is of the data set.
Each device works at batches of its own, and so does a program.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from prod_jax import config, kinds, sharding
from prod_jax.batch import Tokens
from prod_jax.data import rows as layout
from prod_jax.data.sizes import Size
from prod_jax.methods.scoring import Encoder
from prod_jax.models.late import LateInteraction
from prod_jax.plan import analytic, batches
from prod_jax.plan.program import Program, params_of
from prod_jax.retrieval import buckets, rerank
from prod_jax.retrieval import encode as embedding
from prod_jax.stages.inputs import Inputs


def encode(
  shared: Inputs, name: str, stage: kinds.Encode, size: Size
) -> Program:
  length = shared.config.data.passage_length

  def program(model: Encoder, params: Any, rows: Tokens):
    return embedding.embed_rows.trace(model, params, rows, "passage")

  return _forward(
    shared,
    name,
    stage,
    program,
    source=stage.params,
    reads=("dual",),
    unit="passages",
    rows=layout.single([_text()], length, batches.SPECIAL),
    longest=length,
    examples=size.passages or None,
  )


def score(shared: Inputs, name: str, stage: kinds.Score, size: Size) -> Program:
  return _pairs(shared, name, stage, 1, _of_lists(shared, stage, size))


def darken(
  shared: Inputs, name: str, stage: kinds.Darken, size: Size
) -> Program:
  made = stage.strengthened + stage.masked
  queries = _queries(shared, stage, size)
  return _pairs(shared, name, stage, 1, queries and queries * made)


def compare(
  shared: Inputs, name: str, stage: kinds.Compare, size: Size
) -> Program:
  asked = stage.pairs * (2 if stage.both_orders else 1)
  queries = _queries(shared, stage, size)
  return _pairs(shared, name, stage, 2, queries and queries * asked)


def evaluate(
  shared: Inputs, name: str, stage: kinds.Evaluate, size: Size
) -> Program | None:
  """Only what reranks: retrieval is no step of a model."""
  if not stage.rerank:
    return None
  queries = size.queries.get(stage.split)
  count = queries and queries * stage.rerank_depth
  return _pairs(shared, name, stage, 1, count, source=stage.rerank)


def _of_lists(shared: Inputs, stage: kinds.Score, size: Size) -> int | None:
  """Pairs of a query and a passage of its list."""
  lists = shared.config.stages[stage.candidates]
  queries = _queries(shared, stage, size)
  return queries and queries * batches.list_columns(lists)


def _queries(shared: Inputs, stage: Any, size: Size) -> int | None:
  """Queries that have lists."""
  lists = shared.config.stages[stage.candidates]
  queries = size.queries.get(getattr(lists, "split", "train"))
  limit = getattr(lists, "limit", 0)
  return min(queries, limit) if queries and limit else queries


def _pairs(
  shared: Inputs,
  name: str,
  stage: Any,
  passages: int,
  count: int | None,
  source: str = "",
) -> Program:
  """A model that reads a query with one passage or two, in rows [R, L]."""
  source = source or stage.params
  model, data, text = shared.model_of(source), shared.config.data, [_text()]
  special, Lq = batches.SPECIAL, data.query_length
  jitted, longest = rerank.score_rows, layout.pair_length(data)
  if isinstance(model, LateInteraction):
    jitted, longest = rerank.score_late_rows, data.passage_length
    rows = tuple(layout.single(text, L, special) for L in (Lq, longest))
  elif passages == 1:
    rows = layout.pair(text, text, Lq, longest, special)
  else:
    longest = layout.triple_length(data)
    rows = layout.triple(
      text, text, text, Lq, data.passage_length, longest, special
    )
  return _forward(
    shared,
    name,
    stage,
    jitted.trace,
    source=source,
    reads=("cross", "late") if passages == 1 else ("pairwise",),
    unit="pairs" if passages == 1 else "triples",
    rows=rows,
    longest=longest,
    examples=count,
  )


def _forward(
  shared: Inputs,
  name: str,
  stage: Any,
  trace: Callable[..., jax.stages.Traced],
  *,
  source: str,
  reads: tuple[str, ...],
  unit: str,
  rows: Any,
  longest: int,
  examples: int | None,
) -> Program:
  """A frozen model, of a kind that `reads` such rows, over many of them."""
  shared.check_trains(f"config.stages.{name}", source, reads)
  model, given = shared.model_of(source), shared.devices
  mesh = sharding.make_mesh(config.Mesh(), given[:1])
  batch = buckets.rows_of(longest, stage.batch_tokens)

  def lower(count: int) -> jax.stages.Lowered:
    params = _placed(params_of(model), sharding.replicated(mesh))
    texts = batches.of_size(rows, count)
    with jax.set_mesh(mesh):
      traced = trace(
        model, params, _placed(texts, sharding.batch_sharding(mesh))
      )
      return traced.lower(lowering_platforms=("tpu",))

  def flops(count: int) -> int:
    texts = jax.tree.leaves(rows, is_leaf=lambda x: isinstance(x, Tokens))
    total = analytic.texts(
      model, [(count, text.ids.shape[-1]) for text in texts]
    )
    if len(texts) == 1:
      return total
    Lq, Lp = (text.ids.shape[-1] for text in texts)
    return total + analytic.scores(
      model, (count, Lq), (count, 1, Lp), in_batch=False
    )

  return Program(
    stage=name,
    kind=stage.kind,
    model=shared.config.stages[source].model,
    unit=unit,
    batch=batch,
    multiple=1,
    grain=batch,
    devices=1,
    copies=len(given),
    examples=examples,
    remat="",
    flops=flops,
    lower=lower,
  )


def _text() -> np.ndarray:
  return np.zeros(1, np.int32)


def _placed(tree: Any, where: jax.sharding.Sharding) -> Any:
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree
  )
