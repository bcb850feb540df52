"""Dark examples: passages between a positive and a negative, made of both.

Our formulation of what ADAM (arXiv 2212.10192) makes "by strengthening
negatives and masking positives in the discrete space". The paper's rules for
it are not known to us; rates and counts are parameters. A teacher scores what
comes out, nothing is labelled by hand.
"""

from collections.abc import Sequence

import numpy as np

from prod_jax import kinds


def strengthen(
  negative: np.ndarray,
  positive: np.ndarray,
  rate: float,
  rng: np.random.Generator,
) -> np.ndarray:
  """A negative in which a span of the positive has taken the place of one.

  Args:
    negative, positive: token ids, 1 or more each.
    rate: share of the negative's tokens that is replaced, one at least, and
      no more than the positive has.
    rng: draws where the span begins in each.

  Returns:
    Token ids, as many as the negative's.
  """
  size = max(round(rate * len(negative)), 1)
  size = min(size, len(negative), len(positive))
  to = rng.integers(len(negative) - size + 1)
  source = rng.integers(len(positive) - size + 1)
  out = negative.copy()
  out[to : to + size] = positive[source : source + size]
  return out


def mask(
  positive: np.ndarray, rate: float, rng: np.random.Generator, mask_id: int
) -> np.ndarray:
  """A positive with a share of its tokens, one at least, turned to [MASK]."""
  size = min(max(round(rate * len(positive)), 1), len(positive))
  out = positive.copy()
  out[rng.choice(len(positive), size, replace=False)] = mask_id
  return out


def make_dark(
  positive: np.ndarray,
  negatives: Sequence[np.ndarray],
  stage: kinds.Darken,
  mask_id: int,
  rng: np.random.Generator,
) -> list[np.ndarray]:
  """The dark examples of a query, no two alike and none a passage of its list.

  Args:
    positive: token ids.
    negatives: token ids of each; drawn from evenly.
    stage: how many of either sort, and their rates.
    mask_id: the vocabulary's [MASK].
    rng: of this query.

  Returns:
    At most strengthened + masked arrays: fewer where two came out alike, or
    a text has no tokens to work on.
  """
  made = []
  usable = [x for x in negatives if len(x)]
  if len(positive):
    if usable:
      order = rng.permutation(len(usable))
      for i in range(stage.strengthened):
        negative = usable[order[i % len(usable)]]
        made.append(strengthen(negative, positive, stage.strengthen_rate, rng))
    made += [
      mask(positive, stage.mask_rate, rng, mask_id) for _ in range(stage.masked)
    ]
  seen = {x.tobytes() for x in (positive, *negatives)}
  unique = []
  for ids in made:
    if ids.tobytes() not in seen:
      seen.add(ids.tobytes())
      unique.append(ids)
  return unique
