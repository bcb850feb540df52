"""Figures of what was measured: medians over rounds, and how they look."""

import math
import statistics
from typing import Any

from benchmarks import rows

WIDTH = 384  # of the packaged encoder
FLOPS_A_TOKEN = 6 * 24 * WIDTH**2  # of all matrices of its layers, forward
PASSES = {"distil": 3, "encode": 1, "rerank": 1}  # backward counts twice


class Measured:
  """What rounds measured, by piece, side and key; None where none did."""

  def __init__(self, runs: rows.Runs):
    self._runs = runs

  def sides(self, piece: str) -> tuple[str, ...]:
    """The sides of a piece that were measured."""
    return tuple(self._runs.get(piece, ()))

  def of(self, piece: str, side: str, *keys: str) -> float | None:
    """The median over the rounds."""
    found = self._runs.get(piece, {}).get(side, ())
    for key in keys:
      found = [measured[key] for measured in found if key in measured]
    return statistics.median(found) if found else None

  def first(self, piece: str, side: str, key: str) -> Any:
    """What the first round says."""
    found = self._runs.get(piece, {}).get(side, ())
    return found[0].get(key) if found else None

  def gflops(self, piece: str, side: str) -> float:
    """GFLOP/s in the matrices of texts, or in the products of a search."""
    if piece == "search":
      # A query costs faiss what it costs exact search.
      flops = self.first(piece, "exact", "flops_a_query")
      return self.of(piece, side, "rate") * flops / 1e9
    tokens = self.of(piece, side, "tokens") / self.of(piece, side, "seconds")
    return PASSES[piece] * FLOPS_A_TOKEN * tokens / 1e9


def number(value: float | None, decimals: int = 2) -> str:
  """Some decimals, or none where they would say nothing."""
  if value is None:
    return ""
  return f"{value:,.0f}" if value >= 100 else f"{value:.{decimals}f}"


def percent(share: float | None) -> str:
  """Two digits; what is nearly all is not rounded up to it."""
  if share is None:
    return ""
  if share < 0.995:
    return f"{100 * share:.2g} %"
  return f"{math.floor(1000 * share) / 10:g} %"
