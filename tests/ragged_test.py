"""Lists of unequal length as one array."""

import numpy as np
import pytest

from prod_jax.ragged import padded_rows


def test_short_lists_end_in_minus_one():
  table = padded_rows([np.array([5, 6]), [], [7]], 3)
  assert table.dtype == np.int32
  assert table.tolist() == [[5, 6, -1], [-1, -1, -1], [7, -1, -1]]
  assert padded_rows([], 2).shape == (0, 2)


def test_a_list_longer_than_the_width_is_refused():
  with pytest.raises(ValueError, match="broadcast"):
    padded_rows([[1, 2, 3]], 2)
