"""Figures of what was measured, as sentences take them."""

import math
import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks import rows

WIDTH = 384  # of the packaged encoder
FLOPS_A_TOKEN = 6 * 24 * WIDTH**2  # of all matrices of its layers, forward


class Measured:
  """Medians of what was measured, by piece, side and key."""

  def __init__(self, runs: rows.Runs):
    self._runs = runs

  def has(self, piece: str) -> bool:
    """Whether this piece was measured."""
    return piece in self._runs

  def of(self, piece: str, side: str, *keys: str) -> float:
    """The median over the rounds."""
    found = []
    for measured in self._runs[piece][side]:
      for key in keys:
        measured = measured[key]
      found.append(measured)
    return statistics.median(found)

  def first(self, piece: str, side: str, key: str) -> Any:
    """What the first round says."""
    return self._runs[piece][side][0][key]


def gflops(m: Measured, piece: str, side: str, passes: int) -> float:
  """GFLOP/s in the matrices of texts; a training step is three passes."""
  tokens = m.of(piece, side, "tokens") / m.of(piece, side, "seconds")
  return passes * FLOPS_A_TOKEN * tokens / 1e9


def operators(m: Measured, piece: str) -> str:
  """What profilers say of both sides."""
  products, others = [], []
  for side in ("ours", "peer"):
    products.append(percent(m.of(piece, side, "operators", "products")))
    largest = m.first(piece, side, "operators")
    others.append(
      f"`{largest['largest']}` with {percent(largest['largest_share'])}"
    )
  return (
    "By the profilers, products of matrices, with what is fused to them (here "
    "as there softmax in attention), are "
    f"{products[0]} of the time of operators here and {products[1]} there; of "
    f"the others {others[0]} and {others[1]} take most."
  )


def of_peak(m: Measured, ours: float, peer: float, kind: str = "xla") -> str:
  """What share these GFLOP/s are of a large product's; ours is of a kind."""
  if not m.has("peak"):
    return ""
  xla, torch = (m.of("peak", name, "rate") for name in (kind, "torch"))
  return (
    f" ({percent(ours / xla)} of XLA's peak, {percent(peer / torch)} of "
    "torch's)"
  )


def verdict(by_name: Mapping[str, Any], name: str) -> str:
  """What the row says, in a sentence."""
  row = by_name[name]
  beside = f" with {row['condition']}" if "condition" in row else ""
  reached = "reached" if row["reached"] else "not reached"
  sign = "at least" if row["better"] == "higher" else "at most"
  return (
    f"{number(row['ours'])} {row['unit']} ({row['ours_is']}) against "
    f"{number(row['peer'])} ({row['peer_is']}), {number(row['ratio'])} x; "
    f"the goal, {sign} {row['goal']:g} x{beside}, is {reached}."
  )


def number(value: float) -> str:
  """Two decimals, or none where they would say nothing."""
  return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def percent(share: float) -> str:
  """Two digits; what is nearly all is not rounded up to it."""
  if share < 0.995:
    return f"{100 * share:.2g} %"
  return f"{math.floor(1000 * share) / 10:g} %"
