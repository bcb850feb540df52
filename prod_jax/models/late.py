"""Late interaction: one vector a token, compared token by token.

ColBERT (arXiv 2004.12832): queries and passages are embedded apart, as by a
dual encoder, but keep a vector for each token. How such vectors become a
score stands in losses/max_sim.py.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from prod_jax.batch import Tokens
from prod_jax.models import transformer
from prod_jax.models.dual import unit
from prod_jax.models.texts import in_chunks
from prod_jax.models.transformer import Out, TransformerConfig

PyTree = Any


class LateEmbedding(NamedTuple):
  """Token vectors of texts.

  Attributes:
    vectors: float32 unit vectors [..., L, D].
    where: bool [..., L], False on tokens that do not take part.
  """

  vectors: Float[Array, "... L D"]
  where: Bool[Array, "... L"]


@dataclasses.dataclass(frozen=True)
class LateInteraction:
  """Two towers of token vectors that share a shape, and weights where `tied`.

  Attributes:
    transformer: shape of each tower.
    tied: one set of weights for queries and passages.
    projection: width of the vectors, by one linear map without bias for both
      towers, 128 in ColBERT; PROD's code has 128, and a map a tower. 0 leaves
      hidden states as they are, as LEAD's code does.
    mask_id: the vocabulary's [MASK]. Padding of a query becomes such tokens,
      which take part (ColBERT's query augmentation); None leaves padding out.
    hide_masks: these tokens read the query, and no token reads them.
    skip_ids: tokens of passages that take no part, such as punctuation.
  """

  transformer: TransformerConfig
  tied: bool
  projection: int = 0
  mask_id: int | None = None
  hide_masks: bool = False
  skip_ids: tuple[int, ...] = ()

  @property
  def width(self) -> int:
    """Of a token's vector."""
    return self.projection or self.transformer.width

  def init(self, key: PRNGKeyArray) -> PyTree:
    """Random parameters: those of the towers, as a dual encoder's, and
    {"projection"} where there is one.
    """
    # Three keys in any case, so that `tied` does not change the projection.
    query_key, passage_key, head_key = jax.random.split(key, 3)
    if self.tied:
      params = {"encoder": transformer.init(self.transformer, query_key)}
    else:
      params = {
        "query": transformer.init(self.transformer, query_key),
        "passage": transformer.init(self.transformer, passage_key),
      }
    if self.projection:
      shape = (self.transformer.width, self.projection)
      kernel = 0.02 * jax.random.normal(head_key, shape)
      params["projection"] = {"kernel": kernel}
    return params

  def embed(
    self,
    params: PyTree,
    tokens: Tokens,
    tower: Literal["query", "passage"],
    *,
    dropout_key: PRNGKeyArray | None = None,
  ) -> tuple[LateEmbedding, Out]:
    """Token vectors of tokens [..., L], one text a row.

    Args:
      params: as of `init`.
      tokens: padding has segment 0.
      tower: whose weights to take.
      dropout_key: without it there is no dropout.

    Returns:
      The embedding, and those that every layer would make in `out["layers"]`.
    """
    # Before anything looks at segments: masks take part.
    if tower == "query" and self.mask_id is not None:
      tokens = _augmented(tokens, self.mask_id, -1 if self.hide_masks else 1)
    weights = params["encoder" if self.tied else tower]

    def embed(
      tokens: Tokens, key: PRNGKeyArray | None
    ) -> tuple[LateEmbedding, ...]:
      _, out = transformer.encode(self.transformer, weights, tokens, key)
      where = jnp.asarray(tokens.segment) != 0
      if tower == "passage" and self.skip_ids:
        skipped = jnp.asarray(self.skip_ids, jnp.int32)
        where &= ~jnp.isin(jnp.asarray(tokens.ids), skipped)
      vectors = (self._project(params, x) for x in out["layers"])
      return tuple(LateEmbedding(x, where) for x in vectors)

    with jax.named_scope(tower):
      layers = in_chunks(embed, tokens, dropout_key, self.transformer.chunks)
    return layers[-1], {"layers": layers}

  def _project(
    self, params: PyTree, hidden: Float[Array, "... L D"]
  ) -> Float[Array, "... L E"]:
    """Unit vectors from hidden states of a layer."""
    # Before the projection and not behind it: vectors are float32 throughout.
    hidden = hidden.astype(jnp.float32)
    if self.projection:
      hidden = hidden @ params["projection"]["kernel"]
    return unit(hidden)


def _augmented(tokens: Tokens, mask_id: int, segment: int) -> Tokens:
  """Padding as [MASK] tokens of the text, or of such a segment."""
  padding = jnp.asarray(tokens.segment) == 0
  return tokens._replace(
    ids=jnp.where(padding, mask_id, tokens.ids),
    segment=jnp.where(padding, segment, tokens.segment),
  )
