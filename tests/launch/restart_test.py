"""When a run is started again, when not, and when it is given up."""

import pytest

from launch import cloud, restart
from tests.launch.conftest import nodes, queued

RUNNING = ["running", "running"]


@pytest.fixture
def ready(stub, monkeypatch):
  """A slice of two VMs that is there, and programs that do start."""
  monkeypatch.setattr(cloud, "_pack", lambda archive, _: archive.write_text(""))
  stub.states("ACTIVE")
  stub.answer("tpu-vm list", nodes("READY", hosts=2))
  stub.runs("start", RUNNING)
  return stub


@pytest.mark.parametrize(
  "runs, told",
  [
    ("0 0", "done"),
    ("0 running", "running"),
    ("running running", "running"),
    ("75 75", "again"),
    ("75 running", "again"),
    ("76 76", "again"),
    ("134 76", "again"),  # the first process was lost
    ("lost 76", "again"),
    ("lost 134", "again"),  # JAX aborts when the first process is gone
    ("75 134", "again"),
    ("134", "again"),  # the first VM may be the one that does not answer
    ("134 134", "failed"),  # it does, and its program has aborted by itself
    ("stopped stopped", "again"),
    ("none none", "again"),
    ("1 76", "failed"),  # one broke and took the other with it
    ("137 running", "failed"),
    ("2 2", "config"),
    ("2 76", "config"),
    ("1 2", "config"),
    ("0", "unreachable"),
    ("running", "unreachable"),
    ("", "unreachable"),
    ("75", "again"),
    ("1", "failed"),
  ],
)
def test_verdict(runs, told):
  by_host = {f"w-{i}": state for i, state in enumerate(runs.split())}
  assert restart.verdict(by_host, 2) == told


def test_from_nothing_to_done(launch, ready):
  ready.states("absent", "WAITING_FOR_RESOURCES", "ACTIVE")
  ready.runs("status", ["none", "none"], RUNNING, ["0", "running"], ["0", "0"])
  assert launch("restart") == 0
  # mkdir is the unpacking.
  assert ready.did() == ["create", "stop", "scp", "mkdir", "start"]


def test_a_preempted_slice_is_made_again(launch, ready, settings):
  text = settings.read_text().replace("max_restarts = 2", "max_restarts = 0")
  settings.write_text(text)
  ready.states("ACTIVE", "SUSPENDING", "SUSPENDED", "absent", "ACTIVE")
  ready.runs("status", RUNNING, ["none", "none"], ["0", "0"])
  assert launch("restart") == 0
  again = ["delete", "create", "stop", "scp", "mkdir", "start"]
  assert ready.did() == again


def test_a_preempted_node_of_a_multislice_is_enough(launch, ready, settings):
  settings.write_text(settings.read_text() + "slices = 2\n")
  ready.states("ACTIVE", "absent", "ACTIVE")
  ready.answer(
    "tpu-vm list",
    nodes("READY", "PREEMPTED", hosts=1),
    nodes(hosts=0),
    nodes("READY", "READY", hosts=1),
  )
  ready.runs("status", ["0", "0"])
  assert launch("restart") == 0
  assert ready.did() == ["delete", "create"]


@pytest.mark.parametrize("codes", [["75", "75"], ["76", "lost"]])
def test_an_interrupted_run_starts_again_however_often(launch, ready, codes):
  ready.runs("status", *[codes] * 3, ["0", "0"])  # max_restarts is 2
  assert launch("restart") == 0
  assert ready.did() == ["stop", "start"] * 3


def test_a_config_error_is_not_tried_again(launch, ready, caplog):
  ready.runs("status", ["2", "76"])
  assert launch("restart") == 2
  assert ready.did() == []
  assert "config or data error" in caplog.text


def test_a_failing_run_is_given_up(launch, ready, caplog):
  ready.runs("status", ["1", "76"])
  assert launch("restart") == 1
  assert ready.did() == ["stop", "start"] * 2  # max_restarts
  assert "failed 3 times" in caplog.text


def test_a_failure_is_counted_once_it_is_answered(launch, ready):
  ready.runs("status", ["1", "76"])
  no_route = {"code": 255, "err": "no route"}
  ready.answer("queued-resources ssh stop", no_route, no_route, no_route, {})
  assert launch("restart") == 1
  assert ready.did() == ["stop"] * 4 + ["start"] + ["stop", "start"]


def test_later_starts_run_the_code_of_the_first(launch, ready, monkeypatch):
  packed_after = []

  def pack(archive, config):
    assert config == "configs/quickstart.py"
    archive.write_text("")
    packed_after.append(len(ready.calls()))

  monkeypatch.setattr(cloud, "_pack", pack)
  ready.runs("status", RUNNING, ["none", "none"], ["none", "none"], ["0", "0"])
  assert launch("restart") == 0
  assert ready.did().count("scp") == 2
  assert packed_after == [0]


def test_a_refused_request_is_given_up(launch, ready):
  error = {"failedData": {"error": {"message": "no such zone"}}}
  bad, gone = {"out": queued("FAILED", **error)}, {"out": ""}
  ready.answer("queued-resources list", bad, gone, bad, gone, bad)
  assert launch("restart") == 1
  assert ready.did() == ["delete", "create"] * 2


def test_silence_is_borne_for_a_while(
  launch, ready, pauses, caplog, monkeypatch
):
  monkeypatch.setattr(restart, "MAX_TROUBLES", 4)
  ready.answer("queued-resources ssh status", {"code": 255, "err": "no route"})
  assert launch("restart") == 1
  assert ready.did() == []
  assert pauses == [120, 240, 480]
  assert "4 of 4" in caplog.text


def test_a_vm_that_does_not_answer_is_not_a_failure(launch, ready):
  ready.runs("status", ["running"], ["running"], RUNNING, ["0"], ["0", "0"])
  assert launch("restart") == 0
  assert ready.did() == []


def test_a_start_that_reached_half_of_the_vms_is_made_again(launch, ready):
  ready.runs("status", ["none", "none"], ["running", "none"], ["0", "0"])
  ready.runs("start", ["running"], RUNNING)
  assert launch("restart") == 0
  assert ready.did() == ["stop", "scp", "mkdir", "start"] * 2


@pytest.mark.parametrize("code", ["0", "2"])
def test_delete_when_done(launch, ready, code, caplog):
  caplog.set_level("INFO")
  ready.runs("status", [code, code])
  assert launch("restart") == int(code)
  assert "still there and costs" in caplog.text
  assert launch("restart", "--delete_when_done") == int(code)
  assert ready.did() == ["delete"]
