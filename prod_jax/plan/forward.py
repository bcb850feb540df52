"""Stages that run a frozen model over many rows, as programs.

Texts are of the mean length where that is known, else of the greatest.
Every function makes the program of its stage kind; `size` is of the data set.
Each device works at batches of its own, and so does a program.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from prod_jax import config, kinds, sharding
from prod_jax.batch import Packed, Texts, Tokens
from prod_jax.data import packing
from prod_jax.data import rows as layout
from prod_jax.data.sizes import Size
from prod_jax.data.store import Slices, store_of
from prod_jax.methods.scoring import Encoder
from prod_jax.models.late import LateInteraction
from prod_jax.plan import analytic, batches
from prod_jax.plan.program import Program, params_of
from prod_jax.retrieval import buckets, rerank
from prod_jax.retrieval import encode as embedding
from prod_jax.stages.inputs import Inputs

_SAMPLE = 4096  # texts by which it is seen how many stand in a row


def encode(
  shared: Inputs, name: str, stage: kinds.Encode, size: Size
) -> Program:
  length = shared.config.data.passage_length

  def program(model: Encoder, params: Any, texts: Texts):
    return embedding.embed_texts.trace(model, params, texts, "passage")

  return _forward(
    shared,
    name,
    stage,
    program,
    source=stage.params,
    reads=("dual",),
    unit="passages",
    rows=_padded(layout.single(_text(), length), length),
    longest=length,
    mean=batches.means(shared.config.data, size).passage,
    examples=size.passages or None,
  )


def score(shared: Inputs, name: str, stage: kinds.Score, size: Size) -> Program:
  return _pairs(shared, name, stage, 1, _of_lists(shared, stage, size), size)


def darken(
  shared: Inputs, name: str, stage: kinds.Darken, size: Size
) -> Program:
  made = stage.strengthened + stage.masked
  queries = _queries(shared, stage, size)
  return _pairs(shared, name, stage, 1, queries and queries * made, size)


def compare(
  shared: Inputs, name: str, stage: kinds.Compare, size: Size
) -> Program:
  asked = stage.pairs * (2 if stage.both_orders else 1)
  queries = _queries(shared, stage, size)
  return _pairs(shared, name, stage, 2, queries and queries * asked, size)


def evaluate(
  shared: Inputs, name: str, stage: kinds.Evaluate, size: Size
) -> Program | None:
  """Only what reranks: retrieval is no step of a model."""
  if not stage.rerank:
    return None
  queries = size.queries.get(stage.split)
  count = queries and queries * stage.rerank_depth
  return _pairs(shared, name, stage, 1, count, size, source=stage.rerank)


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
  size: Size,
  source: str = "",
) -> Program:
  """A model that reads a query with one passage or two, in rows [R, L]."""
  source = source or stage.params
  model, data, text = shared.model_of(source), shared.config.data, _text()
  Lq = data.query_length
  jitted, longest = rerank.score_pairs, layout.pair_length(data)
  mean = batches.means(data, size).pair
  if isinstance(model, LateInteraction):
    jitted, longest = rerank.score_late_pairs, data.passage_length
    rows = tuple(_padded(layout.single(text, L), L) for L in (Lq, longest))
  elif passages == 1:
    rows = _padded(layout.pair(text, text, Lq, longest), longest)
  else:
    longest = layout.triple_length(data)
    mean = batches.means(data, size).triple
    triple = layout.triple(text, text, text, Lq, data.passage_length)
    rows = _padded(triple, longest)
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
    mean=mean,
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
  mean: int,
  examples: int | None,
) -> Program:
  """A frozen model, of a kind that `reads` such rows, over many of them.

  Where texts share rows a batch is of so many tokens, and counts the texts of
  the mean length that fill them.
  """
  shared.check_trains(f"config.stages.{name}", source, reads)
  model, given = shared.model_of(source), shared.devices
  mesh = sharding.make_mesh(config.Mesh(), given[:1])
  batch, of_size = _texts(shared.config.data, rows, longest, mean, stage)

  def lower(count: int) -> jax.stages.Lowered:
    params = _placed(params_of(model), sharding.replicated(mesh))
    texts = of_size(count)
    with jax.set_mesh(mesh):
      traced = trace(
        model, params, _placed(texts, sharding.batch_sharding(mesh))
      )
      return traced.lower(lowering_platforms=("tpu",))

  def flops(count: int) -> int:
    texts = of_size(count)
    if isinstance(texts, Tokens | Packed):
      return analytic.texts(model, [texts.ids.shape])
    shapes = [text.ids.shape for text in texts]
    (_, Lq), (_, Lp) = shapes
    return analytic.texts(model, shapes) + analytic.scores(
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


def _texts(
  data: config.Data, rows: Any, longest: int, mean: int, stage: Any
) -> tuple[int, Callable[[int], Any]]:
  """How many texts a batch holds, and the shape of any number of them."""
  if not data.packed or not isinstance(rows, Tokens):
    batch = buckets.rows_of(longest, stage.batch_tokens)
    return batch, functools.partial(batches.of_size, rows)
  lengths = batches.lengths_of(
    (_SAMPLE, 1), mean, longest, np.random.default_rng(0)
  )
  one_group = packing.Cut(devices=1, splits=1)
  (_, L), _ = packing.shape_for([lengths], one_group, longest, data.row_length)
  a_row = _SAMPLE / packing.fit(lengths[:, 0], L).rows  # texts, in the mean

  def of_size(count: int) -> Packed:
    R = math.ceil(count / a_row)
    return batches.packed_shape((1, count), 1, R, L)

  full = buckets.rows_of(L, stage.batch_tokens)
  return max(int(full * a_row), 1), of_size


def _text() -> Slices:
  """One text of one token."""
  return store_of([np.zeros(1, np.int32)]).slices(np.zeros(1, int))


def _padded(texts: layout.Joined, length: int) -> Tokens:
  return layout.padded(texts, length, batches.SPECIAL)


def _placed(tree: Any, where: jax.sharding.Sharding) -> Any:
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree
  )
