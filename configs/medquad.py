"""PROD on MedQuAD: health questions and answers in the MS MARCO layout.

The curriculum of quickstart.py on a folder with `collection.tsv[.gz]`,
`queries.SPLIT.tsv` and `qrels.SPLIT.tsv`:

    python -m prod_jax.main --workdir=runs/medquad \\
      --config=configs/medquad.py:data.path=/path/to/medquad

Sizes for two cores, ours. Variant `:runlocal` as in quickstart.py.
"""

import quickstart
from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  config = quickstart.get_config()
  config.data.update(
    name="folder",
    path="",
    query_length=24,
    passage_length=64,
    max_queries=dict(train=768, dev=64, test=400),
  )
  if variant:
    quickstart.shrink(config)
  return config
