"""ModernBERT (arXiv 2412.13663).

LayerNorm in front, rotary positions with a base each for global and local
layers, a gated MLP, and mostly no biases. Its tensors hold queries, keys and
values stacked, and the MLP's hidden layer with its gate.
"""

from collections.abc import Mapping
from typing import Any

from prod_jax.models.cross import Head
from prod_jax.models.families.family import Family, HeadNames, Names
from prod_jax.models.transformer_config import TransformerConfig

_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
_SPECIAL = ("pad", "bos", "eos", "cls", "sep")
_DEPTH = ("num_hidden_layers", 22)


def _read(found: Mapping[str, Any]) -> dict[str, Any]:
  every = found.get("global_attn_every_n_layers", 3)
  depth = found.get(*_DEPTH)
  kinds = found.get("layer_types") or [
    _LOCAL if i % every else _GLOBAL for i in range(depth)
  ]
  other = set(kinds) - {_GLOBAL, _LOCAL}
  if other or len(kinds) != depth:
    raise ValueError(
      f"layer_types is {kinds}; it takes {_GLOBAL} or {_LOCAL} for each of the "
      f"{depth} layers"
    )
  theta = _theta(found, _GLOBAL, found.get("global_rope_theta"), 160_000.0)
  # Configs of old may say that there is one base for both.
  local = found.get("local_rope_theta", 10_000.0) or theta
  return {
    "pre_norm": True,
    "gated": True,
    "type_vocab": 0,
    "rotary_theta": theta,
    "local_theta": _theta(found, _LOCAL, local, 10_000.0),
    "local_layers": tuple(i for i, k in enumerate(kinds) if k == _LOCAL),
  }


def _theta(
  found: Mapping[str, Any], kind: str, older: float | None, default: float
) -> float:
  """The base of a kind of layers, from the newer field or else the older."""
  described = (found.get("rope_parameters") or {}).get(kind) or {}
  rope_type = described.get("rope_type", "default")
  if rope_type != "default":
    raise ValueError(
      f"rope_parameters has rope_type {rope_type!r}; supported: 'default'"
    )
  return float(described.get("rope_theta") or older or default)


def _written(config: TransformerConfig) -> dict[str, Any]:
  theta = {_GLOBAL: config.rotary_theta, _LOCAL: config.local_theta}
  return {
    "layer_types": [
      _LOCAL if i in config.local_layers else _GLOBAL
      for i in range(config.depth)
    ],
    "rope_parameters": {
      kind: {"rope_type": "default", "rope_theta": base}
      for kind, base in theta.items()
    },
    # Where they are left out they lie behind the end of a small vocabulary.
    **dict.fromkeys(f"{kind}_token_id" for kind in _SPECIAL),
  }


def _head(found: Mapping[str, Any]) -> Head:
  return Head(
    found.get("classifier_pooling", "cls"),
    hidden=found.get("classifier_activation", "gelu"),
    hidden_bias=found.get("classifier_bias", False),
    norm=True,
  )


def _head_fields(head: Head) -> dict[str, Any]:
  return {
    "classifier_pooling": head.pooling,
    "classifier_activation": head.hidden,
    "classifier_bias": head.hidden_bias,
  }


MODERNBERT = Family(
  architecture="ModernBert",
  prefix="model.",
  fields={
    "vocab_size": ("vocab_size", 50368),
    "width": ("hidden_size", 768),
    "depth": _DEPTH,
    "heads": ("num_attention_heads", 12),
    "mlp_width": ("intermediate_size", 1152),
    "max_positions": ("max_position_embeddings", 8192),
    "activation": ("hidden_activation", "gelu"),
    "dropout": ("mlp_dropout", 0.0),
    "attention_dropout": ("attention_dropout", 0.0),
    "layer_norm_eps": ("norm_eps", 1e-5),
    "attention_bias": ("attention_bias", False),
    "mlp_bias": ("mlp_bias", False),
    "norm_bias": ("norm_bias", False),
    "local_window": ("local_attention", 128),
  },
  supported={},
  names=Names(
    outer={
      "embeddings.tok_embeddings": ("word",),
      "embeddings.norm": ("embedding_norm",),
      "final_norm": ("final_norm",),
    },
    layer="layers.{}.",
    inner={
      "attn.Wqkv": ("attention/query", "attention/key", "attention/value"),
      "attn.Wo": ("attention/output",),
      "attn_norm": ("attention_norm",),
      "mlp.Wi": ("mlp/up", "mlp/gate"),
      "mlp.Wo": ("mlp/down",),
      "mlp_norm": ("mlp_norm",),
    },
  ),
  head=HeadNames(
    shape=_head,
    modules={"dense": "head.dense", "norm": "head.norm", "": "classifier"},
    fields=_head_fields,
  ),
  types=False,
  read=_read,
  written=_written,
)
