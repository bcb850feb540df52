"""DistilBERT (arXiv 1910.01108): a BERT without types, under other names."""

from prod_jax.models.cross import Head
from prod_jax.models.families.family import Family, HeadNames, Names

DISTILBERT = Family(
  architecture="DistilBert",
  prefix="distilbert.",
  fields={
    "vocab_size": ("vocab_size", 30522),
    "width": ("dim", 768),
    "depth": ("n_layers", 6),
    "heads": ("n_heads", 12),
    "mlp_width": ("hidden_dim", 3072),
    "max_positions": ("max_position_embeddings", 512),
    "activation": ("activation", "gelu"),
    "dropout": ("dropout", 0.1),
    "attention_dropout": ("attention_dropout", 0.1),
  },
  supported={},
  names=Names(
    outer={
      "embeddings.word_embeddings": ("word",),
      "embeddings.position_embeddings": ("position",),
      "embeddings.LayerNorm": ("embedding_norm",),
    },
    layer="transformer.layer.{}.",
    inner={
      "attention.q_lin": ("attention/query",),
      "attention.k_lin": ("attention/key",),
      "attention.v_lin": ("attention/value",),
      "attention.out_lin": ("attention/output",),
      "sa_layer_norm": ("attention_norm",),
      "ffn.lin1": ("mlp/up",),
      "ffn.lin2": ("mlp/down",),
      "output_layer_norm": ("mlp_norm",),
    },
  ),
  head=HeadNames(
    shape=lambda settings: Head("cls", hidden="relu"),
    modules={"dense": "pre_classifier", "": "classifier"},
  ),
  types=False,
  ours=lambda settings: {"type_vocab": 0},
)
