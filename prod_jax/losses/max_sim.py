"""Late-interaction scores: a sum over query tokens of the best passage token.

    score(q, p) = sum over tokens l of q of max over tokens m of p of <q_l, p_m>

ColBERT (arXiv 2004.12832, section 3.3). Beside the letters of batch.py: T is
the tokens of a passage where L is those of a query. Masks travel with the
tokens that they belong to, and what a masked vector holds, NaN included,
reaches neither score nor gradient. The official code of LEAD (arXiv 2212.05225)
gathers passages of all devices and masks them with the local mask.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32


def in_batch_scores(
  query_BLD: Float[Array, "B L D"],
  query_where_BL: Bool[Array, "B L"],
  passage_PTD: Float[Array, "P T D"],
  passage_where_PT: Bool[Array, "P T"],
) -> Float32[Array, "B P"]:
  """Scores of each query with every passage of the batch.

  Args:
    query_BLD: token vectors.
    query_where_BL: False on tokens that add nothing.
    passage_PTD: token vectors.
    passage_where_PT: False on tokens that are never the best one.

  Returns:
    Sums of similarities; 0 for a text without tokens.

  >>> q = jnp.array([[[1.0, 0.0], [0.0, 1.0]]])
  >>> p = jnp.array([[[0.5, 0.75], [1.0, 0.0]]])
  >>> both, first = jnp.array([[True, True]]), jnp.array([[True, False]])
  >>> in_batch_scores(q, both, p, both).tolist()
  [[1.75]]
  >>> in_batch_scores(q, both, p, first).tolist()
  [[1.25]]
  """
  similarity_BPLT = jnp.einsum(
    "BLD,PTD->BPLT",
    _kept(query_BLD, query_where_BL),
    _kept(passage_PTD, passage_where_PT),
    preferred_element_type=jnp.float32,
  )
  return _best(similarity_BPLT, passage_where_PT[None, :, None])


def own_list_scores(
  query_BLD: Float[Array, "B L D"],
  query_where_BL: Bool[Array, "B L"],
  passage_BNTD: Float[Array, "B N T D"],
  passage_where_BNT: Bool[Array, "B N T"],
) -> Float32[Array, "B N"]:
  """Scores of each query with its own N passages, see `in_batch_scores`.

  >>> q = jnp.array([[[1.0, 0.0], [0.0, 1.0]]])
  >>> p = jnp.array([[[[0.5, 0.75], [1.0, 0.0]], [[0.0, -1.0], [1.0, 0.0]]]])
  >>> where = jnp.array([[[True, True], [True, False]]])
  >>> both = jnp.array([[True, True]])
  >>> own_list_scores(q, both, p, where).tolist()
  [[1.75, -1.0]]
  """
  similarity_BNLT = jnp.einsum(
    "BLD,BNTD->BNLT",
    _kept(query_BLD, query_where_BL),
    _kept(passage_BNTD, passage_where_BNT),
    preferred_element_type=jnp.float32,
  )
  return _best(similarity_BNLT, passage_where_BNT[:, :, None])


def _kept(
  vectors: Float[Array, "*X D"], where: Bool[Array, "*X"]
) -> Float[Array, "*X D"]:
  """Vectors, 0 where masked.

  A mask behind the product is too late: its gradient is 0 times the vector.
  """
  return jnp.where(where[..., None], vectors, 0.0)


def _best(
  similarity: Float32[Array, "*X L T"], where: Bool[Array, "..."]
) -> Float32[Array, "*X"]:
  """The sum over L of the maximum over T, by a mask that broadcasts.

  Masked query tokens are zeros by now, and zeros are what they add.
  """
  lowest = jnp.finfo(jnp.float32).min
  best = jnp.where(where, similarity, lowest).max(axis=-1)
  return jnp.sum(jnp.where(where.any(axis=-1), best, 0.0), axis=-1)
