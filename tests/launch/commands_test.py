"""The exact commands, their quoting, and settings that are wrong."""

import os
import shlex

import pytest

from launch import cloud, tpu
from tests.launch.conftest import AWKWARD, REPO, nodes, queued

WHERE = ["--project=p", "--zone=us-west4-a", "--quiet"]
SSH = [
  *("compute", "tpus", "queued-resources", "ssh", "prod-tpu"),
  *("--node=all", "--worker=all", "--ssh-flag=-oServerAliveInterval=30"),
]


def remote(call: list[str]) -> str:
  """The command that ssh is to run."""
  (command,) = (a for a in call if a.startswith("--command="))
  return command.removeprefix("--command=")


def test_create_asks_for_a_slice_and_waits(launch, stub, pauses):
  stub.states("WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE", "ACTIVE")
  stub.answer(
    "tpu-vm list",
    nodes(hosts=1),
    nodes(hosts=1),
    nodes("CREATING", hosts=0),
    nodes("READY", hosts=1),
  )
  assert launch("create") == 0
  assert stub.calls()[0] == [
    *("compute", "tpus", "queued-resources", "create", "prod-tpu"),
    "--accelerator-type=v5litepod-8",
    "--runtime-version=v2-alpha-tpuv5-lite",
    "--node-id=prod-tpu",
    "--spot",
    *WHERE,
  ]
  assert stub.calls()[1] == [
    *("compute", "tpus", "queued-resources", "list", "--format=json"),
    *WHERE,
  ]
  assert pauses == [60, 120, 240]


def test_create_tells_why_it_was_refused(launch, stub, caplog):
  error = {"failedData": {"error": {"message": "no quota for v5e"}}}
  stub.answer("queued-resources list", {"out": queued("FAILED", **error)})
  assert launch("create") == 1
  assert "no quota for v5e" in caplog.text


def test_multislice_and_further_flags(launch, stub, settings):
  text = settings.read_text().replace("spot = true", "spot = false")
  settings.write_text(
    text + 'slices = 2\ncreate_flags = ["--service-account=a b"]\n'
    'ssh_flags = ["--tunnel-through-iap"]\n'
  )
  stub.states("ACTIVE")
  stub.answer("tpu-vm list", nodes("READY", "READY", hosts=4))
  assert launch("create") == 0
  assert stub.calls()[0][5:] == [
    *("--accelerator-type=v5litepod-8",),
    *("--runtime-version=v2-alpha-tpuv5-lite",),
    *("--node-count=2", "--node-prefix=prod-tpu"),
    *("--service-account=a b", *WHERE),
  ]
  launch("stop")
  assert "--tunnel-through-iap" in stub.calls()[-1]


def test_run_quotes_what_the_shell_would_take_apart(launch, stub):
  stub.states("ACTIVE")
  stub.answer("tpu-vm list", nodes("READY", hosts=2))
  stub.runs("start", ["running", "running"])
  assert launch("run") == 0
  call = stub.calls()[-1]
  assert call[:8] == SSH
  assert call[9:] == WHERE
  words = shlex.split(remote(call).replace(";", " ; "))
  start = words[words.index("start") : words.index("else") - 1]
  assert start == [
    "start",
    "--config=configs/quickstart.py:runlocal",
    "--workdir=gs://bucket/my run",
    AWKWARD,
  ]


def test_run_needs_every_vm(launch, stub, caplog):
  stub.states("ACTIVE")
  stub.answer("tpu-vm list", nodes("READY", hosts=2))
  stub.runs("start", ["running"])
  assert launch("run") == 1
  assert "1 of 2 VMs started" in caplog.text
  stub.runs("start", ["running", "none"])
  assert launch("run") == 1
  assert "did you sync?" in caplog.text


def test_run_needs_a_slice(launch, stub, caplog):
  stub.states("absent")
  assert launch("run") == 1
  assert "absent: no such queued resource" in caplog.text


def test_logs_of_one_vm_and_of_all(launch, stub):
  assert launch("logs") == 0
  assert launch("logs", "--worker=all", "--slice=1") == 0
  one, several = stub.calls()
  assert one[5:7] == ["--node=0", "--worker=0"]
  assert several[5:7] == ["--node=1", "--worker=all"]
  assert remote(one) == "tail -n 100 -F prod_jax/run.log"


