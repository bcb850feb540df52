"""Blocks: each is made once, and a half-written one does not count."""

import numpy as np
import pytest

from prod_jax.group import Group
from prod_jax.retrieval import blocks


def test_only_missing_blocks_are_made(tmp_path):
  made, kill = [], [True]

  def work(start, stop):
    if start == 6 and kill:
      raise KeyboardInterrupt
    made.append((start, stop))
    return {"x": np.arange(start, stop)}

  def run():
    return blocks.compute(
      tmp_path, 8, 3, work, group=Group(tmp_path), name="toy", unit="rows"
    )

  with pytest.raises(KeyboardInterrupt):
    run()
  kill.clear()
  half = tmp_path / "000000006.part"
  half.mkdir()
  (half / "x.npy").write_bytes(b"torn")
  paths = run()
  assert made == [(0, 3), (3, 6), (6, 8)]
  (found,) = blocks.gather(paths, ["x"], Group(tmp_path))
  np.testing.assert_array_equal(found, np.arange(8))
  assert not list(tmp_path.glob("*.part"))
