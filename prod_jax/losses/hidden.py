"""Losses on what models have inside: scores of layers, and embeddings.

The contract is that of `listwise`, with an axis K of layers in front of the
scores of one batch.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int

from prod_jax.losses import contrastive, listwise


@jax.named_scope("layer_weights")
def layer_weights(
  teacher_KBN: Float[Array, "K B N"],
  target_B: Int[Array, " B"],
  *,
  temperature: float,
  where: Bool[Array, "B N"] | None = None,
) -> Float32[Array, " K"]:
  """How much each of K teacher layers is to count.

      w = softmax_k(-mean_b CE(z_k)[b] / tau)

  A layer that ranks better weighs more. The mean is over rows with a label.
  The weights are constants: no gradient passes, as in the official code, which
  builds them outside of the graph.

  Source: LEAD (arXiv 2212.05225), layer re-weighting of its code.

  Args:
    teacher_KBN: the teacher's scores at each layer.
    target_B: column of the positive; -1 where there is none.
    temperature: tau > 0, in nats; large values even the weights out.
    where: False on columns that do not count.

  Returns:
    Weights that sum to 1.

  >>> z = jnp.array([[[2.0, 0, 1], [0, 1, 0]], [[3.0, 0, 0], [0, 2, 0]]])
  >>> w = layer_weights(z, jnp.array([0, 1]), temperature=10.0)
  >>> [round(float(x), 4) for x in w]
  [0.4922, 0.5078]
  """
  # A row without one has a cross-entropy of 0.
  count = jnp.maximum((target_B >= 0).sum(), 1)
  nll_K = jnp.stack(
    [
      contrastive.cross_entropy(z_BN, target_B, where=where).sum() / count
      for z_BN in teacher_KBN
    ]
  )
  return jax.lax.stop_gradient(jax.nn.softmax(-nll_K / temperature))


@jax.named_scope("layer_kl")
def layer_kl(
  student_KBN: Float[Array, "K B N"],
  teacher_KBN: Float[Array, "K B N"],
  weight_K: Float[Array, " K"],
  *,
  where: Bool[Array, "B N"] | None = None,
  temperature: float = 1.0,
) -> Float32[Array, " B"]:
  """Weighted divergence of student layers from teacher layers.

      sum_k w_k KL(softmax(z_k / T) || softmax(s_k))

  T divides the teacher's scores alone and no T^2 is in, as in the official
  code, where T is 1. Neither side is cut from the gradient.

  Source: LEAD (arXiv 2212.05225), layer distillation of its code.

  Args:
    student_KBN, teacher_KBN: scores at each of the K paired layers.
    weight_K: as of `layer_weights`.
    where: False on columns that do not count.
    temperature: T > 0.

  Returns:
    The loss of each query in nats.

  >>> z = jnp.array([[[2.0, 0, 1], [0, 1, 0]], [[3.0, 0, 0], [0, 2, 0]]])
  >>> s = jnp.array([[[1.0, 0, 0], [0, 1, 1]], [[1.0, 1, 0], [0, 1, 0]]])
  >>> w = layer_weights(z, jnp.array([0, 1]), temperature=10.0)
  >>> round(float(layer_kl(s, z, w).mean()), 4)
  0.1999
  """
  if where is not None:
    where = jnp.broadcast_to(where, student_KBN.shape)
  kl_KB = listwise.kl(
    student_KBN, teacher_KBN, where=where, teacher_temperature=temperature
  )
  return jnp.einsum("K,KB->B", weight_K, kl_KB)


@jax.named_scope("embedding_mse")
def embedding_mse(
  student_query_BD: Float[Array, "B D"],
  student_passage_BND: Float[Array, "B N D"],
  teacher_query_BD: Float[Array, "B D"],
  teacher_passage_BND: Float[Array, "B N D"],
  *,
  where: Bool[Array, "B N"],
) -> Float32[Array, " B"]:
  """Half the mean squared difference of embeddings, queries plus passages.

      1/2 mean_d (q_s - q_t)^2 + 1/2 mean_nd (p_s - p_t)^2

  Source: PROD's `KD_type` Bi_logit (arXiv 2209.13335, its code). Deviation:
  the mean over passages is first taken within each query's own list.

  Args:
    student_query_BD, student_passage_BND: embeddings of the model that learns.
    teacher_query_BD, teacher_passage_BND: embeddings of the same width, to
      which a method may have projected the student's.
    where: False on passages that do not count.

  Returns:
    The loss of each query in squared embedding units.

  >>> q_s, q_t = jnp.eye(2), jnp.array([[1.0, 1.0], [0.0, 0.0]])
  >>> p_s = jnp.array([[[1.0, 0], [0, 1]], [[1.0, 1], [0, 0]]])
  >>> p_t = jnp.array([[[1.0, 0], [0, 1]], [[0.0, 0], [0, 2]]])
  >>> where = jnp.ones((2, 2), bool)
  >>> float(embedding_mse(q_s, p_s, q_t, p_t, where=where).mean())
  0.625
  """
  query_B = _square_mean(student_query_BD, teacher_query_BD)
  student_BND = jnp.where(where[..., None], student_passage_BND, 0.0)
  teacher_BND = jnp.where(where[..., None], teacher_passage_BND, 0.0)
  passage_BN = _square_mean(student_BND, teacher_BND)
  count_B = jnp.maximum(where.sum(axis=-1), 1)
  return 0.5 * (query_B + passage_BN.sum(axis=-1) / count_B)


def _square_mean(
  a: Float[Array, "*B D"], b: Float[Array, "*B D"]
) -> Float32[Array, "*B"]:
  difference = a.astype(jnp.float32) - b.astype(jnp.float32)
  return jnp.mean(difference**2, axis=-1)
