"""What scores of lists are like: spread, entropy, and how two judges agree.

Scores are [Q, N], NaN where a list has no passage there. A figure is one number
a list, NaN where the list has none: `mean` is over the others.
"""

import math

import numpy as np

ONE_HOT, FLAT = 0.99, 0.99
EVEN = 0.5  # of log n: half way between one-hot and flat


def log_softmax(scores_QN: np.ndarray, temperature: float) -> np.ndarray:
  """Log-probabilities of each list at a temperature, NaN as the scores are."""
  z_QN = scores_QN.astype(np.float64) / temperature
  there_QN = ~np.isnan(z_QN)
  top_Q1 = np.max(z_QN, axis=1, keepdims=True, where=there_QN, initial=-np.inf)
  z_QN = z_QN - np.where(np.isfinite(top_Q1), top_Q1, 0.0)
  total_Q1 = np.sum(np.exp(z_QN), axis=1, keepdims=True, where=there_QN)
  return z_QN - np.log(np.maximum(total_Q1, 1.0))  # the best alone adds 1


def entropy(scores_QN: np.ndarray, temperature: float) -> np.ndarray:
  """Entropy of each list as a share of log n, from 0, one-hot, to 1, flat.

  n are the passages of the list, two at least.
  """
  log_p_QN = log_softmax(scores_QN, temperature)
  there_QN = ~np.isnan(log_p_QN)
  n_Q = there_QN.sum(axis=1)
  nats_Q = -np.sum(np.exp(log_p_QN) * log_p_QN, axis=1, where=there_QN)
  return np.where(n_Q > 1, nats_Q / np.log(np.maximum(n_Q, 2)), np.nan)


def one_hot(scores_QN: np.ndarray, temperature: float) -> np.ndarray:
  """1.0 for each list whose best has a probability above `ONE_HOT`, else 0."""
  log_p_QN = log_softmax(scores_QN, temperature)
  there_QN = ~np.isnan(log_p_QN)
  top_Q = np.max(log_p_QN, axis=1, where=there_QN, initial=-np.inf)
  found_Q = (top_Q > np.log(ONE_HOT)).astype(np.float64)
  return np.where(there_QN.sum(axis=1) > 1, found_Q, np.nan)


def flat(scores_QN: np.ndarray, temperature: float) -> np.ndarray:
  """1.0 for each list whose entropy is above `FLAT` of log n, else 0."""
  share_Q = entropy(scores_QN, temperature)
  return np.where(np.isnan(share_Q), np.nan, share_Q > FLAT)


def extent(scores_QN: np.ndarray) -> np.ndarray:
  """The largest less the smallest score of each list."""
  there_QN = ~np.isnan(scores_QN)
  most_Q = np.max(scores_QN, axis=1, where=there_QN, initial=-np.inf)
  least_Q = np.min(scores_QN, axis=1, where=there_QN, initial=np.inf)
  return np.where(there_QN.any(axis=1), most_Q - least_Q, np.nan)


def deviation(scores_QN: np.ndarray) -> np.ndarray:
  """The standard deviation of each list's scores, over n."""
  there_QN = ~np.isnan(scores_QN)
  n_Q1 = np.maximum(there_QN.sum(axis=1, keepdims=True), 1)
  mean_Q1 = np.sum(scores_QN, axis=1, keepdims=True, where=there_QN) / n_Q1
  square_QN = (scores_QN - mean_Q1) ** 2
  square_Q = np.sum(square_QN, axis=1, where=there_QN) / n_Q1[:, 0]
  return np.where(there_QN.any(axis=1), np.sqrt(square_Q), np.nan)


def above_positive(scores_QN: np.ndarray, label_QN: np.ndarray) -> np.ndarray:
  """Share of each list's negatives that score above its best positive.

  NaN for a list that lacks either.
  """
  there_QN = ~np.isnan(scores_QN)
  own_QN = label_QN & there_QN
  best_Q1 = np.max(
    scores_QN, axis=1, keepdims=True, where=own_QN, initial=-np.inf
  )
  negative_QN = ~label_QN & there_QN
  above_Q = (negative_QN & (scores_QN > best_Q1)).sum(axis=1)
  count_Q = negative_QN.sum(axis=1)
  has_Q = own_QN.any(axis=1) & (count_Q > 0)
  return np.where(has_Q, above_Q / np.maximum(count_Q, 1), np.nan)


def agreement(one_QN: np.ndarray, other_QN: np.ndarray) -> np.ndarray:
  """Kendall's tau-b of two judges of each list, over what both have scored.

  NaN where that is less than two passages, or all the same to either.
  """
  from scipy import stats  # most of a second, and only asked for here

  both_QN = ~np.isnan(one_QN) & ~np.isnan(other_QN)
  out_Q = np.full(len(one_QN), np.nan)
  for line, both_N in enumerate(both_QN):
    one_N, other_N = one_QN[line, both_N], other_QN[line, both_N]
    if len(one_N) > 1 and np.ptp(one_N) > 0 and np.ptp(other_N) > 0:
      out_Q[line] = stats.kendalltau(one_N, other_N).statistic
  return out_Q


def even_temperature(scores_QN: np.ndarray) -> float | None:
  """The temperature at which the mean entropy is `EVEN` of log n.

  It is the only one: entropy grows with the temperature, strictly where scores
  differ. None where no temperature does it, since too many scores are equal.
  """
  several_Q = (~np.isnan(scores_QN)).sum(axis=1) > 1
  scores_QN = scores_QN[several_Q]
  widest = float(np.max(extent(scores_QN), initial=0.0))
  if widest == 0:
    return None
  low, high = math.log(widest) - 12, math.log(widest) + 12
  if mean(entropy(scores_QN, math.exp(low))) > EVEN:
    return None
  for _ in range(40):
    middle = (low + high) / 2
    if mean(entropy(scores_QN, math.exp(middle))) < EVEN:
      low = middle
    else:
      high = middle
  return math.exp(low)


def mean(figure_Q: np.ndarray) -> float:
  """Over the lists that have the figure, NaN if none has."""
  known_Q = figure_Q[~np.isnan(figure_Q)]
  return float(known_Q.mean()) if len(known_Q) else float("nan")
