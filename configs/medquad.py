"""PROD on MedQuAD: health questions and answers in the MS MARCO layout.

The curriculum of quickstart.py on a folder with `collection.tsv[.gz]`,
`queries.SPLIT.tsv` and `qrels.SPLIT.tsv`:

    python -m prod_jax.main --workdir=runs/medquad \\
      --config=configs/medquad.py:data.path=/path/to/medquad

Sizes as there: for two cores, ours. Variant `:runlocal` as in quickstart.py.
"""

import quickstart
from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  config = quickstart.get_config(variant)
  config.data.update(name="folder", path="", max_passages=4000)
  return config
