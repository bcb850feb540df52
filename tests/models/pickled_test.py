"""Pickled weights become safetensors, and a file's own code never runs."""

import json
import os
import pickle
import subprocess
import sys

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from prod_jax.models import hf, pickled, weights
from prod_jax.models.weights import WeightsError
from tests.models import tiny

CONFIG = tiny.FAMILIES["bert"]


@pytest.fixture
def torch():
  return pytest.importorskip("torch", reason="reads pickled weights")


@pytest.fixture
def folder(tmp_path):
  """A folder of ours, whose weights are still to be pickled."""
  folder = tmp_path / "model"
  hf.save(folder, tiny.params_of("bert")["encoder"], CONFIG)
  (folder / "vocab.txt").write_text("[PAD]\n")
  (folder / ".git").mkdir()
  (folder / ".git" / "config").write_text("[core]")
  return folder


def tensors_of(folder, torch):
  path = folder / weights.WEIGHTS
  tensors = {k: torch.tensor(v) for k, v in load_file(path).items()}
  path.unlink()
  return tensors


def test_a_folder_comes_out_whole(folder, tmp_path, torch):
  tensors = tensors_of(folder, torch)
  torch.save(tensors, folder / pickled.NAME)
  torch.save({"lr": 1}, folder / "training_args.bin")
  (folder / "2_Dense").mkdir()
  kernel = torch.ones(2, 3)
  torch.save({"linear.weight": kernel}, folder / "2_Dense" / pickled.NAME)
  to = tmp_path / "to"
  pickled.convert(folder, to)
  found = {str(p.relative_to(to)) for p in to.rglob("*") if p.is_file()}
  assert found == {
    "2_Dense/model.safetensors",
    "config.json",
    "model.safetensors",
    "vocab.txt",
  }
  expected = tiny.params_of("bert")["encoder"]
  jax.tree.map(np.testing.assert_array_equal, hf.load(to, CONFIG), expected)


def test_shards_keep_their_numbers(folder, tmp_path, torch):
  tensors = tensors_of(folder, torch)
  placed = {}
  for part in (1, 2):
    file = f"pytorch_model-0000{part}-of-00002.bin"
    names = sorted(tensors)[part - 1 :: 2]
    torch.save({name: tensors[name] for name in names}, folder / file)
    placed |= dict.fromkeys(names, file)
  index = {"metadata": {}, "weight_map": placed}
  (folder / pickled.INDEX).write_text(json.dumps(index))
  to = tmp_path / "to"
  pickled.convert(folder, to)
  assert {path.name for path in weights.files(to)} == {
    f"model-0000{part}-of-00002.safetensors" for part in (1, 2)
  }
  hf.check(to, CONFIG)
  (folder / "pytorch_model-00002-of-00002.bin").unlink()
  with pytest.raises(WeightsError, match=r"00002\.bin is not there; fetch it"):
    pickled.convert(folder, tmp_path / "again")


def test_tied_tensors_are_apart_and_types_stay(tmp_path, torch):
  folder, to = tmp_path / "model", tmp_path / "to"
  folder.mkdir()
  table = torch.arange(6.0, dtype=torch.bfloat16).reshape(2, 3)
  tied = {"in": table, "out": table, "half": table.T, "part": table[1:]}
  torch.save({"state_dict": tied}, folder / "model.pt")
  pickled.convert(folder, to)
  with weights.opened(to) as file:
    assert file.names == tied.keys()
    for name, tensor in tied.items():
      np.testing.assert_array_equal(file.read(name), tensor.float().numpy())


class Hostile:
  """Makes a file when it is unpickled."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return os.mkdir, (str(self.path),)


def test_nothing_of_a_hostile_file_runs(tmp_path, torch):
  folder, to, proof = (tmp_path / x for x in ("model", "to", "proof"))
  folder.mkdir()
  torch.save({"weight": Hostile(proof)}, folder / pickled.NAME)
  with pytest.raises(
    WeightsError, match=r"pytorch_model\.bin is cut, or holds more than weights"
  ) as caught:
    pickled.convert(folder, to)
  assert "\n" not in str(caught.value)
  assert not proof.exists() and not to.exists()
  # It does harm where it is let: the test would see it.
  torch.load(folder / pickled.NAME, weights_only=False)
  assert proof.exists()


@pytest.mark.parametrize("content", [b"", b"PK\3\4 cut", pickle.dumps([1])])
def test_a_file_of_something_else(tmp_path, torch, content):
  folder = tmp_path / "model"
  folder.mkdir()
  (folder / pickled.NAME).write_bytes(content)
  with pytest.raises(WeightsError, match=r"pytorch_model\.bin (is cut|holds)"):
    pickled.convert(folder, tmp_path / "to")


def test_more_than_tensors(tmp_path, torch):
  folder = tmp_path / "model"
  folder.mkdir()
  torch.save({"weight": torch.ones(2), "step": 3}, folder / pickled.NAME)
  with pytest.raises(WeightsError, match="holds more than weights"):
    pickled.convert(folder, tmp_path / "to")


def test_a_pointer_is_named(tmp_path, torch):
  folder = tmp_path / "model"
  folder.mkdir()
  pointer = b"version https://git-lfs.github.com/spec/v1\n"
  (folder / pickled.NAME).write_bytes(pointer)
  with pytest.raises(WeightsError, match="Git-LFS pointer"):
    pickled.convert(folder, tmp_path / "to")


def test_where_there_is_nothing_to_do(folder, tmp_path):
  to = tmp_path / "to"
  with pytest.raises(WeightsError, match="holds no pickled weights that"):
    pickled.convert(folder, to)
  to.mkdir()
  (to / "mine.txt").touch()
  with pytest.raises(WeightsError, match=r"to is .*, which is there"):
    pickled.convert(folder, to)
  assert (to / "mine.txt").exists()
  with pytest.raises(WeightsError, match="is no folder"):
    pickled.convert(folder / "nowhere", to)


def test_without_torch_one_line_says_what_to_install(tmp_path):
  folder = tmp_path / "model"
  folder.mkdir()
  (folder / pickled.NAME).write_bytes(b"x")
  script = tmp_path / "without.py"
  script.write_text(
    "import runpy, sys\n"
    "sys.modules['torch'] = None\n"
    "run = dict(run_name='__main__', alter_sys=True)\n"
    "runpy.run_module('prod_jax.cli.convert', **run)\n"
  )
  line = [sys.executable, script, folder, f"--to={tmp_path / 'to'}"]
  done = subprocess.run(
    line, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": "."}
  )
  assert done.returncode == 2, done.stderr
  assert "pip install 'prod_jax[torch]'" in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1
