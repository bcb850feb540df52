"""Shards stand in for one matrix, and a torn set of them is noticed."""

import pathlib
import shutil

import numpy as np
import pytest

from prod_jax import strict
from prod_jax.processes import Processes
from prod_jax.retrieval import encode


@pytest.fixture
def written(tmp_path):
  """A matrix of 10 rows in shards of 4, and the rows asked for."""
  matrix = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
  asked = []

  def embed(start, stop, pieces):
    asked.append((start, stop))
    return matrix[start:stop]

  encode.encode_passages(
    tmp_path / "passages",
    embed,
    10,
    4,
    processes=Processes(tmp_path),
    name="toy",
  )
  return tmp_path / "passages", matrix, embed, asked


def test_shards_are_the_matrix(written):
  folder, matrix, _, asked = written
  shards = encode.open_shards(folder)
  assert asked == [(0, 4), (4, 8), (8, 10)]
  assert shards.shape == matrix.shape
  assert len(shards) == 10
  np.testing.assert_array_equal(np.asarray(shards), matrix)
  for rows in (slice(0, 4), slice(3, 9), slice(8, 99), slice(5, 5)):
    np.testing.assert_array_equal(shards[rows], matrix[rows])
  rows = np.array([[9, 0], [4, 4]])
  np.testing.assert_array_equal(shards[rows], matrix[rows])
  with pytest.raises(IndexError, match="forwards"):
    shards[::2]


def test_what_was_read_does_not_stay_in_memory(written):
  folder, matrix, *_ = written
  shards = encode.open_shards(folder)
  maps = pathlib.Path("/proc/self/maps")
  rows = shards[0:4]
  assert str(folder) in maps.read_text()
  np.testing.assert_array_equal(rows, matrix[:4])
  np.testing.assert_array_equal(shards[np.array([9, 0])], matrix[[9, 0]])
  del rows
  assert str(folder) not in maps.read_text()


def test_a_second_run_encodes_only_what_is_missing(written):
  folder, matrix, embed, asked = written
  shutil.rmtree(folder / "000000004-000000008")
  encode.encode_passages(
    folder, embed, 10, 4, processes=Processes(folder.parent), name="toy"
  )
  assert asked[3:] == [(4, 8)]
  np.testing.assert_array_equal(np.asarray(encode.open_shards(folder)), matrix)


def test_shards_that_do_not_fit_their_manifest_are_an_error(written):
  folder, *_ = written
  np.save(
    folder / "000000008-000000010" / "vectors.npy", np.zeros((1, 3), np.float32)
  )
  with pytest.raises(
    strict.ConfigError, match=r"9 rows, manifest.json says\n?"
  ):
    encode.open_shards(folder)
