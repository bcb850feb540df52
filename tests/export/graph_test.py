"""Graphs: what onnx's own reference makes of them is what the model makes."""

import jax
import numpy as np
import pytest

from prod_jax.models.cross import CrossEncoder, Head
from prod_jax.models.dual import Dense, DualEncoder
from prod_jax.models.texts import POOLINGS
from tests.models import tiny

onnx = pytest.importorskip("onnx", reason="it comes with the extra: onnx")

from onnx.reference import ReferenceEvaluator  # noqa: E402

from prod_jax.export import graph  # noqa: E402

TOKENS = tiny.tokens(12, 5, 1)


@pytest.fixture(autouse=True)
def of_any_rank():
  """How bodies broadcast is the business of their own tests."""
  with jax.numpy_rank_promotion("allow"):
    yield


def run(model, output):
  said = {
    "input_ids": TOKENS.ids,
    "attention_mask": TOKENS.segment,
    "token_type_ids": TOKENS.type,
  }
  names = {x.name for x in model.graph.input}
  feed = {k: v.astype(np.int64) for k, v in said.items() if k in names}
  return ReferenceEvaluator(model).run([output], feed)[0]


def random(model):
  """Parameters of which none is 0 or 1, so that each one counts."""
  params = model.init(jax.random.key(1))
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(2), len(leaves))
  drawn = [
    x + 0.3 * jax.random.normal(k, x.shape)
    for x, k in zip(leaves, keys, strict=True)
  ]
  return jax.device_get(jax.tree.unflatten(tree, drawn))


@pytest.mark.parametrize(
  ("family", "pooling", "similarity"),
  [(family, "mean", "cosine") for family in tiny.FAMILIES]
  + [("bert", pooling, "dot") for pooling in POOLINGS],
)
def test_a_tower_gives_our_vectors(family, pooling, similarity):
  config = tiny.FAMILIES[family]
  dense = (Dense(8, activation="tanh"), Dense(6, bias=False))
  model = DualEncoder(config, True, pooling, similarity, dense=dense)
  params = random(model)
  made = graph.of_dual(model, params["encoder"], params["dense"])
  own = model.embed(params, TOKENS, "passage")[0]
  np.testing.assert_allclose(
    run(made, "sentence_embedding"), own, atol=1e-5, rtol=1e-5
  )
  assert "token_type_ids" in {x.name for x in made.graph.input} or (
    config.type_vocab < 2
  )


@pytest.mark.parametrize(
  "head",
  [
    Head("mean"),
    Head("cls", hidden="tanh"),
    Head("cls", hidden="gelu", norm=True, labels=2),
  ],
)
def test_a_cross_encoder_gives_our_logits(head):
  model = CrossEncoder(tiny.FAMILIES["bert"], head.pooling, head)
  params = random(model)
  made = graph.of_cross(model, params)
  own, _ = model.score(params, TOKENS)
  np.testing.assert_allclose(
    run(made, "logits")[:, 0], own, atol=1e-4, rtol=1e-5
  )
