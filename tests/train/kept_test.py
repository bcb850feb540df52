"""A batch that came to no finite number: on disk and back."""

import json

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
  "queries": [*"abcdefgh"],
  "passages": [["p", "n", None]] * 8,
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


def keep_parts(tmp_path, counts):
  """A part of the batch of each process, of a try of so many of them."""
  whole, each = batches.batch(), 8 // len(counts)
  for index, count in reversed([*enumerate(counts)]):
    own = slice(each * index, each * (index + 1))
    part = jax.tree.map(lambda x, own=own: x[own], whole)
    about = {k: v[own] for k, v in ABOUT.items() if isinstance(v, list)}
    of = processes(tmp_path, index, count)
    kept.keep(tmp_path, 12, part, {**ABOUT, **about}, of)
  return whole


def test_parts_of_processes_are_one_batch(tmp_path):
  whole = keep_parts(tmp_path, (2, 2))
  earlier = processes(tmp_path, 2, 3)
  kept.keep(tmp_path, 12, whole, ABOUT, earlier)
  found, about = kept.load(tmp_path, 12)
  assert_same(found, whole)
  assert about["queries"] == ABOUT["queries"] and about["processes"] == 2


@pytest.mark.parametrize(
  ("counts", "there"),
  [((4,), "0"), ((4, 2, 4, 4), "0, 2, 3"), ((4, 4), "0, 1")],
)
def test_part_of_a_step_is_not_taken_for_all_of_it(tmp_path, counts, there):
  keep_parts(tmp_path, counts)
  with pytest.raises(
    strict.ConfigError, match=f"of 4 processes it has the part of {there}"
  ):
    kept.load(tmp_path, 12)


def test_nor_is_one_whose_first_part_is_gone(tmp_path):
  keep_parts(tmp_path, (2, 2))
  (tmp_path / kept.FOLDER / "12" / "batch-0.npz").unlink()
  with pytest.raises(strict.ConfigError, match="it has the part of 1"):
    kept.load(tmp_path, 12)


@pytest.mark.parametrize(
  ("said", "why"),
  [
    ({"queries": ["a"]}, "its ids are not those of its arrays"),
    ({"passages": [["p"]] * 8}, "its ids are not those of its arrays"),
    ({"passages": [["p"], []]}, "can't be read"),
    ({"metrics": 5}, "metrics is 5, not an object"),
    ({"processes": 2**62}, "of 4611686018427387904 processes"),
  ],
)
def test_ids_of_another_batch_are_not_taken_for_its_own(tmp_path, said, why):
  about = {**ABOUT, **said}
  to = kept.keep(tmp_path, 1, batches.batch(), about, processes(tmp_path))
  path = to / "record-0.json"
  found = json.loads(path.read_text())
  path.write_text(json.dumps({**found, **said}))
  with pytest.raises(strict.ConfigError, match=why):
    kept.load(tmp_path, 1)


@pytest.mark.parametrize(
  "arrays", [{"segment": np.zeros(2), "foo": np.zeros(2)}, {}, {"x.y": [1]}]
)
def test_arrays_of_something_else_are_one_line(tmp_path, arrays):
  to = kept.keep(tmp_path, 1, packed(), ABOUT, processes(tmp_path))
  np.savez(to / "batch-0.npz", **arrays)
  with pytest.raises(strict.ConfigError, match=r"not_finite/1 can't be read"):
    kept.load(tmp_path, 1)


def test_a_file_of_no_process_is_one_line(tmp_path):
  to = kept.keep(tmp_path, 1, packed(), ABOUT, processes(tmp_path))
  (to / "batch-0.npz").rename(to / "batch-x.npz")
  with pytest.raises(strict.ConfigError, match=r"not_finite/1 can't be read"):
    kept.load(tmp_path, 1)


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
