"""Lists of unequal length as one array."""

from collections.abc import Sequence

import numpy as np


def padded_rows(
  lists: Sequence[Sequence[int] | np.ndarray], width: int
) -> np.ndarray:
  """Lists of row numbers or token ids, int32 [len(lists), width], -1 padded."""
  out = np.full((len(lists), width), -1, np.int32)
  for line, values in zip(out, lists, strict=True):
    line[: len(values)] = values
  return out
