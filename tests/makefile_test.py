"""Which Python make takes, and what requirements.lock gives each of them."""

import collections
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

REPO = pathlib.Path(__file__).parents[1]
NAMES = ("python3.13", "python3.12", "python3.11", "python3")
# Stands for a Python of another version.
STUB = """#!/bin/sh
test "$1" = --version && echo "Python {version}.0" && exit
exec {python} -IS -c "import sys; sys.version_info = ({numbers}, 0); $2"
"""
SHIM = "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n"


@pytest.fixture
def make(tmp_path):
  """make of our Makefile, on a PATH with nothing but these Pythons."""
  path = tmp_path / "bin"
  path.mkdir()
  for tool in ("sh", "tr", "touch"):
    (path / tool).symlink_to(shutil.which(tool))

  def run(
    pythons: dict[str, str], *words: str, **environment: str
  ) -> subprocess.CompletedProcess:
    for name, version in pythons.items():
      numbers = version.replace(".", ", ")
      text = STUB.format(
        version=version, numbers=numbers, python=sys.executable
      )
      (path / name).write_text(text if version else SHIM)
      (path / name).chmod(0o755)
    return subprocess.run(
      [shutil.which("make"), "lint", f"VENV={tmp_path}/venv", *words],
      cwd=REPO,
      env={"PATH": str(path), **environment},
      capture_output=True,
      text=True,
    )

  return run


def taken(done: subprocess.CompletedProcess) -> str:
  """The Python that was to make the environment."""
  return re.search(r"^(\S+) -m venv ", done.stdout, flags=re.MULTILINE)[1]


@pytest.mark.parametrize(
  ("pythons", "expected"),
  [
    ({name: name[6:] for name in NAMES[:3]}, "python3.13"),
    ({"python3.13": "", "python3.12": "3.12"}, "python3.12"),
    ({"python3.13": "", "python3.12": "", "python3": "3.11"}, "python3"),
    ({"python3.11": "3.11", "python3": "3.14"}, "python3.11"),
    ({"python3.12": "3.10", "python3.11": "3.11"}, "python3.11"),
  ],
)
def test_the_newest_python_that_runs_is_taken(make, pythons, expected):
  assert taken(make(pythons, "--dry-run")) == expected


def test_the_users_python_is_taken(make):
  pythons = {"python3.13": "3.13", "mine": "3.11"}
  assert taken(make(pythons, "--dry-run", "PYTHON=mine")) == "mine"
  assert taken(make(pythons, "--dry-run", PYTHON="mine")) == "mine"


@pytest.mark.parametrize(
  ("pythons", "words", "blamed"),
  [
    ({}, [], "python3"),
    ({"python3.13": "", "python3": ""}, [], "python3"),
    ({"python3": "3.10"}, [], "python3"),
    ({"python3": "3.14"}, [], "python3"),
    ({"python3": "3.12", "old": "3.10"}, ["PYTHON=old"], "old"),
  ],
)
def test_no_python_is_an_error_with_a_remedy(make, pythons, words, blamed):
  done = make(pythons, *words)
  assert done.returncode
  assert done.stderr.splitlines()[0] == (
    f"prod_jax needs Python 3.11, 3.12 or 3.13 with venv, which {blamed} is "
    "not; try make PYTHON=/path/to/python3.13"
  )


def test_another_python_makes_the_environment_anew(make, tmp_path):
  venv = tmp_path / "venv"
  venv.mkdir()
  (venv / "ready-Python3.12.0").touch()
  pythons = {"python3.13": "3.13", "python3.12": "3.12"}
  assert " -m venv " not in make(pythons, "-n", "PYTHON=python3.12").stdout
  assert taken(make(pythons, "-n")) == "python3.13"


def locked_lines():
  """A line a package, without the digests behind it."""
  lines = (REPO / "requirements.lock").read_text().splitlines()
  return [line for line in lines if "==" in line]


def test_each_package_is_locked_by_the_digests_of_its_files():
  text = (REPO / "requirements.lock").read_text()
  for line in locked_lines():
    behind = text[text.index(line) + len(line) :]
    assert behind.startswith("\n    --hash=sha256:"), line
  assert not re.search(r"--hash=(?!sha256:[0-9a-f]{64}\b)", text)
  installs = re.findall(
    r"install .*-r requirements.lock",
    (REPO / "Makefile").read_text().replace("\\\n", ""),
  )
  assert installs
  assert all("--require-hashes" in install for install in installs)


def test_clean_takes_away_what_make_makes_again():
  """And no run, which somebody may have waited hours for."""
  words = [shutil.which("make"), "--dry-run", "--no-print-directory", "clean"]
  done = subprocess.run(words, cwd=REPO, capture_output=True, text=True)
  (line,) = done.stdout.splitlines()
  assert line == "rm -rf .venv .venv-* build *.egg-info"


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_each_python_gets_one_version_of_each_package(version):
  locked = [Requirement(line.rstrip(" \\")) for line in locked_lines()]
  here = {
    "python_version": version,
    "python_full_version": f"{version}.0",
    "sys_platform": "linux",
  }
  names = collections.Counter(
    r.name.lower() for r in locked if not r.marker or r.marker.evaluate(here)
  )
  assert {r.name.lower() for r in locked} == set(names)
  assert set(names.values()) == {1}
