"""gcloud as a stub on PATH, a settings file, and a clock that does not wait."""

import json
import os
import pathlib
import sys
import types

import pytest

from launch import restart, tpu

REPO = pathlib.Path(__file__).parents[2]
AWKWARD = "--config.data.path=/a b/$HOME/it's"


class Stub:
  """Tells the stub what to answer, and what it was asked."""

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    (folder / "calls.jsonl").write_text("")
    (folder / "answers.json").write_text("{}")

  def answer(self, verb: str, *answers: dict) -> None:
    told = json.loads((self.folder / "answers.json").read_text())
    (self.folder / "answers.json").write_text(
      json.dumps({**told, verb: answers})
    )

  def states(self, *states: str) -> None:
    """One answer a look: states of the queued resource, and "absent"."""
    self.answer(
      "queued-resources list",
      *({"out": "" if s == "absent" else queued(s)} for s in states),
    )

  def runs(self, verb: str, *rounds: list[str]) -> None:
    """One answer a round: what worker.sh tells on each VM."""
    self.answer(
      f"queued-resources ssh {verb}",
      *(
        {"out": "".join(f"prod_jax w-{i} {s}\n" for i, s in enumerate(states))}
        for states in rounds
      ),
    )

  def calls(self) -> list[list[str]]:
    text = (self.folder / "calls.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]

  def did(self) -> list[str]:
    """What was done, in order, without the looking."""
    names = []
    for call in self.calls():
      words = call[2:4]
      command = next((c for c in call if c.startswith("--command=")), "")
      for name in ("start", "stop", "status", "tail", "mkdir"):
        if f"worker.sh {name}" in command or command.startswith(
          f"--command={name}"
        ):
          words = [name]
      names.append(words[-1])
    return [name for name in names if name not in ("list", "status")]


def queued(state: str, name: str = "prod-tpu", **more) -> str:
  place = "projects/p/locations/us-west4-a/queuedResources"
  return json.dumps(
    [
      {"name": f"{place}/another", "state": {"state": "FAILED"}},
      {"name": f"{place}/{name}", "state": {"state": state, **more}},
    ]
  )


def nodes(*states: str, hosts: int, name: str = "prod-tpu") -> dict:
  place = "projects/p/locations/us-west4-a"
  request = f"projects/1/locations/us-west4-a/queuedResources/{name}"
  mine = [
    {
      "name": f"{place}/nodes/{name}-{i}",
      "queuedResource": request,
      "state": state,
      "networkEndpoints": [{}] * hosts,
    }
    for i, state in enumerate(states)
  ]
  other = {"name": f"{place}/nodes/{name}-9", "state": "PREEMPTED"}
  return {"out": json.dumps([other, *mine])}


@pytest.fixture
def stub(tmp_path, monkeypatch) -> Stub:
  folder = tmp_path / "stub"
  programs = folder / "bin"
  programs.mkdir(parents=True)
  script = pathlib.Path(__file__).with_name("stub_gcloud.py")
  for name, line in {
    "gcloud": f'exec "{sys.executable}" -IS "{script}" "$@"',
    "hostname": 'echo "$FAKE_HOST"',
  }.items():
    (programs / name).write_text(f"#!/bin/sh\n{line}\n")
    (programs / name).chmod(0o755)
  monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
  monkeypatch.setenv("STUB", str(folder))
  return Stub(folder)


@pytest.fixture
def settings(tmp_path) -> pathlib.Path:
  """A settings file in a folder with a space, for one slice of two VMs."""
  folder = tmp_path / "my settings"
  folder.mkdir()
  path = folder / "tpu.toml"
  path.write_text(
    f"""
project = "p"
zone = "us-west4-a"
name = "prod-tpu"
accelerator = "v5litepod-8"
runtime = "v2-alpha-tpuv5-lite"
spot = true
config = "configs/quickstart.py:runlocal"
workdir = "gs://bucket/my run"
flags = ["{AWKWARD}"]
max_restarts = 2
"""
  )
  return path


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
  """What would have been waited, in seconds."""
  waited: list[float] = []

  def sleep(seconds: float) -> None:
    waited.append(seconds)
    assert len(waited) < 20, "this never ends"

  monkeypatch.setattr(restart, "time", types.SimpleNamespace(sleep=sleep))
  return waited


@pytest.fixture
def launch(stub, settings, pauses):
  """Runs a command of launch.tpu; returns its exit code."""
  return lambda command, *flags: tpu.main([command, str(settings), *flags])
