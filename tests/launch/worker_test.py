"""What happens on the VMs, for real: each has a home folder here.

The program, pip and the environment are stand-ins; packing, quoting, unpacking,
install.sh and worker.sh are not.
"""

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import pytest

from launch import cloud, restart
from prod_jax import strict
from tests.launch.conftest import AWKWARD, nodes

# Stands for python3 of the VM and, once it has made one, of the environment.
PYTHON = f"""#!/bin/bash
echo "$*" >>"$HOME/python.log"
case "$1 $2" in
  "-c import ensurepip"*) exit "$OLD_PYTHON" ;;
  "-m venv" | "-m uv") mkdir -p "${{@: -1}}/bin"
    cp "$0" "${{@: -1}}/bin/python" ;;
  "-m prod_jax.main") exec {shlex.quote(sys.executable)} -IS \\
    "$STUB/program.py" "${{@:3}}" ;;
  "-c "*) exec {shlex.quote(sys.executable)} "$@" ;;
esac
"""
# Leaves its arguments, then the exit code that is next in line on this VM.
PROGRAM = """
import json, os, pathlib, signal, sys
home = pathlib.Path(os.environ["HOME"])
with (home / "argv.jsonl").open("a") as file:
  file.write(json.dumps([os.getcwd(), *sys.argv[1:]]) + "\\n")
stale = [name for name in os.environ if name.startswith("MEGASCALE_")]
(home / "stale.json").write_text(json.dumps(stale))
code, *later = json.loads((home / "codes.json").read_text())
(home / "codes.json").write_text(json.dumps(later))
if isinstance(code, str):
  save = signal.SIG_IGN if "KILL" in code else lambda *_: sys.exit(75)
  signal.signal(signal.SIGTERM, save)
  (home / "up").write_text("")  # a pipe: waits for its reader
  while True:
    signal.pause()
sys.exit(code)
"""


