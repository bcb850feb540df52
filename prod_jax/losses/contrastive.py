"""Scores of queries against passages, and cross-entropy with the labels.

Two sets of candidates exist: all P passages of the global batch, or the
query's own list of N. Both matmuls are written for the global view; where
rows live on several devices, the compiler moves them. The contract of
`listwise` holds: `[..., N]` scores to float32 `[...]`, masked columns as if
deleted, no gradient cut.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int


@jax.named_scope("cross_entropy")
def cross_entropy(
  scores: Float[Array, "*B N"],
  target: Int[Array, "*B"],
  *,
  where: Bool[Array, "*B N"] | None = None,
) -> Float32[Array, "*B"]:
  """Negative log-likelihood of the positive among the candidates.

      -log softmax(scores)[target]

  It has no temperature: scale the scores. With in-batch scores `[B, P]` and
  target b * N it is the loss of DPR (Karpukhin et al., arXiv 2004.04906,
  section 3.2); with own lists `[B, N]` and target 0 it is the one PROD trains
  cross-encoders with (arXiv 2209.13335). Both take the mean over queries.

  Args:
    scores: a row of candidates for each query.
    target: column of the positive, below N; a larger one gives NaN. A row with
      -1 has no label: it is 0 with zero gradient.
    where: False on columns that do not count. A row whose target is deleted
      has no label either.

  Returns:
    The loss of each query in nats.

  >>> s = jnp.array([[2.0, 1.0, 0.0], [0.5, 1.5, -1.0]])
  >>> round(float(cross_entropy(s, jnp.array([0, 0])).mean()), 4)
  0.8896
  """
  log_p = jax.nn.log_softmax(scores.astype(jnp.float32), where=where)
  column = jnp.maximum(target, 0)
  labelled = target >= 0
  if where is not None:
    labelled &= _at(where, column)
  return jnp.where(labelled, -_at(log_p, column), 0.0)


def in_batch_scores(
  query_BD: Float[Array, "B D"], passage_PD: Float[Array, "P D"]
) -> Float32[Array, "B P"]:
  """Dot products of each query with every passage of the batch.

  One matmul over the global batch, so that a gradient reaches all queries and
  passages. PROD's code scores gathered copies whose remote rows are constants,
  and so gets 1 / devices of this gradient. Sums are float32 in any input type.

  >>> q = jnp.array([[1.0, 0.0], [0.0, 2.0]])
  >>> p = jnp.array([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
  >>> scores = in_batch_scores(q, p)
  >>> scores.tolist()
  [[2.0, 0.0, 1.0, -1.0], [0.0, 2.0, 2.0, 0.0]]
  >>> target = jnp.array([0, 2])  # N = 2 passages a query
  >>> round(float(cross_entropy(scores, target).mean()), 4)
  0.6301
  """
  return jnp.einsum(
    "BD,PD->BP", query_BD, passage_PD, preferred_element_type=jnp.float32
  )


def own_list_scores(
  query_BD: Float[Array, "B D"], passage_BND: Float[Array, "B N D"]
) -> Float32[Array, "B N"]:
  """Dot products of each query with its own N passages, summed in float32.

  >>> q = jnp.array([[1.0, 0.0], [0.0, 2.0]])
  >>> p = jnp.array([[[2.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [-1.0, 0.0]]])
  >>> own_list_scores(q, p).tolist()
  [[2.0, 0.0], [2.0, 0.0]]
  """
  return jnp.einsum(
    "BD,BND->BN", query_BD, passage_BND, preferred_element_type=jnp.float32
  )


def in_batch_where(
  positive_id_BM: Int[Array, "B M"],
  passage_id_P: Int[Array, " P"],
  target_B: Int[Array, " B"],
) -> Bool[Array, "B P"]:
  """Which passages of the batch may stand as candidates of which query.

  False on padding passages, and on passages relevant to the query that are not
  its target column: second copies of the target, and other labelled positives,
  which other queries brought along. As negatives they would be false ones.
  Deviation: PROD's code has no such mask and keeps them.

  Args:
    positive_id_BM: ids of the labelled positives and their copies, padded with
      -1.
    passage_id_P: ids of the batch's passages, -1 on padding.
    target_B: column of the query's positive, -1 where it has none.

  Returns:
    The mask of `in_batch_scores`, True on the target unless that is padding.

  >>> positive_id = jnp.array([[7, 9], [8, -1]])
  >>> passage_id = jnp.array([7, 5, 8, 7, 9, -1])
  >>> in_batch_where(positive_id, passage_id, jnp.array([0, 2])).astype(int)
  Array([[1, 1, 1, 0, 0, 0],
         [1, 1, 1, 1, 1, 0]], dtype=int32)
  """
  target_id_B = passage_id_P[jnp.maximum(target_B, 0)]
  target_id_B1 = jnp.where(target_B >= 0, target_id_B, -1)[:, None]
  relevant_id_BM = jnp.concatenate([positive_id_BM, target_id_B1], axis=1)
  is_relevant_BP = jnp.any(
    relevant_id_BM[:, :, None] == passage_id_P[None, None, :], axis=1
  )
  column_P = jnp.arange(passage_id_P.shape[0])
  is_target_BP = column_P[None, :] == target_B[:, None]
  is_passage_P = passage_id_P >= 0
  return is_passage_P[None, :] & (is_target_BP | ~is_relevant_BP)


def _at(x: Array, column: Int[Array, "*B"]) -> Array:
  """`x[..., column]`, one column a row."""
  return jnp.take_along_axis(x, column[..., None], axis=-1)[..., 0]
