"""Families of encoders: what each calls its config's fields and its weights.

family       what there is to say of one
bert         BERT, ERNIE and DPR
roberta      RoBERTa, XLM-RoBERTa and CamemBERT
mpnet        MPNet
distilbert   DistilBERT
electra      ELECTRA
modernbert   ModernBERT
description  config.json, read and written
tensors      from their tensors to our parameters, and back
matching     what stands in a file, against what is asked for
"""

from prod_jax.models.families.bert import BERT
from prod_jax.models.families.distilbert import DISTILBERT
from prod_jax.models.families.electra import ELECTRA
from prod_jax.models.families.family import Family
from prod_jax.models.families.modernbert import MODERNBERT
from prod_jax.models.families.mpnet import MPNET
from prod_jax.models.families.roberta import CAMEMBERT, ROBERTA, XLM_ROBERTA

# By `model_type` of a config.json, which is a `TransformerConfig.family` too.
FAMILIES: dict[str, Family] = {
  "bert": BERT,
  "roberta": ROBERTA,
  "xlm-roberta": XLM_ROBERTA,
  "camembert": CAMEMBERT,
  "mpnet": MPNET,
  "distilbert": DISTILBERT,
  "electra": ELECTRA,
  "modernbert": MODERNBERT,
}
# Other types, and the family whose encoder they are in all but the name.
ALIASES = {"ernie": "bert", "dpr": "bert"}
