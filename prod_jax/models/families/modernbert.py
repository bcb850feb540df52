"""ModernBERT (arXiv 2412.13663).

LayerNorm in front, rotary positions with a base each for global and local
layers, a gated MLP, and mostly no biases. Its tensors hold queries, keys and
values stacked, and the MLP's hidden layer with its gate.
"""

from collections.abc import Collection, Mapping
from typing import Any

from prod_jax.models.cross import Head
from prod_jax.models.families.family import Family, HeadNames, Names
from prod_jax.models.transformer_config import TransformerConfig

_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
_SPECIAL = ("pad", "bos", "eos", "cls", "sep")
_DEFAULT = ("rope_type", "type")  # the newer and the older name
_DEPTH = ("num_hidden_layers", 22)


def _ours(settings: Mapping[str, Any]) -> dict[str, Any]:
  every = settings.get("global_attn_every_n_layers", 3)
  if type(every) is not int or every < 1:
    raise ValueError(
      f"global_attn_every_n_layers is {every!r}; it takes 1 or more"
    )
  depth = settings.get(*_DEPTH)
  kinds = settings.get("layer_types") or [
    _LOCAL if i % every else _GLOBAL for i in range(depth)
  ]
  known = isinstance(kinds, list) and all(k in (_GLOBAL, _LOCAL) for k in kinds)
  if not known or len(kinds) != depth:
    raise ValueError(
      f"layer_types is {kinds}; it takes {_GLOBAL} or {_LOCAL} for each of the "
      f"{depth} layers"
    )
  _check_unscaled("rope_scaling", settings.get("rope_scaling"), _DEFAULT)
  described = settings.get("rope_parameters")
  _check_unscaled("rope_parameters", described, (_GLOBAL, _LOCAL))
  theta = _theta(settings, _GLOBAL, "global_rope_theta", 160_000.0)
  # Configs of old may say that there is one base for both.
  default = 10_000.0 if "local_rope_theta" not in settings else theta
  return {
    "pre_norm": True,
    "gated": True,
    "type_vocab": 0,
    "rotary_theta": theta,
    "local_theta": _theta(settings, _LOCAL, "local_rope_theta", default),
    "local_layers": tuple(i for i, k in enumerate(kinds) if k == _LOCAL),
  }


def _check_unscaled(key: str, said: Any, known: Collection[str]) -> None:
  """Raises ValueError where rotary positions are more than a base."""
  said = {} if said is None else said
  if not isinstance(said, dict) or set(said) - set(known):
    raise ValueError(
      f"{key} is {said!r}; supported: null, or {' and '.join(known)} in it, of "
      "type 'default'"
    )
  for name in _DEFAULT:
    if said.get(name, "default") != "default":
      raise ValueError(f"{key} has {name} {said[name]!r}; supported: 'default'")


def _theta(
  settings: Mapping[str, Any], kind: str, older: str, default: float
) -> float:
  """The base of a kind of layers, from the newer field or else the older."""
  described = (settings.get("rope_parameters") or {}).get(kind)
  _check_unscaled(
    f"rope_parameters.{kind}", described, (*_DEFAULT, "rope_theta")
  )
  theta = (described or {}).get("rope_theta")
  key = f"rope_parameters.{kind}.rope_theta"
  if theta is None:
    theta, key = settings.get(older), older
  if theta is None:
    return default
  if type(theta) not in (int, float) or not theta > 0:
    raise ValueError(f"{key} is {theta!r}; it takes a number above 0")
  return float(theta)


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


def _head(settings: Mapping[str, Any]) -> Head:
  return Head(
    settings.get("classifier_pooling", "cls"),
    hidden=settings.get("classifier_activation", "gelu"),
    hidden_bias=settings.get("classifier_bias", False),
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
  ours=_ours,
  written=_written,
)
