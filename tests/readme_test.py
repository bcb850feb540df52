"""Every command of the README runs, on small data where it takes data."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from prod_jax import packaged
from tests.main_test import write_folder

REPO = pathlib.Path(__file__).parents[1]


def commands() -> list[str]:
  """The lines of the README's fenced blocks that are commands."""
  text = (REPO / "README.md").read_text().replace("\\\n", " ")
  blocks = re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)
  lines = [line.strip() for block in blocks for line in block.splitlines()]
  return [line for line in lines if re.match(r"(make|python) ", line)]


def test_the_readme_has_its_commands():
  assert {"make quickstart", "make test"} <= set(commands())
  assert sum(line.startswith("python -m prod_jax") for line in commands()) == 4


@pytest.mark.parametrize(
  "line", [line for line in commands() if line.startswith("make ")]
)
def test_make_targets_do_what_the_readme_says(line):
  done = subprocess.run(
    [*shlex.split(line), "--dry-run"],
    cwd=REPO,
    capture_output=True,
    text=True,
    check=True,
  )
  runs = {
    "make quickstart": "prod_jax.main --config=configs/quickstart.py",
    "make test": "-m pytest",
    "make lint": "ruff check",
  }
  assert runs[line] in re.sub(r"\\\s+", "", done.stdout)


@pytest.mark.parametrize(
  "line", [line for line in commands() if line.startswith("python ")]
)
def test_python_commands_run(line, tmp_path):
  try:
    packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))
  line = line.replace("runs/", f"{tmp_path}/runs/").split(">")[0]
  if "/path/to/folder" in line:
    line = line.replace("/path/to/folder", str(write_folder(tmp_path / "set")))
    line = line.replace("medquad.py:", "medquad.py:runlocal,")
    line += " --stages=student_warm"
  if "cli.report" in line:
    made = [
      sys.executable,
      "-m",
      "prod_jax.main",
      "--config=configs/quickstart.py:runlocal",
      f"--workdir={tmp_path}/runs/quickstart",
      "--stages=student_warm",
    ]
    run(made)
  done = run([sys.executable, *shlex.split(line)[1:]])
  assert "student_warm" in done.stdout


def run(command: list[str]) -> subprocess.CompletedProcess:
  done = subprocess.run(
    command,
    cwd=REPO,
    capture_output=True,
    text=True,
    env={
      **os.environ,
      "JAX_PLATFORMS": "cpu",
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "True",
      "JAX_COMPILATION_CACHE_DIR": str(REPO / ".pytest_cache" / "compiled"),
    },
  )
  assert done.returncode == 0, done.stderr[-3000:]
  return done
