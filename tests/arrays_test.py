"""Files of arrays: one that was never made, and one that is damaged."""

import numpy as np
import pytest

from prod_jax import arrays, strict


def test_what_is_not_there_is_not_called_damaged(tmp_path):
  path = tmp_path / "03-score" / "scores.npy"
  with pytest.raises(strict.ConfigError) as error:
    arrays.read(path)
  assert str(error.value).startswith(f"{path} is not there; the stage of its")
  path.parent.mkdir()
  np.save(path, np.arange(3))
  assert arrays.read(path).tolist() == [0, 1, 2]
  path.write_bytes(path.read_bytes()[:-4])
  with pytest.raises(strict.ConfigError, match="cannot be read as an array"):
    arrays.read(path)
  np.save(path, np.array([{}]), allow_pickle=True)
  with pytest.raises(strict.ConfigError, match="cannot be read as an array"):
    arrays.read(path)
