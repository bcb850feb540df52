"""Our formulation of ADAM on the start of baselines.py: dark examples.

    python -m prod_jax.main --config=configs/adam.py --workdir=runs/adam

The paper's operators, rates, weights and schedule are not known to us; every
figure below is ours.
"""

import baselines
import quickstart
from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  return baselines.experiment(variant, baselines.start() | adam())


def adam() -> dict:
  """Make dark examples, score them once, distil."""
  return {
    "darken": dict(
      kind="darken",
      params="ce",
      candidates=baselines.LISTS,
      strengthened=2,
      strengthen_rate=0.3,
      masked=2,
      mask_rate=0.3,
      batch_tokens=quickstart.BATCH_TOKENS,
    ),
    **baselines.taught(
      "adam",
      method="adam",
      scores=baselines.SCORES,
      dark="darken",
      settings=dict(
        temperature=1.0,
        hard=0.1,
        soft=1.0,
        dark=1.0,
        pace="fraction",
        start=0.5,
        end=1.0,
        over=12,
      ),
    ),
  }
