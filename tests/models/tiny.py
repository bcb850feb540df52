"""A tiny encoder of each family, weights that are a formula, and a batch."""

import jax
import numpy as np

from prod_jax.batch import Tokens
from prod_jax.models import transformer
from prod_jax.models.cross import Head
from prod_jax.models.transformer_config import TransformerConfig

_SHAPE = dict(
  vocab_size=24, width=16, depth=3, heads=4, mlp_width=16, max_positions=20
)
_OFFSET = dict(type_vocab=1, position_offset=2)
FAMILIES = {
  name: TransformerConfig(**_SHAPE | {"family": name} | own)
  for name, own in {
    "bert": dict(activation="relu"),
    "roberta": _OFFSET,
    "xlm-roberta": _OFFSET | dict(activation="gelu_new"),
    "camembert": _OFFSET | dict(position_offset=4),
    "mpnet": dict(type_vocab=0, position_offset=2, relative_buckets=32),
    "distilbert": dict(type_vocab=0, activation="gelu_pytorch_tanh"),
    "electra": dict(embedding_width=8),
    "modernbert": dict(
      depth=4,
      type_vocab=0,
      pre_norm=True,
      gated=True,
      attention_bias=False,
      mlp_bias=False,
      norm_bias=False,
      rotary_theta=160_000.0,
      local_theta=10_000.0,
      local_layers=(1, 2),
      local_window=4,
      layer_norm_eps=1e-5,
    ),
  }.items()
}
HEADS = {
  "bert": Head("cls", hidden="tanh"),
  "roberta": Head("cls", hidden="tanh"),
  "xlm-roberta": Head("cls", hidden="tanh", labels=2),
  "camembert": Head("cls", hidden="tanh"),
  "mpnet": Head("cls", hidden="tanh"),
  "distilbert": Head("cls", hidden="relu"),
  "electra": Head("cls", hidden="gelu", labels=2),
  "modernbert": Head("mean", hidden="gelu", hidden_bias=False, norm=True),
}


def formula(shapes):
  """Sines of a running number in place of shapes, 1 + for scales."""
  leaves, tree = jax.tree.flatten_with_path(shapes)
  made = []
  for number, (path, leaf) in enumerate(leaves):
    index = np.arange(np.prod(leaf.shape), dtype=np.float64)
    wave = 0.3 * np.sin(1.7 * index + number).reshape(leaf.shape)
    made.append(np.float32(wave + (path[-1].key == "scale")))
  return tree.unflatten(made)


def params_of(name: str):
  """Parameters of an encoder and of its head."""
  config, head = FAMILIES[name], HEADS[name]
  shapes = jax.eval_shape(lambda: head.init(config, jax.random.key(0)))
  return {
    "encoder": formula(transformer.shapes(config)),
    "head": formula(shapes),
  }


def tokens(*lengths: int, width: int = 12) -> Tokens:
  """A text a row, its second half of type 1."""
  shape = (len(lengths), width)
  found = Tokens(*(np.zeros(shape, np.int32) for _ in range(4)))
  rng = np.random.default_rng(0)
  for row, length in enumerate(lengths):
    found.ids[row, :length] = rng.integers(5, 24, length)
    found.segment[row, :length] = 1
    found.position[row, :length] = np.arange(length)
    found.type[row, length // 2 : length] = 1
  return found


def torch_inputs(config: TransformerConfig, tokens: Tokens):
  """The same tokens, as the arguments of a model of transformers."""
  import torch

  ids = torch.tensor(tokens.ids).long()
  ids[torch.tensor(tokens.segment) == 0] = max(config.position_offset - 1, 0)
  found = {
    "input_ids": ids,
    "attention_mask": torch.tensor(tokens.segment).long(),
  }
  if config.type_vocab > 1:
    found["token_type_ids"] = torch.tensor(tokens.type).long()
  return found
