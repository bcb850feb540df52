"""DistilBERT under BERT's names.

DistilBERT (arXiv 1910.01108) is a BERT without token types and pooler whose
weights have other names. Written once as a folder of hf.py's, with token types
that add nothing, it is an encoder like any other.
"""

import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util
from safetensors.numpy import load_file

from prod_jax.models import hf, transformer
from prod_jax.models.transformer import TransformerConfig

Path = str | os.PathLike[str]

# Our field of a config and theirs.
_FIELDS = {
  "vocab_size": "vocab_size",
  "width": "dim",
  "depth": "n_layers",
  "heads": "n_heads",
  "mlp_width": "hidden_dim",
  "max_positions": "max_position_embeddings",
  "dropout": "dropout",
  "attention_dropout": "attention_dropout",
}
# Our module and theirs; a layer's are looked up behind its prefix.
_MODULES = {
  "word": "embeddings.word_embeddings",
  "position": "embeddings.position_embeddings",
  "embedding_norm": "embeddings.LayerNorm",
  "attention/query": "attention.q_lin",
  "attention/key": "attention.k_lin",
  "attention/value": "attention.v_lin",
  "attention/output": "attention.out_lin",
  "attention_norm": "sa_layer_norm",
  "mlp/up": "ffn.lin1",
  "mlp/down": "ffn.lin2",
  "mlp_norm": "output_layer_norm",
}
_TOKENIZER = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")


def convert(source: Path, target: Path) -> TransformerConfig:
  """Writes the DistilBERT of one folder as a BERT into another.

  Args:
    source: folder with config.json, model.safetensors and, where they are to
      be copied, the files of a tokenizer.
    target: folder that hf.py and `transformers.BertModel` read.

  Returns:
    The shape of the encoder.

  Raises:
    ValueError: the folder holds something else, or tensors are missing or of
      another shape (all are named).
    FileNotFoundError: it holds neither of the two files.
  """
  source = pathlib.Path(source)
  config = _config(source / hf.CONFIG)
  stored = {
    re.sub(r"^distilbert\.", "", name): tensor
    for name, tensor in load_file(source / hf.WEIGHTS).items()
  }
  files = [source / name for name in _TOKENIZER]
  hf.save(
    target,
    _encoder(source, config, stored),
    config,
    tokenizer_files=[file for file in files if file.is_file()],
    metadata={"source": "DistilBERT"},
  )
  return config


def _config(path: pathlib.Path) -> TransformerConfig:
  found = json.loads(path.read_text())
  kind, activation = found.get("model_type"), found.get("activation", "gelu")
  if (kind, activation) != ("distilbert", "gelu"):
    raise ValueError(
      f"{path}: model_type is {kind!r} with activation {activation!r}; it "
      "takes 'distilbert' with 'gelu'"
    )
  missing = [their for their in _FIELDS.values() if their not in found]
  if missing:
    raise ValueError(f"{path} does not say {', '.join(missing)}")
  return TransformerConfig(
    **{our: found[their] for our, their in _FIELDS.items()}
  )


def _encoder(
  source: pathlib.Path,
  config: TransformerConfig,
  stored: Mapping[str, np.ndarray],
) -> Any:
  """The tree of `Transformer`; torch stores a dense matrix as [out, in]."""
  flat, wrong = {}, []
  for key, x in traverse_util.flatten_dict(
    transformer.shapes(config), sep="/"
  ).items():
    # DistilBERT has no token types: zeros add nothing to a token.
    if key == "type/embedding":
      flat[key] = np.zeros(x.shape, np.float32)
      continue
    name = _name(key)
    tensor = stored.get(name)
    if tensor is not None and key.endswith("kernel"):
      tensor = tensor.T
    if tensor is None or tensor.shape != x.shape:
      found = "missing" if tensor is None else f"{tensor.shape}"
      wrong.append(f"{name} is {found}, the config asks for {x.shape}")
      continue
    flat[key] = np.ascontiguousarray(tensor, np.float32)
  if wrong:
    raise ValueError(f"{source / hf.WEIGHTS} does not fit: {'; '.join(wrong)}")
  return traverse_util.unflatten_dict(flat, sep="/")


def _name(key: str) -> str:
  """Their name of our parameter."""
  module, leaf = key.rsplit("/", 1)
  leaf = "bias" if leaf == "bias" else "weight"
  layer, _, inner = module.partition("/")
  if not layer.startswith("layer_"):
    return f"{_MODULES[module]}.{leaf}"
  number = layer.removeprefix("layer_")
  return f"transformer.layer.{number}.{_MODULES[inner]}.{leaf}"
