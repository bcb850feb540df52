"""ELECTRA (arXiv 2003.10555): a BERT whose tables may be narrower."""

from prod_jax.models.cross import Head
from prod_jax.models.families import bert, roberta
from prod_jax.models.families.family import Family, HeadNames, Names

ELECTRA = Family(
  architecture="Electra",
  prefix="electra.",
  fields=bert.FIELDS
  | {
    "width": ("hidden_size", 256),
    "heads": ("num_attention_heads", 4),
    "mlp_width": ("intermediate_size", 1024),
    "embedding_width": ("embedding_size", 128),
  },
  supported=bert.SUPPORTED,
  names=Names(
    bert.EMBEDDINGS | {"embeddings_project": ("embedding_projection",)},
    bert.NAMES.layer,
    bert.LAYER,
  ),
  head=HeadNames(
    # Exact GELU whatever the encoder's activation is.
    shape=lambda settings: Head("cls", hidden="gelu"),
    modules=roberta.HEAD_MODULES,
  ),
)
