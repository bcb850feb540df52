"""Vectors and their ids, which belong together."""

import errno

import numpy as np
import pyarrow.parquet
import pytest

from prod_jax import storage
from prod_jax.export import vectors


def embed(to, ids, value):
  with vectors._open(to, 2) as write:
    write(ids, np.full((2, 3), value, np.float32))


@pytest.mark.parametrize("failing", ["v.npy.part", "v.ids.txt.part"])
def test_no_ids_stand_beside_other_vectors(tmp_path, monkeypatch, failing):
  to, ids = tmp_path / "v.npy", tmp_path / "v.ids.txt"
  embed(to, ["a", "b"], 1.0)
  to_disk = storage.to_disk

  def fails(path):
    if path.name == failing:
      raise OSError(errno.EIO, "Input/output error", str(path))
    to_disk(path)

  with monkeypatch.context() as patch:
    patch.setattr(storage, "to_disk", fails)
    with pytest.raises(OSError, match="Input/output"):
      embed(to, ["x", "y"], 2.0)
  assert np.load(to)[0, 0] == (1.0 if to.name in failing else 2.0)
  assert not ids.exists()
  embed(to, ["x", "y"], 2.0)
  assert ids.read_text().split() == ["x", "y"] and np.load(to)[0, 0] == 2.0


def test_what_fails_before_its_end_leaves_both_as_they_were(tmp_path):
  to, ids = tmp_path / "v.npy", tmp_path / "v.ids.txt"
  embed(to, ["a", "b"], 1.0)
  with pytest.raises(RuntimeError), vectors._open(to, 2) as write:
    write(["x", "y"], np.full((2, 3), 2.0, np.float32))
    raise RuntimeError
  assert np.load(to)[0, 0] == 1.0 and ids.read_text().split() == ["a", "b"]


def test_parquet_has_both_in_one_file(tmp_path):
  embed(tmp_path / "v.parquet", ["a", "b"], 1.0)
  found = pyarrow.parquet.read_table(tmp_path / "v.parquet").to_pydict()
  assert found == {"id": ["a", "b"], "vector": [[1.0] * 3] * 2}
