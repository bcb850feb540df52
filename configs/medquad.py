"""PROD on MedQuAD: health questions and answers in the MS MARCO layout.

The curriculum of quickstart.py on a folder with `collection.tsv[.gz]`,
`queries.SPLIT.tsv` and `qrels.SPLIT.tsv`:

    python -m prod_jax.main --workdir=runs/medquad \\
      --config=configs/medquad.py:data.path=/path/to/medquad

Sizes as there: for two cores, ours. Variants: `:runlocal` as in quickstart.py;
`:gpu` has the paper's lengths of texts, the whole collection, bfloat16, and
batches that fill a GPU.
"""

import quickstart
from ml_collections import ConfigDict

BATCH_TOKENS = 65_536


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "", "gpu" or "runlocal"."""
  config = quickstart.get_config("" if variant == "gpu" else variant)
  config.data.update(name="folder", path="", max_passages=4000)
  if variant == "gpu":
    fill_gpu(config)
  return config


def fill_gpu(config: ConfigDict) -> None:
  """Longer texts and more of them, and more of them at once."""
  config.data.update(
    query_length=32,  # official code
    passage_length=144,  # official code
    max_passages=0,
  )
  config.data.max_queries = ConfigDict()
  for model in config.models.values():
    model.dtype = "bfloat16"
  for stage in config.stages.values():
    if stage.kind == "train":
      stage.batch_size *= 4
    if "batch_tokens" in stage:
      stage.batch_tokens = BATCH_TOKENS
