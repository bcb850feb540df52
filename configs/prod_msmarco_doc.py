"""PROD on MS MARCO documents (arXiv 2209.13335).

The paper reports figures on this collection; the recipe behind them, beyond
the code of its parts, is not in the official repository. Stages, sizes and
rates are those of prod_msmarco_passage.py, which is our choice, and so is
what that file does not say:

- 256 tokens of a document: the default of the official code's data class for
  documents (its class for embedding them has 512).
- Lists, and the division, are of the first 100: what the official division
  reads [C dataset_division_marcodoc.py].
- The warm-up draws from the official first 100 of each training query
  (msmarco-doctrain-top100): there are no triples of documents.

Text: url, title and body with a literal "<sep>" in between, which the
vocabulary splits, the first 10,000 characters [C marco_until.py:202]; the data
set makes it so.

    python -m prod_jax.cli.prepare --config=configs/prod_msmarco_doc.py \\
      --workdir=gs://bucket/prod_doc
    python -m prod_jax.cli.plan --config=configs/prod_msmarco_doc.py \\
      --topology=v5e:2x4
    python -m prod_jax.main --config=configs/prod_msmarco_doc.py \\
      --workdir=gs://bucket/prod_doc

Weights and variants are those of prod_msmarco_passage.py.

Reported, not run here (README of the official code; a 6-layer student, dev;
the README's "Recall@k" is hit@k here):

            MRR@10  hit@5  hit@20  hit@100
  6-layer     34.0   52.1    75.6     90.4
  PROD        42.8   62.4    83.9     93.3

TREC DL 2019 documents: measured in the paper; its figures are not known to us.
"""

import dataclasses

import prod_msmarco_passage as passages
from ml_collections import ConfigDict

DOCUMENTS = dataclasses.replace(
  passages.PASSAGES,
  depth=100,  # [C dataset_division_marcodoc.py]
  evaluations={
    "": dict(
      split="dev",
      depth=100,
      metrics=("mrr@10", "hit@5", "hit@20", "hit@100", "ndcg@10", "recall@100"),
    ),
    "_dl19": dict(
      split="dl19",
      depth=100,
      relevant=passages.TREC_DL["relevant"],
      metrics=("ndcg@10", "recall@100"),
    ),
  },
  provided=100,
)


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is one of prod_msmarco_passage.VARIANTS."""
  return passages.prod(
    variant,
    passages.data(
      name="msmarco_document",
      titles="",
      max_characters=10_000,
      passage_length=256,
    ),
    passages.stages(DOCUMENTS, online=variant == "online"),
    remat="layers",  # a pair has 288 tokens: else it fits no chip of 16 GiB
  )
