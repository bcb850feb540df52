"""What a figure depends on besides config and data, as it is written down."""

import re
import subprocess
from unittest import mock

import jax
import numpy as np
import pytest

from prod_jax import origin


def git(folder, *arguments):
  who = ("-c", "user.name=a", "-c", "user.email=a@b")
  subprocess.run(["git", *who, *arguments], cwd=folder, check=True)


@pytest.fixture
def package(tmp_path):
  """A package with one commit."""
  folder = tmp_path / "clone" / "package"
  folder.mkdir(parents=True)
  (folder / "code.py").write_text("x = 1\n")
  git(folder.parent, "init", "-q")
  git(folder.parent, "add", ".")
  git(folder.parent, "commit", "-qm", "first")
  return folder


def test_a_commit_says_whether_the_code_is_another_one(package):
  name = origin.commit(package)
  assert re.fullmatch("[0-9a-f]{40}", name)
  (package.parent / "notes.txt").write_text("no code of the package\n")
  assert origin.commit(package) == name
  (package / "code.py").write_text("x = 2\n")
  assert origin.commit(package) == f"{name}+changes"
  git(package, "commit", "-qam", "second")
  assert "+" not in origin.commit(package) and origin.commit(package) != name
  (package / "more.py").touch()
  assert origin.commit(package).endswith("+changes")


def test_an_installed_package_has_no_commit(package, monkeypatch):
  assert origin.commit(package / "inner") is None
  monkeypatch.setattr(origin.shutil, "which", lambda name: None)
  assert origin.commit(package) is None


def test_versions_are_those_at_work():
  found = origin.versions()
  assert found["jax"] == jax.__version__
  assert found["numpy"] == np.__version__
  assert next(iter(found)) == "python"


def test_a_package_that_is_not_there_has_no_version(monkeypatch):
  monkeypatch.setattr(origin, "PACKAGES", ("numpy", "no_such_package"))
  assert origin.versions().keys() == {"python", "numpy"}


def test_a_cpu_has_its_name_and_cores(tmp_path, monkeypatch):
  info = tmp_path / "cpuinfo"
  monkeypatch.setattr(origin, "CPU_INFO", info)
  monkeypatch.setattr(origin.os, "sched_getaffinity", lambda _: {0, 1, 5})
  monkeypatch.setattr(origin.platform, "machine", lambda: "arm64")
  assert origin.processor(jax.devices()) == "arm64, 3 cores"
  info.write_text(
    "processor: 0\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon\n\n"
  )
  assert origin.processor(jax.devices()) == "Xeon, family 6, model 143, 3 cores"
  monkeypatch.delattr(origin.os, "sched_getaffinity")
  monkeypatch.setattr(origin.os, "cpu_count", lambda: 1)
  assert origin.processor(jax.devices()).endswith("model 143, 1 core")


def test_an_accelerator_has_its_kind():
  chip = mock.Mock(jax.Device, platform="tpu", device_kind="TPU v5 lite")
  assert origin.processor([chip]) == "TPU v5 lite"


def test_what_is_here_is_said_in_four_entries():
  found = origin.here(jax.devices())
  assert list(found) == ["commit", "versions", "processor", "devices"]
  assert found["devices"] == 8
