"""Blocks: each is made once, and a half-written one does not count."""

import functools

import numpy as np
import pytest

from prod_jax.processes import Preempted, Processes
from prod_jax.retrieval import blocks


def compute(folder, work):
  """Eight rows in blocks of three."""
  own = dict(processes=Processes(folder), name="toy", unit="rows")
  return blocks.compute(folder, 8, 3, work, **own)


def test_only_missing_blocks_are_made(tmp_path):
  made, kill = [], [True]

  def work(start, stop, pieces):
    if start == 6 and kill:
      raise KeyboardInterrupt
    made.append((start, stop))
    return {"x": np.arange(start, stop)}

  run = functools.partial(compute, tmp_path, work)
  with pytest.raises(KeyboardInterrupt):
    run()
  kill.clear()
  half = tmp_path / "000000006-000000008.part"
  half.mkdir()
  (half / "x.npy").write_bytes(b"torn")
  paths = run()
  assert made == [(0, 3), (3, 6), (6, 8)]
  (found,) = blocks.gather(paths, ["x"], Processes(tmp_path))
  np.testing.assert_array_equal(found, np.arange(8))
  assert not list(tmp_path.glob("*.part"))


def test_a_block_that_has_changed_is_made_again(tmp_path, caplog):
  made = []

  def work(start, stop, pieces):
    made.append(start)
    return {"x": np.arange(start, stop)}

  run = functools.partial(compute, tmp_path, work)
  file = run()[1] / "x.npy"
  content = bytearray(file.read_bytes())
  content[-1] ^= 1
  file.write_bytes(content)
  assert len(run()) == 3 and made == [0, 3, 6, 3]
  assert f"{file} has changed: the block is made again" in caplog.text
  np.testing.assert_array_equal(np.load(file), [3, 4, 5])


def test_a_run_that_is_asked_to_stop_leaves_between_two_blocks(tmp_path):
  processes, made = Processes(tmp_path), []

  def work(start, stop, pieces):
    made.append(start)
    return {"x": np.arange(start, stop)}

  def run():
    return blocks.compute(
      tmp_path, 8, 3, work, processes=processes, name="toy", unit="rows"
    )

  processes.stopping = lambda: len(made) == 2
  with pytest.raises(Preempted, match="stopped toy with 6 of 8 rows made"):
    run()
  processes.stopping = lambda: False
  assert len(run()) == 3
  assert made == [0, 3, 6]


def test_processes_divide_what_is_missing(tmp_path):
  (tmp_path / "000000002-000000004").mkdir()
  made = []
  processes = Processes(tmp_path)
  processes.index, processes.count, processes.meet = 1, 2, lambda what: None
  processes.stopping = lambda: False

  def work(start, stop, pieces):
    made.append((start, stop))
    return {"x": np.arange(start, stop)}

  blocks.compute(
    tmp_path, 9, 2, work, processes=processes, name="toy", unit="rows"
  )
  # Missing are 0, 4, 6, 8; every second of them is ours.
  assert made == [(4, 6), (8, 9)]


def test_blocks_of_another_size_are_not_mixed_in(tmp_path):
  def run(size):
    return blocks.compute(
      tmp_path,
      8,
      size,
      lambda start, stop, pieces: {"x": np.arange(start, stop)},
      processes=Processes(tmp_path),
      name="toy",
      unit="rows",
    )

  run(4)
  (x,) = blocks.gather(run(3), ["x"], Processes(tmp_path))
  np.testing.assert_array_equal(x, np.arange(8))
