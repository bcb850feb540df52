"""Readers of a model's folder."""

import contextlib
import functools
import json
import pathlib
from typing import Any

import numpy as np
import safetensors.numpy
import tokenizers

from prod_jax.batches import tokens
from prod_jax.models import (
  colbert,
  cross_modules,
  hf,
  sentence_transformers,
  weights,
)
from tests.fuzz.reader import Reader

VOCAB = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##x")
NAMED = {
  "cls_token": "[CLS]",
  "sep_token": {"content": "[SEP]"},
  "tokenizer_class": "BertTokenizer",
  "do_lower_case": True,
  "auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]},
}
BERT = {
  "model_type": "bert",
  "vocab_size": 8,
  "hidden_size": 4,
  "num_hidden_layers": 1,
  "num_attention_heads": 2,
  "intermediate_size": 4,
  "max_position_embeddings": 6,
  "type_vocab_size": 2,
  "hidden_act": "gelu",
  "layer_norm_eps": 1e-12,
}
MODERN = {
  "model_type": "modernbert",
  "num_hidden_layers": 2,
  "layer_types": ["full_attention", "sliding_attention"],
  "rope_parameters": {
    "full_attention": {"rope_type": "default", "rope_theta": 160000.0}
  },
  "classifier_pooling": "mean",
}
MODULES = [
  {"type": "sentence_transformers.models.Transformer", "path": ""},
  {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
  {"type": "sentence_transformers.models.Dense", "path": "2_Dense"},
  {"type": "sentence_transformers.models.Normalize", "path": "3_Normalize"},
]
POOLING = {"word_embedding_dimension": 4, "pooling_mode_mean_tokens": True}
DENSE = {
  "out_features": 4,
  "bias": False,
  "activation_function": "torch.nn.modules.activation.Tanh",
}
SETTINGS = {
  "prompts": {"query": "q: ", "document": "d: "},
  "default_prompt_name": None,
  "similarity_fn_name": "cosine",
}
PYLATE = {
  "model_type": "ColBERT",
  "query_prefix": "[Q] ",
  "skiplist_words": ["!", "?"],
  "query_length": 8,
  "query_expansion": {"strategy": "fixed", "length": 8, "token": "[MASK]"},
}
STANFORD = {"query_token_id": "[unused0]", "dim": 2, "doc_maxlen": 9}
INDEX = {"weight_map": {"a": "model-1.safetensors"}}


def coded(value: Any) -> bytes:
  return json.dumps(value).encode()


@functools.cache
def tensors() -> bytes:
  """A file of a few tensors."""
  held = {
    "linear.weight": np.ones((2, 4), np.float32),
    "embeddings.word_embeddings.weight": np.ones((8, 4), np.float16),
    "classifier.weight": np.zeros((1, 4), np.float32),
    "position_ids": np.arange(6),
  }
  return safetensors.numpy.save(held, {"head": "linear", "format": "pt"})


@functools.cache
def tokenizer() -> bytes:
  """A tokenizer.json."""
  vocab = {word: i for i, word in enumerate(VOCAB)}
  inner = tokenizers.Tokenizer(
    tokenizers.models.WordPiece(vocab, unk_token="[UNK]")
  )
  inner.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
  inner.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
  inner.add_special_tokens(list(VOCAB[:5]))
  inner.post_processor = tokenizers.processors.TemplateProcessing(
    single="[CLS] $A [SEP]",
    pair="[CLS] $A [SEP] $B:1 [SEP]:1",
    special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
  )
  return inner.to_str().encode()


def _tensors(path: pathlib.Path) -> Any:
  found = {}
  with weights.opened(path) as file:
    for name in sorted(file.names):
      shape = file.shape(name)
      try:
        found[name] = shape, file.read(name).tobytes()
      except weights.WeightsError:  # of integers, or with a NaN
        found[name] = shape, None
  return found


def _config(path: pathlib.Path) -> Any:
  found = hf.read_config(path.parent)
  with contextlib.suppress(weights.WeightsError):  # of the weights beside it
    hf.read_head(path.parent)
  return found


def _colbert(path: pathlib.Path) -> Any:
  return colbert.read(_root(path))


def _modules(path: pathlib.Path) -> Any:
  root = _root(path)
  found = sentence_transformers.read(root), cross_modules.read(root)
  sentence_transformers.check_width(root, 4)
  return found


def _root(path: pathlib.Path) -> pathlib.Path:
  return path.parent.parent if path.parent.name[:1].isdigit() else path.parent


def _tokenizer(path: pathlib.Path) -> Any:
  found = tokens.load_tokenizer(path.parent)
  rows = found.encode(["a bx", "", "B\0 \ue000"])
  return found.special, found.vocab_size, [row.tolist() for row in rows]


_FOLDER = {
  "config.json": coded(BERT),
  "model.safetensors": tensors(),
  "modules.json": coded(MODULES),
  "1_Pooling/config.json": coded(POOLING),
  "2_Dense/config.json": coded(DENSE),
  "2_Dense/model.safetensors": tensors(),
  "config_sentence_transformers.json": coded(SETTINGS),
  "sentence_bert_config.json": coded({"max_seq_length": 6}),
}
_PYLATE = {
  **_FOLDER,
  "modules.json": coded(
    [MODULES[0], {"type": "pylate.models.Dense.Dense", "path": "1_Dense"}]
  ),
  "1_Dense/config.json": coded(
    {
      "out_features": 2,
      "bias": False,
      "activation_function": "torch.nn.modules.linear.Identity",
    }
  ),
  "config_sentence_transformers.json": coded(PYLATE),
}
_STANFORD = {
  "config.json": coded({**BERT, "architectures": ["HF_ColBERT"]}),
  "model.safetensors": tensors(),
}
_TOKENIZER = {
  "tokenizer.json": tokenizer(),
  "config.json": coded(BERT),
  "special_tokens_map.json": coded({"pad_token": "[PAD]"}),
}

READERS = (
  Reader("safetensors", "model.safetensors", _tensors, (tensors(),)),
  Reader(
    "an index of shards",
    "model.safetensors.index.json",
    lambda path: weights.files(path.parent),
    (coded(INDEX),),
    {"model-1.safetensors": tensors()},
    named="/",
  ),
  Reader(
    "config.json",
    "config.json",
    _config,
    (coded(BERT), coded(MODERN)),
    {"model.safetensors": tensors()},
  ),
  Reader(
    "modules.json", "modules.json", _modules, (coded(MODULES),), _FOLDER, "/"
  ),
  Reader(
    "a pooling",
    "1_Pooling/config.json",
    _modules,
    (coded(POOLING), coded({"pooling_mode": "cls"})),
    _FOLDER,
  ),
  Reader(
    "a dense layer", "2_Dense/config.json", _modules, (coded(DENSE),), _FOLDER
  ),
  Reader(
    "prompts and similarity",
    "config_sentence_transformers.json",
    _modules,
    (coded(SETTINGS),),
    _FOLDER,
  ),
  Reader(
    "lengths",
    "sentence_bert_config.json",
    _modules,
    (coded({"max_seq_length": 6, "do_lower_case": False}),),
    _FOLDER,
  ),
  Reader(
    "PyLate's settings",
    "config_sentence_transformers.json",
    _colbert,
    (coded(PYLATE),),
    _PYLATE,
    named="/",
  ),
  Reader(
    "ColBERT's metadata",
    colbert.METADATA,
    _colbert,
    (coded(STANFORD),),
    _STANFORD,
  ),
  Reader(
    "tokenizer.json",
    "tokenizer.json",
    _tokenizer,
    (tokenizer(),),
    _TOKENIZER,
  ),
  Reader(
    "tokenizer_config.json",
    "tokenizer_config.json",
    _tokenizer,
    (coded(NAMED),),
    _TOKENIZER,
    named="token",
  ),
  Reader(
    "special_tokens_map.json",
    "special_tokens_map.json",
    _tokenizer,
    (coded({"pad_token": "[PAD]", "cls_token": {"content": "[CLS]"}}),),
    _TOKENIZER,
    named="token",
  ),
  Reader(
    "vocab.txt",
    "vocab.txt",
    _tokenizer,
    ("\n".join(VOCAB).encode(),),
    {"config.json": coded(BERT)},
  ),
)
