"""What the numbers of a config may be: each field's type says its range.

A field `steps: Count` is an int that `strict` refuses below 1. Every number
that a config can set has one of these types; floats are finite in all of them.
"""

import dataclasses
import math
from typing import Annotated

# Numbers of texts, steps and tokens become int32 in a compiled program.
_MOST = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Range:
  """The finite numbers from `least` to `greatest`, between `above` and `below`.

  Attributes:
    least, greatest: within it themselves.
    above, below: not.
    but: a number in between that is not within it either.
  """

  least: float | int = -math.inf
  greatest: float | int = math.inf
  above: float | int = -math.inf
  below: float | int = math.inf
  but: int | None = None

  def __contains__(self, value: float | int) -> bool:
    return (
      self.least <= value <= self.greatest
      and self.above < value < self.below
      and value != self.but
    )

  def __str__(self) -> str:
    ends = (
      (self.least, "{} or more"),
      (self.above, "above {}"),
      (self.greatest, "at most {}"),
      (self.below, "below {}"),
    )
    said = [text.format(end) for end, text in ends if math.isfinite(end)]
    if self.but is not None:
      said.append(f"not {self.but}")
    return " and ".join(said) or "finite"


Count = Annotated[int, Range(1, _MOST)]
Whole = Annotated[int, Range(0, _MOST)]
Seed = Annotated[int, Range(0, 2**63 - 1)]
# Devices along an axis of a mesh; -1 is what the other axes leave.
Along = Annotated[int, Range(-1, _MOST, but=0)]

Real = Annotated[float, Range()]
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
ShareBelow1 = Annotated[float, Range(0, below=1)]
ShareAbove0 = Annotated[float, Range(above=0, greatest=1)]
ShareBetween = Annotated[float, Range(above=0, below=1)]
Percentile = Annotated[float, Range(0, 100)]
