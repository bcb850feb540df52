"""Trackers: each value once, whatever happens to a run or to a tracker."""

import json
import struct
import sys
import types
from unittest import mock

import numpy as np
import pytest

from prod_jax import presence, strict, trackers
from prod_jax.processes import Processes
from prod_jax.stages import tracked
from prod_jax.stages.run import Job


@pytest.fixture
def said(monkeypatch):
  """What a TensorBoard that is none was told: series, name, value, step."""
  told = []

  class TensorBoard:
    def __init__(self, folder):
      assert folder.is_dir()

    def log(self, series, step, metrics):
      for name, value in metrics.items():
        if value == 666:
          raise OSError("disk full")
        told.append((series, name, value, step))

    def close(self):
      pass

  monkeypatch.setattr(trackers, "_TensorBoard", TensorBoard)
  monkeypatch.setattr(trackers, "check", lambda names: None)
  return told


def opened(folder, name="tensorboard", first=True):
  processes = Processes(folder)
  processes.index = 0 if first else 1
  return trackers.Trackers([name], processes, {"seed": 1})


def test_a_run_that_goes_on_tells_nothing_twice(tmp_path, said):
  one = opened(tmp_path)
  for step in (10, 20, 30):
    one.log("warm", "start a", step, {"loss": step / 10})
  # Killed: nothing is closed. It goes on from a checkpoint at step 15.
  two = opened(tmp_path)
  for step in (20, 30, 40):
    two.log("warm", "start a", step, {"loss": step / 10})
  two.log("next", "start b", 40, {"loss": 7})
  two.close()
  assert said == [
    *(("warm", "loss", step / 10, step) for step in (10, 20, 30, 40)),
    ("next", "loss", 7.0, 40),
  ]


def test_a_stage_that_begins_anew_is_another_series(tmp_path, said):
  tracker = opened(tmp_path)
  tracker.log("warm", "start a", 10, {"loss": 1})
  tracker.log("warm", "start b", 10, {"loss": 2})
  tracker.log("warm", "start b", 10, {"loss": 2})
  assert said == [("warm", "loss", 1.0, 10), ("warm.2", "loss", 2.0, 10)]


def test_names_and_numbers_are_what_a_tracker_takes(tmp_path, said):
  figures = {"test/mrr@10": np.float32(0.5), "grad_norm": float("nan")}
  opened(tmp_path).log("evaluate", "a", 0, figures, series="student")
  assert said == [("student", "test/mrr_at_10", 0.5, 0)]


def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on(
  tmp_path, said, caplog
):
  tracker = opened(tmp_path)
  tracker.log("warm", "a", 1, {"loss": 666})
  tracker.log("warm", "a", 2, {"loss": 1})
  assert said == [] and not tracker
  assert "nothing more in this run: OSError: disk full" in caplog.text
  # The next start of the run catches up.
  opened(tmp_path).log("warm", "a", 1, {"loss": 3})
  assert said == [("warm", "loss", 3.0, 1)]


def test_only_the_first_process_tells(tmp_path, said):
  other = opened(tmp_path, first=False)
  other.log("warm", "a", 1, {"loss": 1})
  other.close()
  assert not other and not said and not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
  ("name", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")]
)
def test_a_missing_package_is_named_with_its_command(
  monkeypatch, name, package
):
  monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
  message = rf"{name} needs {package}.*pip install 'prod_jax\[{name}\]'"
  with pytest.raises(strict.ConfigError, match=message):
    trackers.check([name])


def test_tensorboard_itself_reads_it(tmp_path):
  pytest.importorskip(
    "tensorboardX", reason="it comes with the extra: tensorboard"
  )
  from tensorboardX.proto import event_pb2

  one = opened(tmp_path)
  one.log("warm", "a", 10, {"loss": 0.5, "learning_rate": 1e-3})
  one = opened(tmp_path)  # killed
  one.log("warm", "a", 10, {"loss": 0.5})
  one.log("warm", "a", 20, {"loss": 0.25})
  one.close()
  found = []
  for path in sorted((tmp_path / "trackers/tensorboard/warm").iterdir()):
    data = path.read_bytes()
    while data:  # length, checksum, event, checksum
      (size,) = struct.unpack("<Q", data[:8])
      event = event_pb2.Event.FromString(data[12 : 12 + size])
      found += [
        (v.tag, round(v.simple_value, 6), event.step)
        for v in event.summary.value
      ]
      data = data[16 + size :]
  assert sorted(found) == [
    ("learning_rate", 1e-3, 10),
    ("loss", 0.25, 20),
    ("loss", 0.5, 10),
  ]


