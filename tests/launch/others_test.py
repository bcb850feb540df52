"""SkyPilot's file and xpk's commands: what they say, and that they are taken.

Each tool reads them with its own parser where it is installed, in this
environment or in one that the variable names: PROD_JAX_SKYPILOT_PYTHON,
PROD_JAX_XPK_PYTHON. Nothing is started.
"""

import importlib.util
import os
import shlex
import subprocess
import sys

import pytest
import yaml

from launch import skypilot, tpu, xpk
from tests.launch.conftest import AWKWARD, REPO

FLAGS = [
  "--config=configs/quickstart.py:runlocal",
  "--workdir=gs://bucket/my run",
  AWKWARD,
]
CLUSTER = 'cluster = "c"\nimage = "r.pkg.dev/p/i:1"\n'


def python_with(module: str, variable: str) -> str:
  """An interpreter that has the module."""
  if found := os.environ.get(variable):
    return found
  if importlib.util.find_spec(module) is None:
    pytest.skip(f"{module} is not installed; set {variable} to a Python")
  return sys.executable


def change(settings, old: str, new: str) -> None:
  settings.write_text(settings.read_text().replace(old, new, 1))


def argv_of(script: str) -> list[str]:
  """What a shell makes of a script whose program prints its arguments."""
  done = subprocess.run(
    ["bash", "-euo", "pipefail", "-c", script],
    env={
      "HOME": "/home/me",
      "PATH": os.environ["PATH"],
      "MEGASCALE_NUM_SLICES": "2",
    },
    capture_output=True,
    text=True,
    check=True,
  )
  return done.stdout.splitlines()


@pytest.fixture
def task(settings, capsys):
  """Writes SkyPilot's file; returns its path and what is in it."""

  def write():
    assert skypilot.main([str(settings)]) == 0
    path = settings.with_name("task.yaml")
    path.write_text(capsys.readouterr().out)
    return path, yaml.safe_load(path.read_text())

  return write


def test_skypilot_gets_the_slice_and_the_program(task):
  _, found = task()
  resources = found["resources"]
  assert found["name"] == "prod-tpu" and found["workdir"] == "."
  assert resources["infra"] == "gcp/us-west4"
  assert resources["accelerators"] == "tpu-v5litepod-8"
  assert resources["accelerator_args"] == {
    "runtime_version": "v2-alpha-tpuv5-lite"
  }
  assert resources["use_spot"] is True
  assert resources["job_recovery"] == {
    "strategy": "FAILOVER",
    "recover_on_exit_codes": [75],
    "max_restarts_on_errors": 2,
  }
  script, venv = shlex.split(found["setup"])
  assert os.access(REPO / script, os.X_OK)
  assert f"{venv}/bin/python" == skypilot.PYTHON
  told = found["run"].replace(
    skypilot.PYTHON, "printf '%s\\n' ${MEGASCALE_NUM_SLICES-unset}"
  )
  assert argv_of(told) == ["unset", "-m", "prod_jax.main", *FLAGS]


