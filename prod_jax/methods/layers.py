"""Scores at chosen layers of an encoder, each layer scored like the last.

A dual encoder's layer is pooled and compared as its embeddings are, a
cross-encoder's goes through the one head, a late-interaction model's becomes
token vectors. No layer has parameters of its own, so widths need not agree
between two models.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from prod_jax.batch import Batch
from prod_jax.methods import scoring
from prod_jax.models import Encoder
from prod_jax.models.cross import CrossEncoder


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
) -> LayerScores:
  """One forward pass, and whatever scores are asked of it."""
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
      of_layer = jax.tree.map(lambda x: x[layer], (queries, passages))
      return scoring.compare(*of_layer, in_batch=in_batch)

    return jax.lax.map(scores, layer_K)

  return LayerScores(scoring.compare(query, passage, in_batch=in_batch), at)
