"""Graphs: what onnx's own reference makes of them is what the model makes."""

import jax
import numpy as np
import pytest

from prod_jax.batch import Tokens
from prod_jax.models.cross import CrossEncoder, Head
from prod_jax.models.dual import Dense, DualEncoder
from prod_jax.models.texts import POOLINGS
from prod_jax.models.transformer_config import TransformerConfig

onnx = pytest.importorskip("onnx", reason="it comes with the extra: onnx")

from onnx.reference import ReferenceEvaluator  # noqa: E402

from prod_jax.export import graph  # noqa: E402

SHAPE = dict(
  vocab_size=50, width=16, depth=3, heads=2, mlp_width=24, max_positions=20
)
FAMILIES = {
  "bert": {},
  "roberta": dict(position_offset=2, type_vocab=1, activation="relu"),
  "distilbert": dict(type_vocab=0),
  "mpnet": dict(type_vocab=0, position_offset=2, relative_buckets=32),
  "electra": dict(embedding_width=8, activation="gelu_new"),
  "modernbert": dict(
    type_vocab=0,
    pre_norm=True,
    gated=True,
    attention_bias=False,
    mlp_bias=False,
    norm_bias=False,
    rotary_theta=160000.0,
    local_theta=10000.0,
    local_layers=(1,),
    local_window=6,
  ),
}


@pytest.fixture(autouse=True)
def of_any_rank():
  """How bodies broadcast is the business of their own tests."""
  with jax.numpy_rank_promotion("allow"):
    yield


def texts():
  """Three texts of 12, 5 and 1 tokens, and the second parts of two."""
  rng = np.random.default_rng(3)
  length = np.array([12, 5, 1])[:, None]
  position = np.broadcast_to(np.arange(12), (3, 12))
  there = (position < length).astype(np.int32)
  kind = ((position >= 4) & (position < length)).astype(np.int32)
  ids = rng.integers(1, 50, (3, 12)) * there
  return Tokens(ids.astype(np.int32), there, position.astype(np.int32), kind)


def run(model, output):
  tokens = texts()
  said = {
    "input_ids": tokens.ids,
    "attention_mask": tokens.segment,
    "token_type_ids": tokens.type,
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
  [(family, "mean", "cosine") for family in FAMILIES]
  + [("bert", pooling, "dot") for pooling in POOLINGS],
)
def test_a_tower_gives_our_vectors(family, pooling, similarity):
  config = TransformerConfig(**(SHAPE | FAMILIES[family]))
  dense = (Dense(8, activation="tanh"), Dense(6, bias=False))
  model = DualEncoder(config, True, pooling, similarity, dense=dense)
  params = random(model)
  made = graph.of_dual(model, params["encoder"], params["dense"])
  own = model.embed(params, texts(), "passage")[0]
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
  model = CrossEncoder(TransformerConfig(**SHAPE), head.pooling, head)
  params = random(model)
  made = graph.of_cross(model, params)
  own, _ = model.score(params, texts())
  np.testing.assert_allclose(
    run(made, "logits")[:, 0], own, atol=1e-4, rtol=1e-5
  )
