"""A batch that came to no finite number: on disk and back."""

import jax
import numpy as np
import pytest

from prod_jax.batch import Packed, TeacherTexts
from prod_jax.processes import Processes
from prod_jax.train import kept
from tests.methods import batches


def processes(tmp_path, index=0):
  found = Processes(tmp_path)
  found.index = index
  return found


def assert_same(one, other):
  assert jax.tree.structure(one) == jax.tree.structure(other)
  jax.tree.map(np.testing.assert_array_equal, one, other)


def packed():
  rows = np.arange(2 * 3 * 4, dtype=np.int32).reshape(2, 3, 4)
  return Packed(rows, rows[..., :2], rows[..., 2:], rows[..., 1:3], rows[:, 0])


@pytest.mark.parametrize(
  "batch",
  [
    batches.batch(**batches.preferences()),
    batches.batch(
      list_scores_BN=np.array([[np.nan, np.inf, 1.0]], np.float32)
    )._replace(query=packed(), pair=None),
    batches.batch()._replace(teacher=TeacherTexts(query=packed())),
    packed(),
    batches.tokens(np.random.default_rng(0), 3, 5),
    TeacherTexts(query=batches.tokens(np.random.default_rng(0), 3, 5)),
  ],
)
def test_a_batch_comes_back_as_it_was(tmp_path, batch):
  kept.keep(tmp_path, 7, batch, {"queries": ["a"]}, processes(tmp_path))
  assert kept.steps(tmp_path) == [7]
  found, about = kept.load(tmp_path, 7)
  assert_same(found, batch)
  assert about == {"queries": ["a"]}


def test_parts_of_processes_are_one_batch(tmp_path):
  whole = batches.batch()
  for index in (1, 0):
    part = jax.tree.map(lambda x, i=index: x[4 * i : 4 * i + 4], whole)
    about = {"loss": "nan", "queries": [f"q{index}"]}
    kept.keep(tmp_path, 12, part, about, processes(tmp_path, index))
  found, about = kept.load(tmp_path, 12)
  assert_same(found, whole)
  assert about == {"loss": "nan", "queries": ["q0", "q1"]}


def test_no_pickle_is_read(tmp_path):
  to = kept.keep(tmp_path, 1, packed(), {}, processes(tmp_path))
  objects = np.array([{}], object)
  with open(to / "batch-0.npz", "wb") as file:
    np.savez(file, ids=objects, allow_pickle=True)
  with pytest.raises(ValueError, match="allow_pickle=False"):
    kept.load(tmp_path, 1)
