"""Scores at chosen layers of an encoder, each layer scored like the last.

A dual encoder's layer is pooled and compared as its embeddings are, a
cross-encoder's goes through the one head, a late-interaction model's becomes
token vectors. Scores have no width, so that those of two models need not agree.
A method may have a matrix for each layer, through which vectors go first.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from prod_jax.batch import Batch
from prod_jax.methods import scoring
from prod_jax.methods.scoring import Embedding
from prod_jax.models import Embedder, Encoder
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.dual import unit
from prod_jax.models.late import LateInteraction


class LayerScores(NamedTuple):
  """Scores of the last layer, and a function that scores others.

  Attributes:
    last_BX: what `scoring.score` returns.
    at: int32 [K], indices from 0 below the first layer's output to depth - 1,
      to scores [K, B, X]. The indices may be traced.
  """

  last_BX: jax.Array
  at: Callable[[jax.Array], jax.Array]


def score_layers(
  model: Encoder,
  params: Any,
  batch: Batch,
  *,
  in_batch: bool,
  dropout_key: jax.Array | None,
  kernels: jax.Array | None = None,
) -> LayerScores:
  """One forward pass, and whatever scores are asked of it.

  Args:
    model, params, batch, in_batch, dropout_key: as of `scoring.score`.
    kernels: [depth, D, E], what vectors of each layer go through in `at`. A
      cross-encoder has none.
  """
  if isinstance(model, CrossEncoder):
    last_BN, out = model.score(params, batch.pair, dropout_key=dropout_key)
    of_layers = jnp.stack(out["layers"])
    return LayerScores(last_BN, lambda layer_K: of_layers[layer_K])
  query, passage, outs = scoring.embed(model, params, batch, dropout_key)
  queries, passages = (
    jax.tree.map(lambda *x: jnp.stack(x), *out["layers"]) for out in outs
  )

  def at(layer_K: jax.Array) -> jax.Array:
    # One layer after the other: late interaction has B * P * L * L products.
    def scores(layer: jax.Array) -> jax.Array:
      query, passage = jax.tree.map(lambda x: x[layer], (queries, passages))
      if kernels is not None:
        query = _projected(model, kernels[layer], query, "query")
        passage = _projected(model, kernels[layer], passage, "passage")
      return scoring.compare(query, passage, in_batch=in_batch)

    return jax.lax.map(scores, layer_K)

  return LayerScores(scoring.compare(query, passage, in_batch=in_batch), at)


@jax.named_scope("projection")
def _projected(
  model: Embedder, kernel_DE: jax.Array, embedding: Embedding, tower: str
) -> Embedding:
  """Embeddings of another width, of the length that the model gives its own."""
  if isinstance(model, LateInteraction):
    return embedding._replace(vectors=unit(embedding.vectors @ kernel_DE))
  return model.as_scored(embedding @ kernel_DE, tower)
