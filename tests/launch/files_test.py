"""Scripts, container, README: what can be said without running them."""

import ast
import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from launch import cloud, tpu, xpk
from tests.launch.conftest import REPO

LAUNCH = REPO / "launch"
SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *(REPO / ".ci").iterdir()])
DOCKERFILE = (LAUNCH / "Dockerfile").read_text().replace("\\\n", " ")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_sound(path):
  assert os.access(path, os.X_OK)
  subprocess.run(["bash", "-n", path], check=True)
  if not shutil.which("shellcheck"):
    pytest.skip("no shellcheck here: apt-get install shellcheck")
  done = subprocess.run(["shellcheck", path], capture_output=True, text=True)
  assert done.returncode == 0, done.stdout


def test_launch_needs_nothing_installed():
  """The standard library, and strict.py with ranges.py, which keep to it."""
  known = sys.stdlib_module_names
  own = [REPO / "prod_jax" / name for name in ("strict.py", "ranges.py")]
  for path in [*LAUNCH.glob("*.py"), *own]:
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{alias.name}" for alias in node.names]
      elif isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
      else:
        continue
      for name in names:
        ours = name.startswith(
          ("launch.", "prod_jax.strict", "prod_jax.ranges")
        )
        assert ours or name.split(".")[0] in known, f"{path.name}: {name}"


def test_gcloud_knows_every_command_and_flag(settings, tmp_path, capsys):
  """Its own parser reads what --dry_run prints; nothing is run."""
  gcloud = shutil.which("gcloud")
  if not gcloud:
    pytest.skip("no gcloud here")
  for command in tpu.COMMANDS:
    tpu.main([command, str(settings), "--dry_run"])
  settings.write_text(settings.read_text() + "slices = 2\n")
  tpu.main(["create", str(settings), "--dry_run"])
  lines = sorted(set(capsys.readouterr().out.splitlines()))
  commands = tmp_path / "commands.json"
  commands.write_text(json.dumps([{"command_string": x} for x in lines]))
  done = subprocess.run(
    [gcloud, "meta", "lint-gcloud-commands", f"--commands-file={commands}"],
    env={**os.environ, "CLOUDSDK_CONFIG": str(tmp_path)},
    capture_output=True,
    text=True,
  )
  if done.returncode:
    pytest.skip(f"this gcloud does not check commands: {done.stderr[-200:]}")
  told = json.loads(done.stdout)
  assert len(told) == len(lines)
  assert [t["error_message"] for t in told if not t["success"]] == []


def test_the_container_has_what_it_copies_and_no_versions_of_its_own():
  lines = DOCKERFILE.splitlines()
  words = [shlex.split(x, comments=True) for x in lines if x.strip()]
  words = [w for w in words if w]
  copied = [source for w in words if w[0] == "COPY" for source in w[1:-1]]
  for source in copied:
    assert (REPO / source).exists(), source
  assert {"requirements.lock", "setup.py", "prod_jax", "configs"} <= {*copied}
  assert ["RUN", "launch/install.sh", "/opt/venv"] in words
  assert "==" not in DOCKERFILE
  python = re.search(r"FROM python:3\.(\d+)-slim", DOCKERFILE)[1]
  assert f"--python 3.{python} " in (LAUNCH / "install.sh").read_text()
  assert words[-2] == ["USER", "prod_jax"]
  assert json.loads(lines[-1].removeprefix("ENTRYPOINT ")) == [
    "/opt/venv/bin/python",
    "-m",
    "prod_jax.main",
  ]


def readme_commands() -> list[list[str]]:
  text = (LAUNCH / "README.md").read_text()
  lines = re.findall(r"^    (\S.*)$", text, flags=re.MULTILINE)
  return [shlex.split(line, comments=True) for line in lines]


def test_readme_commands_are_commands(launch, stub, settings):
  """Each is taken by what it is for; gcloud is asked nothing."""
  seen = set()
  for words in readme_commands():
    match words:
      case ["python", "-m", "launch.tpu", command, "launch/mine.toml", *flags]:
        seen.add(command)
        assert launch(command, *flags, "--dry_run") == 0
      case ["cp", source, _]:
        assert (REPO / source).exists()
      case ["python", "-m", "launch.xpk", command, "launch/mine.toml", *rest]:
        assert command in xpk.COMMANDS and rest in ([], ["|", "bash"])
      case ["python", "-m", "launch.skypilot", _, ">", "build/task.yaml"]:
        pass
      case ["sky", "jobs", "launch", "build/task.yaml"]:
        pass
      case ["docker", "build", *_, "--file", path, "."]:
        assert (REPO / path).exists()
      case ["docker", "run", *_]:
        assert "prod_jax" in words
      case _:
        pytest.fail(f"no check for {words}")
  assert seen == {*tpu.COMMANDS}
  assert stub.calls() == []


def test_readme_tells_every_key_and_example():
  text = (LAUNCH / "README.md").read_text()
  rows = text.split("| key | value |\n")[1].split("\n\n")[0].splitlines()
  told = {
    key for row in rows for key in re.findall(r"`(\w+)`", row.split("|")[1])
  }
  assert told == {field.name for field in dataclasses.fields(cloud.Settings)}
  for path in {*LAUNCH.glob("*.toml")} - {LAUNCH / "mine.toml"}:
    assert f"`{path.name}`" in text
