"""Nearest neighbours by inner product: exact on the device, or ScaNN.

An index answers with rows of the matrix that it was made of. What the rows
are, and how they were embedded, is encode.py.
"""

import functools
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax import lax
from jaxtyping import Array, Float, Float32, Int, Int32

from prod_jax import sharding

# Tiles of scores, 8 MiB, that the allocator of a CPU reuses: tiles of 32 MiB
# are mapped anew each time, which halves the speed.
QUERY_BLOCK = 128
ROW_BLOCK = 16384
# Rows that are looked at together in the first of two selections.
GROUP = 32


@runtime_checkable
class Vectors(Protocol):
  """A matrix [rows, D] that is read slice by slice: an array, or a memmap."""

  shape: tuple[int, ...]
  dtype: np.dtype

  def __getitem__(self, rows: slice) -> np.ndarray: ...


class Index(Protocol):
  """Anything that finds the rows with the largest inner products.

  Attributes:
    kind: by which `open_index` knows it.
  """

  kind: str

  def search(
    self, query_QD: Float[np.ndarray, "Q D"], k: int
  ) -> tuple[Int32[np.ndarray, "Q K"], Float32[np.ndarray, "Q K"]]:
    """The k best rows of each query.

    Returns:
      Rows and inner products, best first, equal ones by row. Where there are
      fewer than k rows, row -1 and score -inf fill the rest.

    Raises:
      ValueError: queries and rows are of different width, or a score is not
        a finite number.
    """
    ...


def open_index(
  kind: str,
  vectors: Vectors,
  *,
  mesh: jax.sharding.Mesh | None = None,
  **settings: Any,
) -> Index:
  """Makes an index of the rows of a matrix.

  Where ScaNN cannot be imported, exact search stands in and says so.

  Args:
    kind: "exact" or "scann".
    vectors: [rows, D], of any float type.
    mesh: as `ExactIndex` takes it.
    settings: of `ScannIndex`.

  Raises:
    ValueError: for another kind.
  """
  if kind == "exact":
    return ExactIndex(vectors, mesh=mesh, **settings)
  if kind != "scann":
    raise ValueError(f"unknown kind of index {kind!r}; known: exact, scann")
  try:
    return ScannIndex(vectors, **settings)
  except ImportError as error:
    logging.warning(
      "scann cannot be imported (%s), so the search is exact; its wheels are "
      "for Linux and Python before 3.14",
      error,
    )
    return ExactIndex(vectors, mesh=mesh)
