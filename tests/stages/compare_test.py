"""Which columns of a list a pairwise model is asked about."""

import numpy as np

from prod_jax.batches.lists import Candidates
from prod_jax.stages import compare


def test_a_second_positive_is_in_no_pair():
  """No batch holds it, so that the answer would never be read."""
  label = np.array([[False, True, False, True], [True, False, False, False]])
  ids = np.arange(8, dtype=np.int32).reshape(2, 4)
  lists = Candidates(np.arange(2), ids, label, ids % 4, ids.astype(np.float32))
  scores_QC = np.array([[4.0, 3, 2, 1], [1.0, 2, 3, np.nan]])
  found = compare._trained_on(lists, scores_QC)
  np.testing.assert_array_equal(found, [[4, 3, 2, np.nan], [1, 2, 3, np.nan]])
