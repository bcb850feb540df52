"""MPNet (arXiv 2004.09297): a bias of attention by distance, and no types."""

from collections.abc import Mapping
from typing import Any

from prod_jax.models.cross import Head
from prod_jax.models.families import bert, roberta
from prod_jax.models.families.family import Family, HeadNames, Names
from prod_jax.models.transformer_config import TransformerConfig

_OFFSET = 2  # the padding index is always 1
_BUCKETS = 32  # transformers takes so many, whatever a config says


def _ours(settings: Mapping[str, Any]) -> dict[str, Any]:
  return {
    "position_offset": _OFFSET,
    "relative_buckets": _BUCKETS,
    "type_vocab": 0,
  }


def _written(config: TransformerConfig) -> dict[str, Any]:
  return {
    "pad_token_id": _OFFSET - 1,
    "relative_attention_num_buckets": config.relative_buckets,
  }


MPNET = Family(
  architecture="MPNet",
  prefix="mpnet.",
  fields={k: v for k, v in bert.FIELDS.items() if k != "type_vocab"}
  | {"vocab_size": ("vocab_size", 30527)},
  supported={"relative_attention_num_buckets": (_BUCKETS,)},
  names=Names(
    outer={
      "embeddings.word_embeddings": ("word",),
      "embeddings.position_embeddings": ("position",),
      "embeddings.LayerNorm": ("embedding_norm",),
      "encoder.relative_attention_bias": ("relative_bias",),
    },
    layer="encoder.layer.{}.",
    inner={
      "attention.attn.q": ("attention/query",),
      "attention.attn.k": ("attention/key",),
      "attention.attn.v": ("attention/value",),
      "attention.attn.o": ("attention/output",),
      "attention.LayerNorm": ("attention_norm",),
      "intermediate.dense": ("mlp/up",),
      "output.dense": ("mlp/down",),
      "output.LayerNorm": ("mlp_norm",),
    },
  ),
  head=HeadNames(
    shape=lambda settings: Head("cls", hidden="tanh"),
    modules=roberta.HEAD_MODULES,
  ),
  types=False,
  ours=_ours,
  written=_written,
)
