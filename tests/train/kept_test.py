"""A batch that came to no finite number: on disk and back."""

import jax
import numpy as np
import pytest

from prod_jax import strict
from prod_jax.batch import Packed, TeacherTexts
from prod_jax.processes import Processes
from prod_jax.train import kept
from tests.methods import batches

ABOUT = {
  "stage": "student",
  "step": 7,
  "metrics": {"loss": "nan"},
  "queries": ["a"],
  "passages": [["p", None]],
}


def processes(tmp_path, index=0, count=1):
  found = Processes(tmp_path)
  found.index, found.count = index, count
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
  kept.keep(tmp_path, 7, batch, ABOUT, processes(tmp_path))
  assert kept.steps(tmp_path) == [7]
  found, about = kept.load(tmp_path, 7)
  assert_same(found, batch)
  assert about == {**ABOUT, "processes": 1}


def test_parts_of_processes_are_one_batch(tmp_path):
  whole = batches.batch()
  for index in (1, 0):
    part = jax.tree.map(lambda x, i=index: x[4 * i : 4 * i + 4], whole)
    about = {**ABOUT, "queries": [f"q{index}"]}
    kept.keep(tmp_path, 12, part, about, processes(tmp_path, index, 2))
  earlier = processes(tmp_path, 2, 3)
  kept.keep(tmp_path, 12, whole, ABOUT, earlier)
  found, about = kept.load(tmp_path, 12)
  assert_same(found, whole)
  assert about["queries"] == ["q0", "q1"] and about["processes"] == 2


def test_no_pickle_is_read(tmp_path):
  to = kept.keep(tmp_path, 1, packed(), ABOUT, processes(tmp_path))
  objects = np.array([{}], object)
  with open(to / "batch-0.npz", "wb") as file:
    np.savez(file, ids=objects, allow_pickle=True)
  with pytest.raises(strict.ConfigError, match="allow_pickle=False"):
    kept.load(tmp_path, 1)


@pytest.mark.parametrize("name", ["batch-0.npz", "record-0.json"])
@pytest.mark.parametrize("content", [b"", b"{}", None])
def test_what_is_not_whole_is_one_line(tmp_path, name, content):
  to = kept.keep(tmp_path, 1, packed(), ABOUT, processes(tmp_path))
  whole = (to / name).read_bytes()
  (to / name).write_bytes(whole[:40] if content is None else content)
  with pytest.raises(strict.ConfigError, match=r"not_finite/1 can't be read"):
    kept.load(tmp_path, 1)