class Wandb(types.ModuleType):
  """Weights & Biases as far as it is asked for anything."""

  def __init__(self):
    super().__init__("wandb")
    self.__spec__ = types.SimpleNamespace()
    self.begun, self.rows, self.finished = [], [], 0

  def Settings(self, **settings):
    return settings

  def init(self, **settings):
    self.begun.append(settings)
    return self

  def define_metric(self, name, step_metric=None):
    pass

  def log(self, row):
    self.rows.append(row)

  def finish(self):
    self.finished += 1


def test_wandb_has_one_run_a_working_folder(tmp_path, monkeypatch):
  wandb = Wandb()
  monkeypatch.setitem(sys.modules, "wandb", wandb)
  for _ in range(2):
    tracker = opened(tmp_path / "work", "wandb")
    tracker.log("warm", "a", 10, {"loss": 0.5})
    tracker.close()
  first, second = wandb.begun
  assert first["id"] == second["id"]
  assert (first["name"], first["resume"]) == ("work", "allow")
  assert first["config"] == {"seed": 1}
  assert first["project"] == "prod_jax"
  assert wandb.rows == [{"warm/loss": 0.5, "global_step": 10}]
  assert wandb.finished == 2


def test_wandb_that_cannot_start_is_a_config_error(tmp_path, monkeypatch):
  wandb = Wandb()
  monkeypatch.setitem(sys.modules, "wandb", wandb)

  def init(**settings):
    raise RuntimeError("no API key")

  wandb.init = init
  with pytest.raises(strict.ConfigError, match=r"no API key.*WANDB_MODE"):
    opened(tmp_path, "wandb")


def test_wandb_itself_offline(tmp_path, monkeypatch, capfd):
  pytest.importorskip("wandb", reason="it comes with the extra: wandb")
  monkeypatch.setenv("WANDB_MODE", "offline")
  for step in (10, 20):
    tracker = opened(tmp_path, "wandb")
    tracker.log("warm", "a", 10, {"loss": 0.5})
    tracker.log("warm", "a", step, {"loss": 0.5})
    tracker.close()
    # Its links do not keep a run from going on.
    with presence.held(tmp_path, dict):
      pass
  folder = tmp_path / "trackers" / "wandb"
  assert len(list(folder.glob("wandb/offline-run-*/run-*.wandb"))) == 2
  assert json.loads((folder / "sent.json").read_text())["warm"]["step"] == 20
  assert "".join(capfd.readouterr()) == ""


def test_what_is_torn_or_cannot_be_kept_stops_nothing(
  tmp_path, said, monkeypatch, caplog
):
  sent = tmp_path / "trackers" / "tensorboard" / "sent.json"
  sent.parent.mkdir(parents=True)
  sent.write_text('{"warm": {"sta')
  tracker = opened(tmp_path)
  tracker.log("warm", "a", 1, {"loss": 1})
  assert said == [("warm", "loss", 1.0, 1)]

  def full(*of):
    raise OSError("disk full")

  monkeypatch.setattr(tracker._processes, "publish", full)
  tracker.publish()
  assert tracker and "cannot be copied: disk full" in caplog.text
  monkeypatch.setattr(trackers.storage, "write_text", full)
  tracker.log("warm", "a", 2, {"loss": 1})
  assert not tracker
  tracker.close()


def test_a_bucket_that_is_away_leaves_all_of_them_out(
  tmp_path, said, monkeypatch, caplog
):
  def away(self, path):
    raise RuntimeError("no route")

  monkeypatch.setattr(Processes, "fetch", away)
  assert not opened(tmp_path)
  assert "is told nothing in this run: no route" in caplog.text


def test_half_of_a_stages_mark_is_a_start_without_a_name(tmp_path, said):
  (tmp_path / "STARTED.json").write_text('{"id": "')
  job = mock.Mock(spec=Job, stage=None, folder=tmp_path, run=mock.Mock())
  job.name = "evaluate"  # a mock has a name of its own
  job.run.trackers = opened(tmp_path)
  job.run.config.stages = {}
  job.run.model_name = lambda name: "student"
  row = dict(split="test", metric="mrr", index="exact", value=1)
  tracked.done(job, [{**row, "model_stage": "warm"}])
  assert said == [("student", "test/mrr", 1.0, 0)]
