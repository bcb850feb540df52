"""Run files: what is written is what is read, and faults are located."""

import gzip

import numpy as np
import pytest

from prod_jax.retrieval import runs
from prod_jax.sets.records import DataError


def write(path, ids, scores, qids=("q1", "q2"), tag="t", name_of=str):
  runs.write_run(
    path,
    qids,
    np.array(ids, np.int32),
    np.array(scores, np.float32),
    tag=tag,
    name_of=name_of,
  )


def test_six_columns_ranks_from_1_and_no_padding(tmp_path):
  path = tmp_path / "run.trec"
  write(
    path,
    [[7, 3], [3, -1]],
    [[0.5, -2.0], [1e-9, -np.inf]],
    name_of=lambda row: f"d{row}",
  )
  assert path.read_text() == (
    "q1 Q0 d7 1 0.5 t\nq1 Q0 d3 2 -2 t\nq2 Q0 d3 1 9.99999972e-10 t\n"
  )
  assert list(tmp_path.iterdir()) == [path]


def test_scores_come_back_as_the_same_float32(tmp_path):
  rng = np.random.default_rng(0)
  bits = rng.integers(0, 2**32, (4, 5000), dtype=np.uint32)
  scores = np.where(np.isfinite(bits.view(np.float32)), bits, 0)
  scores = scores.astype(np.uint32).view(np.float32)
  ids = np.broadcast_to(np.arange(5000, dtype=np.int32), scores.shape)
  write(tmp_path / "run", ids, scores, qids=["a", "b", "c", "d"])
  run = runs.read_run(tmp_path / "run")
  for line, query in zip(scores, run.values(), strict=True):
    assert list(query) == [str(i) for i in range(5000)]
    read = np.array(list(query.values())).astype(np.float32)
    np.testing.assert_array_equal(read, line)


def test_each_passage_is_named_once(tmp_path):
  asked = []
  write(
    tmp_path / "run",
    [[5, 2], [2, 5]],
    [[1, 0], [1, 0]],
    name_of=lambda row: asked.append(row) or f"d{row}",
  )
  assert sorted(asked) == [2, 5]


def test_a_run_that_fails_leaves_the_old_file(tmp_path):
  path = tmp_path / "run"
  write(path, [[1], [2]], [[1], [2]])
  before = path.read_text()
  with pytest.raises(ValueError):
    write(path, [[1], [2]], [[1], [2]], qids=["one"])
  assert path.read_text() == before


def test_a_score_that_is_no_number_is_not_written(tmp_path):
  with pytest.raises(DataError, match="query q2 has scores"):
    write(tmp_path / "run", [[1, 2], [1, 2]], [[1, 0], [1, np.nan]])
  assert not list(tmp_path.iterdir())
  write(tmp_path / "run", [[1, 2], [1, -1]], [[1, 0], [1, np.nan]])
  assert runs.read_run(tmp_path / "run")["q2"] == {"1": 1.0}


@pytest.mark.parametrize(
  "names",
  [{"tag": "my run"}, {"qids": ("q 1", "q2")}, {"name_of": lambda row: ""}],
)
def test_names_with_white_space_are_not_written(tmp_path, names):
  with pytest.raises(DataError, match="white space"):
    write(tmp_path / "run", [[1], [2]], [[1], [2]], **names)
  assert not list(tmp_path.iterdir())


def test_runs_of_other_tools_are_read(tmp_path):
  path = tmp_path / "run"
  path.write_text("1\tQ0\td2\t9\t 1e3 \tSTANDARD\n\n1 0 d1 x -.5 s\n")
  assert runs.read_run(path) == {"1": {"d2": 1000.0, "d1": -0.5}}
  path.write_text("")
  assert runs.read_run(path) == {}
  # As Windows and gzip write them.
  path.write_bytes(b"\xef\xbb\xbf1 Q0 d2 1 3 t\r\n")
  assert runs.read_run(path) == {"1": {"d2": 3.0}}
  packed = tmp_path / "run.gz"
  packed.write_bytes(gzip.compress(b"1 Q0 d2 1 3 t\n"))
  assert runs.read_run(packed) == {"1": {"d2": 3.0}}


@pytest.mark.parametrize(
  ("line", "fault"),
  [
    ("q Q0 d 1 0.5", "5 columns, expected query id, Q0"),
    ("q Q0 d 1 0.5 my tag", "7 columns"),
    ("q Q0 d 1 high t", "score 'high' is not a number"),
    ("q Q0 d 1 nan t", "score 'nan' is not a number"),
    ("q Q0 first 2 0.5 t", "q first occurs again"),
  ],
)
def test_a_line_at_fault_is_named(tmp_path, line, fault):
  path = tmp_path / "run"
  path.write_text(f"q Q0 first 1 1.0 t\n\n{line}\n")
  with pytest.raises(DataError) as error:
    runs.read_run(path)
  assert f"{path}:3: " in str(error.value)
  assert fault in str(error.value)


def test_a_file_that_is_not_text_is_named(tmp_path):
  path = tmp_path / "run"
  path.write_bytes(b"\xff\xfe")
  with pytest.raises(DataError, match=r"run:1: the file is UTF-16"):
    runs.read_run(path)
