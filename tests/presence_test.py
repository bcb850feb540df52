"""One run at a time in a folder: who it is, and how far."""

import errno
import json
import signal
import subprocess
import sys

import pytest

from prod_jax import locks, presence, storage, strict
from tests import buckets
from tests.commands import REPO

HOLD = """
import sys, pathlib
from prod_jax import presence
with presence.held(pathlib.Path(sys.argv[1]), lambda: {"work": "a", "done": 3}):
  print("held", flush=True)
  sys.stdin.read()
"""


def nothing():
  return {}


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch):
  monkeypatch.setattr(presence.time, "sleep", lambda seconds: None)


@pytest.fixture
def other(tmp_path):
  """Another process at work in a folder."""
  process = subprocess.Popen(
    [sys.executable, "-c", HOLD, tmp_path / "run"],
    cwd=REPO,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == "held\n"
  yield process
  process.kill()
  process.communicate()


def test_a_second_run_is_refused_and_told_whose_it_is(other, tmp_path):
  folder = tmp_path / "run"
  with (
    pytest.raises(strict.ConfigError) as refused,
    presence.held(folder, nothing),
  ):
    raise AssertionError
  said = str(refused.value)
  who = presence.look(folder).who
  assert f"at work in {folder}, process {other.pid} on {who['host']}" in said
  assert f"since {who['since']}: {sys.executable} -c" in said
  # The one that is there has lost nothing by it.
  assert presence.look(folder).alive
  other.communicate()
  found = presence.look(folder)
  assert not found.alive and found.who["outcome"] == "done"
  assert found.who["pid"] == other.pid
  assert found.progress["work"] == "a" and found.progress["done"] == 3


def test_a_foreign_file_of_this_name_is_no_fault(other, tmp_path):
  folder = tmp_path / "run"
  (folder / presence.RUNNING).write_text('{"a": 1}')
  (folder / presence.PROGRESS).write_text('{"at": "noon"}')
  with (
    pytest.raises(
      strict.ConfigError, match="process unknown on unknown, since"
    ),
    presence.held(folder, nothing),
  ):
    raise AssertionError
  elsewhere = tmp_path / "elsewhere"  # the other one writes in its own
  elsewhere.mkdir()
  (elsewhere / presence.PROGRESS).write_text('{"at": "noon"}')
  assert presence.silent_for(presence.look(elsewhere).progress) == float("inf")
  assert presence.silent_for({"at": 3}) == float("inf")


def test_who_looks_finds_what_was_or_what_is(tmp_path, monkeypatch):
  """Never half of it: that would read as no run at all."""
  before = {"host": "h" * 1000, "ended": "noon", "outcome": "done"}
  (tmp_path / presence.RUNNING).write_text(json.dumps(before))
  seen, cut = [], presence.os.ftruncate

  def look(number, size):
    seen.append(presence.look(tmp_path).who)
    cut(number, size)

  monkeypatch.setattr(presence.os, "ftruncate", look)
  with presence.held(tmp_path, nothing):
    assert "ended" not in seen[0] and seen[0]["pid"] == presence.os.getpid()
  assert seen[1]["outcome"] == "done" and len(seen) == 2


def test_a_kill_lets_go_at_once(other, tmp_path):
  folder = tmp_path / "run"
  assert presence.look(folder).alive
  other.send_signal(signal.SIGKILL)
  other.wait()
  found = presence.look(folder)
  assert not found.alive and "ended" not in found.who
  with presence.held(folder, nothing):
    assert presence.look(folder).alive


def test_an_end_is_told_with_its_reason(tmp_path):
  with pytest.raises(RuntimeError), presence.held(tmp_path, nothing):
    raise RuntimeError("stopped a at\nstep 3")
  found = presence.look(tmp_path)
  assert not found.alive
  assert found.who["outcome"] == "stopped a at step 3"
  with pytest.raises(KeyboardInterrupt), presence.held(tmp_path, nothing):
    raise KeyboardInterrupt
  assert presence.look(tmp_path).who["outcome"] == "KeyboardInterrupt"


def test_how_far_it_is_is_written_again_and_again(tmp_path, monkeypatch):
  monkeypatch.setattr(presence, "_DISK_SECONDS", 0.001)
  at, seen = iter(range(10**9)), set()
  with presence.held(tmp_path, lambda: {"done": next(at)}):
    while len(seen) < 3:
      seen.add(presence.look(tmp_path).progress.get("beat"))
  last = presence.look(tmp_path).progress
  assert last["beat"] == last["done"] + 1 >= 3
  assert 0 <= presence.silent_for(last) < 60
  assert presence.silent_for({}) == float("inf")


def test_a_full_disk_stops_no_work_and_is_told_once(
  tmp_path, monkeypatch, caplog
):
  monkeypatch.setattr(presence, "_DISK_SECONDS", 0.001)
  tried = []

  def full(path, text):
    tried.append(text)
    raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(presence.storage, "write_text", full)
  with presence.held(tmp_path, nothing):
    while len(tried) < 3:
      pass
  assert caplog.text.count("No space left on device") == 1


def test_what_stopped_a_run_in_a_bucket_is_not_hidden(bucket, monkeypatch):
  class BucketError(Exception):
    """Of a library that has errors of its own."""

  def lost(path, text):
    raise BucketError

  with pytest.raises(RuntimeError, match="step 3"), presence.held(bucket, dict):
    monkeypatch.setattr(presence.storage, "write_text", lost)
    raise RuntimeError("stopped at step 3")


def test_a_disk_without_locks_goes_by_its_beats(tmp_path, monkeypatch, caplog):
  def no_locks(file, how):
    raise OSError(errno.ENOTSUP, "Operation not supported")

  monkeypatch.setattr(presence.fcntl, "flock", no_locks)
  with locks.alone(tmp_path, "vectors"):
    assert "another process from making vectors, too" in caplog.text
  caplog.clear()
  with presence.held(tmp_path, nothing):
    assert "its disk has no locks (Operation not supported)" in caplog.text
  who = json.loads((tmp_path / presence.RUNNING).read_text())
  del who["ended"]
  (tmp_path / presence.RUNNING).write_text(json.dumps(who))
  assert presence.look(tmp_path).alive
  for year in ("2020", "2199"):  # then the clock was set back
    said = {"at": f"{year}-01-01T00:00:00+00:00"}
    (tmp_path / presence.PROGRESS).write_text(json.dumps(said))
    assert not presence.look(tmp_path).alive


@pytest.mark.parametrize("name", ["file", "file/run"])
def test_a_file_is_no_folder(tmp_path, name):
  (tmp_path / "file").touch()
  with (
    pytest.raises(strict.ConfigError, match=r"--workdir: .* is a file, or in"),
    presence.held(tmp_path / name, nothing),
  ):
    raise AssertionError


def test_where_nobody_was(tmp_path):
  assert presence.look(tmp_path / "nowhere") == ({}, {}, False)
  (tmp_path / presence.RUNNING).write_text('{"host"')
  assert presence.look(tmp_path) == ({}, {}, False)


@pytest.fixture
def bucket():
  return buckets.empty("gs://bucket/run")


def test_a_run_in_a_bucket_is_known_by_its_beat(bucket):
  waited = []
  with presence.held(bucket, lambda: {"done": 3}, waited.append):
    pass
  found = presence.look(bucket)
  assert not found.alive and found.who["outcome"] == "done"
  # It has ended in order: nobody waits.
  with presence.held(bucket, nothing, waited.append):
    pass
  assert not waited
  who = {k: v for k, v in found.who.items() if k != "ended"}
  storage.write_text(bucket / presence.RUNNING, json.dumps(who))
  assert presence.look(bucket).alive

  def beat(seconds):
    waited.append(seconds)
    beat = {"beat": 999 + len(waited)}
    storage.write_text(bucket / presence.PROGRESS, json.dumps(beat))

  with (
    pytest.raises(strict.ConfigError, match="a run is at work in gs://bucket"),
    presence.held(bucket, nothing, beat),
  ):
    raise AssertionError
  # Killed: there is no beat while it is waited for.
  with presence.held(bucket, nothing, waited.append):
    pass
  assert waited == [60, 60, 60]
