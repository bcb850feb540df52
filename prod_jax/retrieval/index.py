"""What an index of vectors is given, and what it gives back."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int32

Queries = Float[np.ndarray, "Q D"]
# Rows and their inner products, best first.
Neighbours = tuple[Int32[np.ndarray, "Q K"], Float32[np.ndarray, "Q K"]]


@runtime_checkable
class Vectors(Protocol):
  """A matrix [rows, D] that is read in slices of rows, or at some of them."""

  @property
  def shape(self) -> tuple[int, ...]: ...

  def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray: ...


@runtime_checkable
class Index(Protocol):
  """Whatever finds the rows with the largest inner products.

  Attributes:
    kind: the name by which `search.open_index` knows it.
  """

  kind: str

  def search(self, query_QD: Queries, k: int) -> Neighbours:
    """The `k` best rows of each query.

    Returns:
      Rows and their inner products, best first, equal ones by row. Where there
      are fewer than `k` rows, row -1 with score -inf fills the rest.

    Raises:
      ValueError: a query or a row holds NaN or infinity.
    """
    ...


def finite(
  matrix: Any, name: str, first: int = 0
) -> Float32[np.ndarray, "R D"]:
  """A matrix as contiguous float32.

  Args:
    matrix: vectors, one a row.
    name: of what a row is.
    first: number of the first row.

  Raises:
    ValueError: a vector is not finite.
  """
  matrix = np.ascontiguousarray(matrix, np.float32)
  # The sum of a vector is finite if all of it is.
  broken = np.flatnonzero(~np.isfinite(matrix.sum(axis=1)))
  if len(broken):
    raise not_finite(name, first + int(broken[0]))
  return matrix


def not_finite(name: str, number: int) -> ValueError:
  return ValueError(
    f"{name} {number} holds NaN, infinity or huge numbers; encode it again "
    "with parameters that are sound"
  )
