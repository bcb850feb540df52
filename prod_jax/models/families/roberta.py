"""RoBERTa (arXiv 1907.11692), XLM-RoBERTa and CamemBERT.

BERTs whose positions count from behind the padding index, and whose tokenizers
give no types: of the type table nobody reads more than the first row.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from prod_jax.models.cross import Head
from prod_jax.models.families import bert
from prod_jax.models.families.family import Family, HeadNames, Names
from prod_jax.models.transformer_config import TransformerConfig

# Of a classifier with a hidden layer of its own, ELECTRA's and MPNet's too.
HEAD_MODULES = {"dense": "classifier.dense", "": "classifier.out_proj"}


def _ours(settings: Mapping[str, Any]) -> dict[str, Any]:
  padding = settings.get("pad_token_id", 1)
  if type(padding) is not int or padding < 0:
    raise ValueError(f"pad_token_id is {padding!r}; it takes 0 or more")
  return {"position_offset": padding + 1, "type_vocab": 1}


def _written(config: TransformerConfig) -> dict[str, Any]:
  return {"pad_token_id": config.position_offset - 1}


ROBERTA = Family(
  architecture="Roberta",
  prefix="roberta.",
  fields=bert.FIELDS | {"vocab_size": ("vocab_size", 50265)},
  supported=bert.SUPPORTED,
  names=Names(bert.EMBEDDINGS, bert.NAMES.layer, bert.LAYER),
  head=HeadNames(
    shape=lambda settings: Head("cls", hidden="tanh"), modules=HEAD_MODULES
  ),
  types=False,
  ours=_ours,
  written=_written,
)
XLM_ROBERTA = dataclasses.replace(
  ROBERTA, architecture="XLMRoberta", fields=bert.FIELDS
)
CAMEMBERT = dataclasses.replace(XLM_ROBERTA, architecture="Camembert")