def test_status_names_the_vm_that_differs(launch, stub, caplog):
  caplog.set_level("INFO")
  stub.states("ACTIVE")
  stub.answer("tpu-vm list", nodes("READY", hosts=3))
  stub.runs("status", ["running", "1", "running"])
  assert launch("status") == 0
  assert "ready: nodes READY, 3 VMs" in caplog.text
  assert "running on 2 VMs; 1 on w-1" in caplog.text


def test_delete_wants_a_yes(launch, stub, caplog):
  assert launch("delete") == 2
  assert "say --yes" in caplog.text
  assert stub.calls() == []
  assert launch("delete", "--yes") == 0
  words = ["compute", "tpus", "queued-resources", "delete", "prod-tpu"]
  assert stub.calls() == [[*words, "--force", *WHERE]]


@pytest.mark.parametrize(
  "answer, code", [("y", 0), ("", 2), ("n", 2), (None, 2)]
)
def test_delete_asks(launch, stub, monkeypatch, answer, code):
  def said(question):
    if answer is None:
      raise EOFError  # Ctrl-D
    return answer

  monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
  monkeypatch.setattr("builtins.input", said)
  assert launch("delete") == code
  assert len(stub.calls()) == (code == 0)


@pytest.mark.parametrize("command", tpu.COMMANDS)
def test_dry_run_prints_commands_and_runs_none(launch, stub, capsys, command):
  assert launch(command, "--dry_run") == 0
  printed = capsys.readouterr().out.splitlines()
  assert stub.calls() == []
  assert printed and all(p.startswith("gcloud compute tpus ") for p in printed)


def test_a_failing_gcloud_is_an_error_that_shows_the_command(
  launch, stub, caplog
):
  stub.answer("queued-resources ssh stop", {"code": 255, "err": "no route"})
  assert launch("stop") == 1
  assert "exit 255 of gcloud compute tpus queued-resources ssh" in caplog.text
  assert "no route" in caplog.text


def test_without_gcloud(launch, stub, caplog, monkeypatch):
  monkeypatch.setenv("PATH", "/nowhere")
  assert launch("create") == 1
  assert "gcloud is not on PATH" in caplog.text


@pytest.mark.parametrize(
  "old, new, message",
  [
    ('project = "p"', "", "settings.project is not set"),
    ('project = "p"', 'project = ""', "settings.project is ''; fill it in"),
    ("zone =", "zonne =", "did you mean settings.zone?"),
    ("spot = true", 'spot = "yes"', "settings.spot is 'yes' (str), not bool"),
    ("prod-tpu", "--all", "settings.name is '--all'"),
    ("gs://bucket/", "/", "it takes gs://BUCKET/RUN"),
    ("quickstart.py", "quikstart.py", "settings.config is"),
    ("configs/quickstart.py", os.__file__, "whose files a slice gets"),
    (
      "configs/quickstart.py",
      f"{REPO}/configs/quickstart.py",
      "it takes a path within",
    ),
    ("max_restarts = 2", "max_restarts = -1", "settings.max_restarts is -1"),
    ("max_restarts = 2", "slices = 0", "settings.slices is 0"),
    ('"p"', '"p', "at line 2"),
  ],
)
def test_wrong_settings_name_key_and_file(
  launch, stub, settings, caplog, old, new, message
):
  settings.write_text(settings.read_text().replace(old, new, 1))
  assert launch("create") == 2
  assert f"{settings}: " in caplog.text
  assert message in caplog.text
  assert stub.calls() == []


def test_no_settings_file(stub, caplog):
  assert tpu.main(["create", "mine.toml"]) == 2
  assert "mine.toml: No such file" in caplog.text


@pytest.mark.parametrize("name", ["v5e-8", "v5p-64", "v5e-16x2"])
def test_examples_lack_only_what_is_yours(name, tmp_path):
  text = (REPO / "launch" / f"{name}.toml").read_text()
  assert 'config = "configs/prod_msmarco_passage.py"' in text
  path = tmp_path / "mine.toml"
  path.write_text(
    text.replace('project = ""', 'project = "p"')
    .replace('workdir = ""', 'workdir = "gs://b/r"')
    .replace("prod_msmarco_passage", "quickstart")
  )
  assert cloud.load(str(path)).slices == (2 if "x2" in name else 1)
