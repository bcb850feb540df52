"""BERT (arXiv 1810.04805), and what differs from it by a name only.

ERNIE (arXiv 1907.12412) is a BERT that, where its config.json says so, adds a
row for its task to every token, row 0 unless told, which its type table takes
up. DPR's encoders (arXiv
2004.04906) are BERTs under a longer prefix.
"""

from collections.abc import Mapping
from typing import Any

from prod_jax.models.cross import Head
from prod_jax.models.families.family import Family, HeadNames, Names

FIELDS = {
  "vocab_size": ("vocab_size", 30522),
  "width": ("hidden_size", 768),
  "depth": ("num_hidden_layers", 12),
  "heads": ("num_attention_heads", 12),
  "mlp_width": ("intermediate_size", 3072),
  "max_positions": ("max_position_embeddings", 512),
  "type_vocab": ("type_vocab_size", 2),
  "activation": ("hidden_act", "gelu"),
  "dropout": ("hidden_dropout_prob", 0.1),
  "attention_dropout": ("attention_probs_dropout_prob", 0.1),
  "layer_norm_eps": ("layer_norm_eps", 1e-12),
}
SUPPORTED = {
  "position_embedding_type": ("absolute",),
  "is_decoder": (False,),
  "projection_dim": (0,),
}
EMBEDDINGS = {
  "embeddings.word_embeddings": ("word",),
  "embeddings.position_embeddings": ("position",),
  "embeddings.token_type_embeddings": ("type",),
  "embeddings.LayerNorm": ("embedding_norm",),
}
LAYER = {
  "attention.self.query": ("attention/query",),
  "attention.self.key": ("attention/key",),
  "attention.self.value": ("attention/value",),
  "attention.output.dense": ("attention/output",),
  "attention.output.LayerNorm": ("attention_norm",),
  "intermediate.dense": ("mlp/up",),
  "output.dense": ("mlp/down",),
  "output.LayerNorm": ("mlp_norm",),
}
NAMES = Names(
  outer=EMBEDDINGS,
  layer="encoder.layer.{}.",
  inner=LAYER,
  task="embeddings.task_type_embeddings.weight",
)


def _ours(settings: Mapping[str, Any]) -> dict[str, Any]:
  used = settings.get("use_task_id", False)
  if not isinstance(used, bool):
    raise ValueError(f"use_task_id is {used!r}; it takes true or false")
  return {"task_row": used and settings.get("model_type") == "ernie"}


BERT = Family(
  architecture="Bert",
  prefix="bert.",
  fields=FIELDS,
  supported=SUPPORTED,
  names=NAMES,
  # The pooler lies with the encoder, and is used by nothing but the head.
  head=HeadNames(
    shape=lambda settings: Head("cls", hidden="tanh"),
    modules={"dense": "pooler.dense", "": "classifier"},
  ),
  ours=_ours,
)
