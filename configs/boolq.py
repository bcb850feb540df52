"""PROD on BoolQ: real web questions over Wikipedia passages.

    python -m prod_jax.main --workdir=runs/boolq \\
      --config=configs/boolq.py:data.path=/path/to/boolq

Everything else is as in medquad.py.
"""

import medquad
from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  return medquad.get_config(variant)