class Vms:
  """Two VMs that the stub's ssh and scp reach."""

  def __init__(self, folder: pathlib.Path):
    self.waits = 0
    self.homes = [folder / name for name in ("w-0", "w-1")]
    for home in self.homes:
      home.mkdir()
      os.mkfifo(home / "up")

  def ends(self, *codes: int | str) -> None:
    """How the program is to end, start by start, on each VM."""
    for home in self.homes:
      (home / "codes.json").write_text(json.dumps(codes))

  def starts(self) -> list[list[str]]:
    """Folder and arguments of each start on the second VM."""
    text = (self.homes[1] / "argv.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]

  def wait_until_up(self) -> None:
    for home in self.homes:
      (home / "up").read_text()

  def wait_until_ended(self, *_) -> None:
    self.waits += 1
    assert self.waits < 20, "this never ends"
    for home in self.homes:
      if (home / "prod_jax").exists():
        lock = home / "prod_jax" / "lock"
        subprocess.run(["flock", lock, "true"], check=True)


@pytest.fixture
def vms(tmp_path, stub, monkeypatch) -> Vms:
  found = Vms(tmp_path)
  (stub.folder / "program.py").write_text(PROGRAM)
  python = stub.folder / "bin" / "python3"
  python.write_text(PYTHON)
  python.chmod(0o755)
  monkeypatch.setenv("OLD_PYTHON", "0")
  homes = {"homes": [str(home) for home in found.homes]}
  for verb in ("scp", "ssh", "ssh start", "ssh stop", "ssh status"):
    stub.answer(f"queued-resources {verb}", homes)
  stub.states("ACTIVE")
  stub.answer("tpu-vm list", nodes("READY", hosts=2))
  return found


def test_the_program_gets_its_flags_as_they_were_written(launch, vms):
  vms.ends(0)
  assert launch("sync") == 0
  assert launch("run") == 0
  vms.wait_until_ended()
  assert vms.starts() == [
    [
      str(vms.homes[1] / "prod_jax" / "code"),
      "--config=configs/quickstart.py:runlocal",
      "--workdir=gs://bucket/my run",
      AWKWARD,
    ]
  ]


def test_from_nothing_over_failures_to_done(launch, vms, monkeypatch):
  monkeypatch.setattr(restart.time, "sleep", vms.wait_until_ended)
  vms.ends(1, 75, 76, 137, 0)
  assert launch("restart") == 0
  assert len(vms.starts()) == 5
  log = (vms.homes[0] / "prod_jax" / "run.log").read_text()
  assert [line.split()[-1] for line in log.splitlines() if "exit" in line] == [
    *("1", "75", "76", "137", "0")
  ]


def test_a_run_does_not_believe_what_is_left_of_another_slice(
  launch, vms, monkeypatch
):
  monkeypatch.setenv("MEGASCALE_NUM_SLICES", "2")
  monkeypatch.setenv("MEGASCALE_COORDINATOR_ADDRESS", "one that is gone")
  vms.ends(0)
  launch("sync")
  assert launch("run") == 0
  vms.wait_until_ended()
  assert json.loads((vms.homes[1] / "stale.json").read_text()) == []


def test_a_run_goes_on_without_its_connection_until_it_is_stopped(
  launch, vms, caplog
):
  caplog.set_level("INFO")
  vms.ends("on TERM", 0)
  launch("sync")
  assert launch("run") == 0  # and the stub's ssh is gone
  vms.wait_until_up()
  assert launch("run") == 1
  assert "w-0: a run is going on here; stop it first" in caplog.text
  assert launch("sync") == 1
  launch("status")
  assert "running on 2 VMs" in caplog.text
  assert launch("stop") == 0
  log = (vms.homes[0] / "prod_jax" / "run.log").read_text()
  assert log.splitlines()[-1].endswith("exit 75")  # it saved a checkpoint
  assert "stopped on 2 VMs" in caplog.text
  assert launch("run") == 0
  vms.wait_until_ended()


def test_a_run_that_is_deaf_is_killed(vms, launch):
  vms.ends("on KILL")
  launch("sync")
  launch("run")
  vms.wait_until_up()
  for home in vms.homes:
    stop = ["bash", "prod_jax/code/launch/worker.sh", "stop", "0"]
    done = subprocess.run(
      stop, cwd=home, check=True, capture_output=True, text=True
    )
    assert done.stdout.endswith(" stopped\n")


def test_a_vm_that_went_down_has_lost_its_run(vms, launch, caplog):
  caplog.set_level("INFO")
  vms.ends("on TERM")
  launch("status")
  assert "none on 2 VMs" in caplog.text
  launch("sync")
  launch("run")
  vms.wait_until_up()
  for home in vms.homes:
    group = int((home / "prod_jax" / "pid").read_text())
    os.killpg(group, signal.SIGKILL)
  vms.wait_until_ended()
  launch("status")
  assert "lost on 2 VMs" in caplog.text


def test_sync_brings_the_files_of_git_and_takes_away_the_rest(vms, launch):
  code = vms.homes[0] / "prod_jax" / "code"
  code.mkdir(parents=True)
  (code / "of_yesterday.py").write_text("")
  assert launch("sync") == 0
  assert (code / "requirements.lock").exists()
  assert (code / "launch" / "install.sh").exists()
  assert not (code / ".git").exists()
  assert not (code / "of_yesterday.py").exists()


def test_a_folder_that_git_does_not_read_is_a_line(tmp_path, monkeypatch):
  monkeypatch.setattr(cloud, "REPO", tmp_path)
  with pytest.raises(cloud.CloudError, match=r"not list the files of .* git"):
    cloud._pack(tmp_path / "x.tar.gz", "configs/quickstart.py")


def test_a_config_that_git_ignores_is_not_left_behind(tmp_path):
  with pytest.raises(strict.ConfigError, match="which git ignores and a slice"):
    cloud._pack(tmp_path / "x.tar.gz", "runs/mine.py")
  cloud._pack(tmp_path / "x.tar.gz", "./configs/quickstart.py")


def test_install_follows_lock_and_setup_and_is_done_once(vms, launch):
  launch("sync")
  launch("sync")
  log = (vms.homes[0] / "python.log").read_text()
  venv = vms.homes[0] / "prod_jax" / "venv"
  install = "-m pip install --quiet"
  log = re.sub(r"/dev/fd/\d+", "pinned", log)
  assert [line for line in log.splitlines() if line.startswith("-m")] == [
    f"-m venv --clear {venv}",
    f"{install} --no-deps --require-hashes -r requirements.lock",
    f"{install} --no-build-isolation -e .[tpu,gcs] -c pinned",
  ]


def test_install_brings_a_python_where_there_is_an_old_one(
  vms, launch, monkeypatch
):
  monkeypatch.setenv("OLD_PYTHON", "1")
  assert launch("sync") == 0
  log = (vms.homes[0] / "python.log").read_text()
  assert "-m pip install --quiet --user uv==" in log
  assert "-m uv venv --quiet --seed --clear --python 3.12 " in log
