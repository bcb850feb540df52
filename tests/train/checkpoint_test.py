"""Checkpoints that are damaged, and what a kill has left of one."""

import contextlib

import jax
import numpy as np
import pytest

from prod_jax import artefacts, strict
from prod_jax.train import checkpoint

STATE = {"a": np.arange(3.0), "b": {"c": np.ones((2, 2))}}


@pytest.fixture
def opened(tmp_path):
  """Checkpoints of the steps 1 to 3, of which two are kept."""
  with contextlib.closing(
    checkpoint.Checkpoints(tmp_path / "checkpoints", {"steps": 4})
  ) as found:
    for step in (1, 2, 3):
      found.save(step, jax.tree.map(lambda x, by=step: x * by, STATE))
    found._manager.wait_until_finished()
    yield found


def damage(opened, *steps):
  """Turns a bit of the largest file of each."""
  for step in steps:
    files = (opened._folder / str(step)).rglob("*")
    whole = [f for f in files if f.is_file() and f.name != artefacts.SEAL]
    path = max(whole, key=lambda file: file.stat().st_size)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def there(opened):
  return {path.name for path in opened._folder.iterdir()}


def test_whoever_only_looks_takes_the_newest_that_is_whole(opened, caplog):
  assert opened.up_to(3, STATE)[0] == 3
  damage(opened, 3)
  step, state = opened.up_to(5, STATE)
  assert step == 2
  np.testing.assert_array_equal(state["a"], STATE["a"] * 2)
  assert "the checkpoint of step 3 can't be read (ValueError: " in caplog.text
  assert there(opened) == {"2", "3"}, "nothing is set aside"
  assert opened.up_to(1, STATE) == (0, STATE)
  damage(opened, 2)
  with pytest.raises(strict.ConfigError, match=r"can be read .* begins anew"):
    opened.up_to(5, STATE)


def test_whoever_goes_on_sets_the_damaged_one_aside(opened):
  damage(opened, 3)
  assert opened.newest(STATE)[0] == 2
  assert there(opened) == {"2"}


def test_several_processes_are_told_the_folder_and_what_to_do(
  opened, monkeypatch
):
  damage(opened, 3)
  monkeypatch.setattr(jax, "process_count", lambda *of: 2)
  with pytest.raises(
    strict.ConfigError, match=r"checkpoints/3 can't be read.* move that folder"
  ):
    opened.newest(STATE)
  monkeypatch.undo()
  assert there(opened) == {"2", "3"}


def test_what_a_kill_has_left_is_not_sealed(opened):
  left = opened._folder / f"9{checkpoint._UNFINISHED}"
  (left / "state").mkdir(parents=True)
  (left / "state" / "half").write_text("cut")
  opened.save(4, STATE)
  opened._manager.wait_until_finished()
  assert not (left / artefacts.SEAL).exists()
  assert (opened._folder / "4" / artefacts.SEAL).exists()
  assert not artefacts.broken(opened._folder / "4")
