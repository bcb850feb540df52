"""A loss at several widths of the student's vectors, of one forward pass."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax.methods import contrastive, lead, matryoshka, prod, scoring
from prod_jax.methods.scoring import Sources
from prod_jax.models.dual import unit
from prod_jax.models.matryoshka import cut
from tests.methods import batches
from tests.methods.batches import B, N, batch, no_dropout, rng

DUAL = no_dropout(batches.DUAL)
DOT = dataclasses.replace(DUAL, similarity="dot", scale=1.0)
CACHED = Sources(teacher="scores")
PROD = prod.Settings(in_batch=False, temperature=4.0, hard=0.1, soft=0.9)
LISTS = jax.tree.map(jnp.asarray, batch(list_scores_BN=batches.scores(5, B, N)))


def params(model=DUAL):
  return model.init(jax.random.key(2))


def loss_of(widths, model=DUAL, method=prod, settings=PROD, sources=CACHED):
  return matryoshka.make(method, settings, model, sources, widths)


def test_the_whole_width_alone_is_the_methods_own_loss():
  plain = jax.jit(prod.make(PROD, DUAL, CACHED))(params(), {}, LISTS, rng())
  found = jax.jit(loss_of((16,)))(params(), {}, LISTS, rng())
  jax.tree.map(np.testing.assert_array_equal, found, plain)


@pytest.mark.parametrize(
  "model",
  [
    pytest.param(DUAL, id="cosine"),
    pytest.param(DOT, marks=pytest.mark.long, id="dot"),
  ],
)
def test_the_sum_is_that_of_vectors_that_are_cut_by_hand(model):
  """The contrastive loss of slices, each of length 1 again with a cosine."""
  widths = (16, 12, 4)

  def by_hand(tree, width):
    query, passage, _ = scoring.embed(model, tree, LISTS)
    query, passage = query[..., :width], passage[..., :width]
    if model.similarity == "cosine":
      query, passage = 20.0 * unit(query), unit(passage)
    s_BP = query @ passage.reshape(-1, width).T
    target_B, where_BP = scoring.columns(LISTS, in_batch=True)
    s_BP = jnp.where(where_BP, s_BP, -jnp.inf)
    log_p = jax.nn.log_softmax(s_BP, axis=-1)
    return -log_p[jnp.arange(B), target_B].mean()

  def total(tree):
    return sum(by_hand(tree, width) for width in widths)

  settings = contrastive.Settings()
  loss_fn = loss_of(widths, model, contrastive, settings, Sources())
  (found, metrics), slope = jax.jit(
    jax.value_and_grad(lambda p: loss_fn(p, {}, LISTS, rng()), has_aux=True)
  )(params(model))
  wanted, wanted_slope = jax.jit(jax.value_and_grad(total))(params(model))
  np.testing.assert_allclose(found, wanted, rtol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
    slope,
    wanted_slope,
  )
  each = [metrics[f"loss@{width}"] for width in widths]
  alone = jax.jit(by_hand, static_argnums=1)
  np.testing.assert_allclose(
    each, [alone(params(model), w) for w in widths], rtol=1e-5
  )


def test_an_encoder_runs_once_for_all_widths():
  """With dropout, which would keep repeated passes from being merged."""

  def flops(widths):
    loss_fn = loss_of(widths, batches.DUAL)
    step = jax.jit(jax.grad(lambda p: loss_fn(p, {}, LISTS, rng())[0]))
    return step.lower(params()).compile().cost_analysis()["flops"]

  assert flops((16, 12, 8, 4)) < 1.15 * flops((16,))


def test_inner_layers_are_cut_like_the_last():
  half = cut(DUAL, jnp.arange(16) < 8)
  vector, out = jax.jit(lambda p: half.embed(p, LISTS.passage, "passage"))(
    params()
  )
  np.testing.assert_array_equal(out["layers"][-1], vector)
  assert not np.asarray(vector)[..., 8:].any()
  np.testing.assert_allclose(
    np.linalg.norm(vector, axis=-1)[LISTS.where_BN], 1, rtol=1e-5
  )
  teacher = no_dropout(batches.DEEP_DUAL)
  settings = lead.Settings(in_batch=True, layers=1)
  sources = Sources(teacher="step", model=teacher)
  loss_fn = loss_of((16, 8), DUAL, lead, settings, sources)
  frozen = {"teacher": teacher.init(jax.random.key(9))}
  beside = lead.beside(settings, half, sources, jax.random.key(4))
  trained = {"student": params(), **beside}
  loss, metrics = jax.jit(loss_fn)(trained, frozen, LISTS, rng())
  np.testing.assert_allclose(
    loss, metrics["loss@16"] + metrics["loss@8"], rtol=1e-6
  )
