"""Files of installed packages: found by metadata, checked by digest."""

import hashlib

import pytest

from prod_jax import packaged


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
