"""Figures of what was measured: medians over rounds, and how they look."""

import math
import statistics
from typing import Any

from benchmarks import rows

PACKAGED = {"depth": 6, "width": 384, "mlp_width": 1536}  # its encoder
PASSES = {"distil": 3, "encode": 1, "rerank": 1}  # backward counts twice


def flops_a_token(piece: str, depth: int, width: int, mlp_width: int) -> int:
  """What a text's token needs in the matrices of an encoder's layers.

  A pair that is scored needs of its last layer keys and values: all else there
  is of [CLS] alone.
  """
  keys_and_values = 4 * width**2
  layer = 2 * keys_and_values + 4 * width * mlp_width
  layers = depth * layer
  if piece == "rerank":
    layers += keys_and_values - layer
  return PASSES[piece] * layers


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
    return flops_a_token(piece, **PACKAGED) * tokens / 1e9


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
