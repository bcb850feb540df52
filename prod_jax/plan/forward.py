"""Stages that run a frozen model over many rows, as programs.

Texts are of the mean length where that is known, else of the greatest.
Every function makes the program of its stage kind; `size` is of the data set.
Each device works at batches of its own, and so does a program.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from prod_jax import config, kinds, sharding
from prod_jax.batch import Packed, Texts, Tokens
from prod_jax.batches import packing
from prod_jax.batches import rows as layout
from prod_jax.batches.store import Slices, store_of
from prod_jax.models import Encoder
from prod_jax.models.build import shapes_of
from prod_jax.models.late import LateInteraction
from prod_jax.plan import analytic, batches
from prod_jax.plan.program import Program
from prod_jax.retrieval import encode as embedding
from prod_jax.retrieval import rerank
from prod_jax.retrieval.forward import rows_of
from prod_jax.sets.sizes import Size
from prod_jax.stages import examples
from prod_jax.stages.run import Job

_SAMPLE = 4096  # texts by which it is seen how many stand in a row


class _Reads(NamedTuple):
  """A model of a stage, and the rows that it reads.

  Attributes:
    role: of the train stage that trains it.
    kinds: of model that read such rows.
    unit: what a row is, in the plural.
    rows: one of them, padded, as Tokens or several of them.
    longest: tokens of the longest one.
    mean: tokens of one in the mean.
    trace: the jitted function that reads them, its `trace`.
  """

  role: str
  kinds: tuple[str, ...]
  unit: str
  rows: Any
  longest: int
  mean: int
  trace: Callable[..., jax.stages.Traced]


def encode(job: Job[kinds.Encode], size: Size) -> Program:
  data = job.run.config.data
  length = data.passage_length

  def trace(model: Encoder, params: Any, texts: Texts):
    return embedding.embed_texts.trace(model, params, texts, "passage")

  reads = _Reads(
    role="params",
    kinds=("dual",),
    unit="passages",
    rows=layout.padded(layout.single(_text(), length, batches.SPECIAL), length),
    longest=length,
    mean=batches.means(data, size).passage,
    trace=trace,
  )
  return _forward(job, reads, size.passages or None)


def score(job: Job[kinds.Score], size: Size) -> Program:
  columns = batches.list_columns(job)
  queries = _queries(job, size)
  return _forward(job, _pairs(job, size), queries and queries * columns)


def darken(job: Job[kinds.Darken], size: Size) -> Program:
  made = job.stage.strengthened + job.stage.masked
  queries = _queries(job, size)
  return _forward(job, _pairs(job, size), queries and queries * made)


def compare(job: Job[kinds.Compare], size: Size) -> Program:
  asked = job.stage.pairs * (2 if job.stage.both_orders else 1)
  queries = _queries(job, size)
  return _forward(job, _triples(job, size), queries and queries * asked)


def gate(job: Job[kinds.Gate], size: Size) -> Program | None:
  """Only what reads texts: of a dual encoder the vectors are there."""
  if isinstance(job.run.config.stages.get(job.stage.teacher), kinds.Encode):
    return None
  queries = size.queries.get(job.stage.split)
  count = queries and queries * job.stage.depth
  return _forward(job, _pairs(job, size, role="teacher"), count)


def evaluate(job: Job[kinds.Evaluate], size: Size) -> Program | None:
  """Only what reranks: retrieval is no step of a model."""
  if not job.stage.rerank:
    return None
  queries = size.queries.get(job.stage.split)
  count = queries and queries * job.stage.rerank_depth
  return _forward(job, _pairs(job, size, role="rerank"), count)


def _queries(job: Job, size: Size) -> int | None:
  """Queries that have lists."""
  lists: Any = examples.made(job, job.stage.candidates)
  queries = size.queries.get(lists.split)
  limit = getattr(lists, "limit", 0)  # a mine stage's
  return min(queries, limit) if queries and limit else queries


def _pairs(job: Job, size: Size, role: str = "params") -> _Reads:
  """A model that reads a query with a passage, in rows [R, L]."""
  data, text = job.run.config.data, _text()
  Lq, longest = data.query_length, layout.pair_length(data)
  trace, rows = rerank.score_pairs.trace, None
  if isinstance(job.model_of(role), LateInteraction):
    trace, longest = rerank.score_late_pairs.trace, data.passage_length
    rows = tuple(
      layout.padded(layout.single(text, L, batches.SPECIAL), L)
      for L in (Lq, longest)
    )
  return _Reads(
    role=role,
    kinds=("cross", "late"),
    unit="pairs",
    rows=rows
    or layout.padded(
      layout.pair(text, text, Lq, longest, batches.SPECIAL), longest
    ),
    longest=longest,
    mean=batches.means(data, size).pair,
    trace=trace,
  )


def _triples(job: Job[kinds.Compare], size: Size) -> _Reads:
  """A model that reads a query with two passages, in rows [R, L]."""
  data, text = job.run.config.data, _text()
  longest = layout.triple_length(data)
  limits = data.query_length, data.passage_length
  return _Reads(
    role="params",
    kinds=("pairwise",),
    unit="triples",
    rows=layout.padded(
      layout.triple(text, text, text, limits, batches.SPECIAL), longest
    ),
    longest=longest,
    mean=batches.means(data, size).triple,
    trace=rerank.score_pairs.trace,
  )


def _forward(job: Job, reads: _Reads, examples: int | None) -> Program:
  """A frozen model over so many rows, None where that is not known.

  Where texts share rows a batch is of so many tokens, and counts the texts of
  the mean length that fill them.
  """
  job.check_trains(reads.role, reads.kinds)
  model, given = job.model_of(reads.role), job.run.devices or jax.devices()
  mesh = sharding.make_mesh(config.Mesh(), given[:1])
  batch, of_size = _texts(job, reads)

  def lower(count: int) -> jax.stages.Lowered:
    params = _placed(shapes_of(model), sharding.replicated(mesh))
    texts = of_size(count)
    with jax.set_mesh(mesh):
      traced = reads.trace(
        model, params, _placed(texts, sharding.batch_sharding(mesh))
      )
      return traced.lower(lowering_platforms=("tpu",))

  def flops(count: int) -> int:
    texts = of_size(count)
    if isinstance(texts, Tokens | Packed):
      return analytic.texts(model, [texts])
    (_, Lq), (_, Lp) = (text.ids.shape for text in texts)
    return analytic.texts(model, texts) + analytic.scores(
      model, (count, Lq), (count, 1, Lp), in_batch=False
    )

  return Program(
    stage=job.name,
    kind=job.stage.kind,
    model=job.model_name(reads.role),
    unit=reads.unit,
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


def _texts(job: Job, reads: _Reads) -> tuple[int, Callable[[int], Any]]:
  """How many texts a batch holds, and the shape of any number of them."""
  data, batch_tokens = job.run.config.data, job.stage.batch_tokens
  longest = reads.longest
  if not data.packed or not isinstance(reads.rows, Tokens):
    batch = rows_of(longest, batch_tokens)
    return batch, functools.partial(batches.of_size, reads.rows)
  lengths = batches.lengths_of(
    (_SAMPLE, 1), reads.mean, longest, np.random.default_rng(0)
  )
  one_group = packing.Grouping(devices=1, splits=1)
  (_, L), _ = packing.shape_for([lengths], one_group, longest, data.row_length)
  a_row = _SAMPLE / packing.fit(lengths[:, 0], L).rows  # texts, in the mean

  def of_size(count: int) -> Packed:
    R = math.ceil(count / a_row)
    return batches.packed_shape((1, count), 1, R, L)

  full = rows_of(L, batch_tokens)
  return max(int(full * a_row), 1), of_size


def _text() -> Slices:
  """One text of one token."""
  return store_of([np.zeros(1, np.int32)]).slices(np.zeros(1, int))


def _placed(tree: Any, where: jax.sharding.Sharding) -> Any:
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree
  )
