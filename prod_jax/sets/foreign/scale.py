"""How a teacher's scores are spread, and what they probably are."""

from typing import NamedTuple

import numpy as np

_NEAR = 1e-3
# What a sigmoid gives lies at its ends; a cosine of embeddings does not.
_SATURATED, _WIDE = 0.01, 0.25
_CLIP = 1e-6  # a probability of 1 has no logit


class Scale(NamedTuple):
  """Of some scores.

  Attributes:
    mean, spread, lowest, highest: of all; the spread is the standard deviation.
    saturated: the share within 0.001 of the least or the most that there can
      be: 0 and 1 in the range of a probability, else the extremes that occur.
    kind: what they probably are, "probability", "cosine" or "logit".
  """

  mean: float
  spread: float
  lowest: float
  highest: float
  saturated: float
  kind: str


def scale(scores: np.ndarray) -> Scale:
  """Measures finite scores, at least one."""
  scores = scores.astype(np.float64)
  least, most = float(scores.min()), float(scores.max())
  unit = least >= 0 and most <= 1
  ends = (0.0, 1.0) if unit else (least, most)
  near = np.minimum(*(np.abs(scores - end) for end in ends)) <= _NEAR
  saturated, spread = float(near.mean()), float(scores.std())
  if unit and (saturated > _SATURATED or spread > _WIDE):
    kind = "probability"
  elif least >= -1 and most <= 1:
    kind = "cosine"
  else:
    kind = "logit"
  return Scale(float(scores.mean()), spread, least, most, saturated, kind)


def logit(scores: np.ndarray) -> np.ndarray:
  """What a sigmoid made these probabilities of, float32; NaN stays.

  They are kept within 1e-6 of 0 and 1, so that a logit is at most 13.8.
  """
  clipped = np.clip(scores.astype(np.float64), _CLIP, 1 - _CLIP)
  return (np.log(clipped) - np.log1p(-clipped)).astype(np.float32)
