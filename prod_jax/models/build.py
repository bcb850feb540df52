"""Encoders from what a config says of them, and their first parameters."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from prod_jax import model_kinds
from prod_jax.models import Encoder
from prod_jax.models.cross import CrossEncoder, Head
from prod_jax.models.dual import Dense, DualEncoder
from prod_jax.models.late import LateInteraction
from prod_jax.models.transformer import TransformerConfig

PyTree = Any

# Parts of an encoder's parameters that a whole transformer goes into.
TOWERS = frozenset(("encoder", "query", "passage"))


def encoder_of(
  model: model_kinds.Model,
  transformer: TransformerConfig,
  mask_id: Callable[[], int],
  dense: tuple[Dense, ...] = (),
  head: Head | None = None,
  skip_ids: tuple[int, ...] = (),
) -> Encoder:
  """The encoder that a config describes.

  Args:
    model: its section of the config, nothing of it left to a folder.
    transformer: the shape of its towers.
    mask_id: the vocabulary's [MASK]; only asked where the model pads with it.
    dense: layers behind the pooling of a dual encoder.
    head: of a cross-encoder; None is a linear one.
    skip_ids: of the words that a late-interaction model skips.
  """
  match model:
    case model_kinds.Dual():
      return DualEncoder(
        transformer=transformer,
        tied=model.tied,
        pooling=model.pooling,
        similarity=model.similarity,
        scale=model.scale,
        dense=dense,
      )
    case model_kinds.Late():
      return LateInteraction(
        transformer=transformer,
        tied=model.tied,
        projection=model.projection,
        mask_id=mask_id() if model.mask_queries else None,
        hide_masks=model.hide_masks,
        skip_ids=skip_ids,
      )
    case model_kinds.Cross() | model_kinds.Pairwise():
      pooling = model.pooling or "cls"
      return CrossEncoder(transformer, pooling, head or Head(pooling))


@functools.cache
def shapes_of(encoder: Encoder) -> PyTree:
  """An encoder's parameters as jax.ShapeDtypeStruct, nothing computed."""
  # The key is no number either: making one compiles two programs.
  return jax.eval_shape(lambda: encoder.init(jax.random.key(0)))


def init_around(
  encoder: Encoder, tower: PyTree, loaded: PyTree, key: PRNGKeyArray
) -> PyTree:
  """First parameters with loaded weights: what was not loaded is drawn.

  Args:
    encoder: whose parameters they are.
    tower: parameters of `transformer.Transformer`; each tower gets these same
      arrays.
    loaded: other parts that were loaded, such as {"head"}.
    key: of the parts that were not, which are those of `encoder.init(key)`.
  """
  # Shapes say which parts there are without drawing any.
  parts = shapes_of(encoder).keys()
  params = {k: tower for k in parts & TOWERS} | loaded
  missing = parts - params.keys()
  if not missing:
    return params

  @jax.jit  # what is not returned is not drawn
  def drawn(key: PRNGKeyArray) -> PyTree:
    return {k: v for k, v in encoder.init(key).items() if k in missing}

  return params | drawn(key)
