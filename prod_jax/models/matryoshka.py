"""Vectors whose first coordinates are vectors by themselves.

Matryoshka representation learning (arXiv 2205.13147): a loss is taken at
several widths w of one vector, of which only the first w coordinates count.
Here they are cut with a mask and not with a slice: a dot product and a length
are the same with zeros behind, and of a mask that is an argument several can be
had of one forward pass.
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prod_jax.batch import Texts
from prod_jax.models.dual import DualEncoder
from prod_jax.models.transformer import Out

PyTree = Any


@dataclasses.dataclass(frozen=True)
class CutEncoder(DualEncoder):
  """A dual encoder of whose vectors some coordinates count.

  Attributes:
    where_D: bool [D], False where a coordinate is 0; an argument of a traced
      function, too. With "cosine" what is left has its length again.
  """

  where_D: Any = dataclasses.field(kw_only=True, compare=False)

  def embed(
    self,
    params: PyTree,
    texts: Texts,
    tower: Literal["query", "passage"],
    *,
    dropout_key: PRNGKeyArray | None = None,
  ) -> tuple[Float[Array, "... D"], Out]:
    """Embeddings as of `DualEncoder`, cut; those of inner layers too."""
    vector, out = super().embed(params, texts, tower, dropout_key=dropout_key)
    layers = tuple(self._cut(x, tower) for x in out["layers"])
    return self._cut(vector, tower), {**out, "layers": layers}

  def _cut(
    self, vector: Float[Array, "... D"], tower: str
  ) -> Float[Array, "... D"]:
    where = jnp.broadcast_to(jnp.asarray(self.where_D), vector.shape)
    return self.as_scored(jnp.where(where, vector, 0.0), tower)


def cut(student: DualEncoder, where_D: jax.Array) -> CutEncoder:
  """The same encoder with only these coordinates."""
  own = {f.name: getattr(student, f.name) for f in dataclasses.fields(student)}
  return CutEncoder(**own, where_D=where_D)