@pytest.mark.parametrize("accelerator", ["v5litepod-8", "v5p-64", "v6e-8"])
def test_skypilot_takes_the_file(task, settings, tmp_path, accelerator):
  python = python_with("sky", "PROD_JAX_SKYPILOT_PYTHON")
  change(settings, "v5litepod-8", accelerator)
  path, _ = task()
  read = (
    "import sys, sky; task = sky.Task.from_yaml(sys.argv[1]); "
    "(found,) = task.resources; print(*found.accelerators)"
  )
  done = subprocess.run(
    [python, "-c", read, path],
    cwd=REPO,
    env={**os.environ, "HOME": str(tmp_path)},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  assert done.stdout.splitlines()[-1] == f"tpu-{accelerator}"


def test_xpk_runs_the_program_in_our_container(settings, capsys):
  settings.write_text(settings.read_text() + CLUSTER)
  change(settings, "v5litepod-8", "tpu7x-8")
  assert xpk.main(["run", str(settings)]) == 0
  words = shlex.split(capsys.readouterr().out)
  assert words[:3] == ["xpk", "workload", "create"]
  assert {
    "--cluster=c",
    "--workload=prod-tpu",
    "--tpu-type=tpu7x-8",
    "--num-slices=1",
    "--docker-image=r.pkg.dev/p/i:1",
    "--restart-on-exit-codes=75,76",
    "--project=p",
    "--zone=us-west4-a",
  } <= {*words}
  (run,) = (w for w in words if w.startswith("--command="))
  _, python, *_ = xpk.PROGRAM
  run = run.removeprefix("--command=").replace(
    f"exec {python}", "printf '%s\\n'"
  )
  # Slices of a cluster are told by it who they are.
  assert "MEGASCALE" not in run
  assert argv_of(run) == ["-m", "prod_jax.main", *FLAGS]


def test_xpk_takes_a_config_that_the_container_has(settings, caplog):
  settings.write_text(settings.read_text() + CLUSTER)
  change(settings, "v5litepod-8", "tpu7x-8")
  change(settings, "configs/quickstart.py", "launch/cloud.py")
  assert xpk.main(["run", str(settings)]) == 2
  assert "the container has those of configs/ alone" in caplog.text


def test_xpk_runs_what_the_container_has():
  lines = (REPO / "launch" / "Dockerfile").read_text().splitlines()
  (entry,) = (line for line in lines if line.startswith("ENTRYPOINT"))
  assert [entry.count(f'"{word}"') for word in xpk.PROGRAM[1:]] == [1, 1, 1]


@pytest.mark.parametrize("spot", ["true", "false"])
def test_xpk_takes_each_command(settings, capsys, tmp_path, spot):
  python = python_with("xpk", "PROD_JAX_XPK_PYTHON")
  settings.write_text(settings.read_text() + CLUSTER)
  change(settings, "v5litepod-8", "tpu7x-8")
  change(settings, "spot = true", f"spot = {spot}")
  for name in xpk.COMMANDS:
    assert xpk.main([name, str(settings)]) == 0
  read = (
    "import argparse, shlex, sys; from xpk.parser.core import set_parser; "
    "parser = argparse.ArgumentParser(); set_parser(parser); "
    "[print(parser.parse_args(shlex.split(x)[1:]).xpk_subcommands) "
    "for x in sys.stdin]"
  )
  done = subprocess.run(
    [python, "-c", read],
    input=capsys.readouterr().out,
    env={**os.environ, "HOME": str(tmp_path)},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  assert done.stdout.split() == [
    *("cluster", "workload", "workload", "workload", "cluster")
  ]


@pytest.mark.parametrize(
  ("module", "words", "old", "new", "message"),
  [
    (skypilot, [], "v5litepod-8", "tpu7x-8", "see python -m launch.xpk"),
    (skypilot, [], "spot", "slices = 2\nspot", "SkyPilot starts one slice"),
    (skypilot, [], "v2-alpha-tpuv5-lite", "", "settings.runtime is ''"),
    (xpk, ["run"], 'c"\n', '"\n', "settings.cluster is ''"),
    (xpk, ["run"], "r.pkg.dev/p/i:1", "", "settings.image is ''"),
    (xpk, ["run"], "prod-tpu", "p" * 41, "xpk takes 40 characters"),
    (xpk, ["run"], "it's", "it\\ns", "xpk takes no newline"),
    (tpu, ["create"], "v5litepod-8", "tpu7x-8", "see python -m launch.xpk"),
    (tpu, ["create"], "v2-alpha-tpuv5-lite", "", "settings.runtime is ''"),
  ],
)
def test_what_a_tool_does_not_serve_is_refused(
  settings, caplog, module, words, old, new, message
):
  settings.write_text(CLUSTER + settings.read_text())
  change(settings, old, new)
  assert module.main([*words, str(settings)]) == 2
  assert message in caplog.text
