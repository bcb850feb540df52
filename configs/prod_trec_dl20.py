"""PROD measured on the topics of TREC Deep Learning 2020, passages.

As prod_trec_dl19.py, on the topics of the year after:

    python -m prod_jax.main --config=configs/prod_trec_dl20.py \\
      --workdir=gs://bucket/prod

The paper's figures on these topics, if it has any, are not known to us.
"""

import prod_trec_dl19
from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is one of prod_msmarco_passage.VARIANTS."""
  return prod_trec_dl19.measured_on("dl20", variant)
