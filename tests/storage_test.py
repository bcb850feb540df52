"""A run in a bucket: copies, blocks that survive, stages that change."""

import json
import os
import pathlib

import numpy as np
import pytest
from etils import epath

from prod_jax import curriculum, run_files, storage, strict
from prod_jax.processes import Processes
from prod_jax.retrieval import blocks
from tests import buckets


@pytest.fixture
def bucket(monkeypatch, tmp_path):
  """The path of an empty folder in a bucket, seen from a new machine."""
  monkeypatch.setenv("PROD_JAX_CACHE", str(tmp_path / "machine"))
  return buckets.empty("gs://bucket/run")


def machine(monkeypatch, tmp_path, name, path):
  """The run as another machine sees it, whose disk is empty."""
  monkeypatch.setenv("PROD_JAX_CACHE", str(tmp_path / name))
  return Processes(path)


@pytest.mark.parametrize(
  ("path", "message"),
  [
    ("http://host/run", "http://host/run: nothing is kept at http://; a path"),
    ("s3://key:secret@bucket/run", "^s3://…: a path has no password in it"),
  ],
)
def test_a_path_that_nothing_is_kept_at_is_refused(path, message):
  with pytest.raises(strict.ConfigError, match=message) as refused:
    storage.open_path(path)
  assert "secret" not in str(refused.value)
  assert storage.open_path("az://box@account/run").name == "run"


@pytest.mark.parametrize(
  "text",
  [
    '{"stages": [',
    "[]",
    '{"a": 1}',
    '{"stages": [{"name": "x"}], "config": {}}',
    '{"stages": [], "config": 3}',
  ],
)
def test_what_no_run_has_written_is_none(tmp_path, text):
  assert run_files.curriculum(tmp_path) == {}
  (tmp_path / storage.CURRICULUM).write_text(text)
  with pytest.raises(strict.ConfigError, match="the run writes it anew"):
    run_files.curriculum(tmp_path)


def test_a_path_with_a_scheme_is_in_a_bucket(bucket, tmp_path):
  assert isinstance(bucket, epath.Path)
  twin = storage.twin(bucket)
  assert twin.parent == tmp_path / "machine"
  assert storage.twin(twin) == twin
  other = storage.open_path("gs://other/run")
  assert storage.twin(other) != twin


def test_a_folder_goes_to_the_bucket_and_comes_to_another_machine(
  bucket, monkeypatch, tmp_path
):
  here = Processes(bucket)
  folder = here.local_folder / "00-a"
  (folder / "inner").mkdir(parents=True)
  (folder / "x.npy").write_bytes(b"12")
  (folder / "inner" / "y").write_bytes(b"3")
  (folder / "torn.part").write_bytes(b"?")
  here.publish(folder)
  there = machine(monkeypatch, tmp_path, "second", bucket)
  there.fetch(there.local_folder / "00-a", but=("inner",))
  found = [p.name for p in sorted((there.local_folder / "00-a").iterdir())]
  assert found == ["x.npy"]
  there.fetch(there.local_folder / "00-a")
  assert (there.local_folder / "00-a" / "inner" / "y").read_bytes() == b"3"
  (folder / "x.npy").write_bytes(b"34")
  here.publish(folder)
  there.fetch(there.local_folder / "00-a")
  assert (there.local_folder / "00-a" / "x.npy").read_bytes() == b"34"
  here.remove(folder)
  assert not folder.exists()
  assert not here.remote(folder).exists()


def test_large_files_of_another_run_of_a_stage_are_not_taken_for_these(
  bucket, monkeypatch, tmp_path
):
  monkeypatch.setattr(storage, "_SMALL", 3)
  here = Processes(bucket)
  stage = here.local_folder / "00-a"
  (stage / "passages").mkdir(parents=True)

  def made(content, hashed):
    for name in ("weights", "passages/0.npy"):
      (stage / name).write_bytes(content)
    (stage / storage.DONE).write_text(json.dumps({"hash": hashed}))
    here.publish(stage)

  there = machine(monkeypatch, tmp_path, "second", bucket)
  twin = there.local_folder / "00-a"
  made(b"first", "1")
  there.fetch(twin)
  made(b"other", "2")
  # As `report` does, which reads neither weights nor vectors.
  run_files.fetch(bucket, there.local_folder, but=("weights", "passages"))
  assert [path.name for path in twin.iterdir()] == [storage.DONE]
  there.fetch(twin)
  assert (twin / "weights").read_bytes() == b"other"
  made(b"third", "3")
  there.fetch(twin)
  assert (twin / "passages" / "0.npy").read_bytes() == b"third"
  # What this machine has and the bucket has not is kept until it has ended.
  (twin / "notes").write_text("")
  there.fetch(twin)
  assert (twin / "notes").exists()


@pytest.mark.parametrize(("started", "kept"), [("one", True), ("two", False)])
def test_a_stage_at_work_keeps_what_it_has_left_here(bucket, started, kept):
  """`report` may look at a run on the machine that it is on."""
  here = Processes(bucket)
  stage = here.local_folder / "00-a"
  stage.mkdir(parents=True)
  (stage / storage.STARTED).write_text('{"id": "one"}')
  here.publish(stage)
  storage.write_text(
    bucket / "00-a" / storage.STARTED, json.dumps({"id": started})
  )
  storage.write_text(bucket / "00-a" / storage.DONE, '{"hash": "1"}')
  (stage / "half").write_text("")
  run_files.fetch(bucket, here.local_folder)
  assert (stage / "half").exists() == kept
  assert (stage / storage.DONE).exists()


def test_a_folder_gets_another_name_here_and_in_the_bucket(
  bucket, monkeypatch, tmp_path
):
  here = Processes(bucket)
  old, new = here.local_folder / "00-a", here.local_folder / "01-a"
  old.mkdir(parents=True)
  (old / "x").write_text("1")
  here.publish(old)
  here.rename(old, new)
  there = machine(monkeypatch, tmp_path, "second", bucket)
  there.rename(there.local_folder / "01-a", there.local_folder / "02-a")
  assert [path.name for path in bucket.iterdir()] == ["02-a"]
  assert (bucket / "02-a" / "x").read_text() == "1"
  assert (new / "x").read_text() == "1" and not old.exists()


def test_half_a_rename_in_a_bucket_is_made_whole(bucket):
  """There it is a copy, file by file, and a kill may come between."""
  whole = {storage.STARTED: '{"hash": "1"}', storage.DONE: '{"hash": "1"}'}
  for folder, files in {
    "00-a": whole,
    "01-a": {storage.STARTED: whole[storage.STARTED]},  # killed on its way
    "02-a": {storage.STARTED: whole[storage.STARTED]},
    "03-ba": whole,
  }.items():
    for name, text in files.items():
      storage.write_text(bucket / folder / name, text)
  names = [path.name for path in bucket.iterdir()]
  found = {
    number: run_files.other_number(bucket / f"{number}-a", names, "1")
    for number in ("00", "01", "02", "03")
  }
  assert found == {"00": "", "01": "00-a", "02": "00-a", "03": "00-a"}
  del names[names.index("00-a")]
  assert run_files.other_number(bucket / "04-a", names, "1") == "01-a"
  assert run_files.other_number(bucket / "01-a", names, "1") == ""
  assert run_files.other_number(bucket / "04-a", names, "2") == ""


@pytest.mark.parametrize("concurrent", [False, True])
def test_a_file_is_there_whole_or_as_it_was(tmp_path, concurrent):
  path = tmp_path / "x.json"
  path.write_text("old")
  with (
    pytest.raises(KeyboardInterrupt),
    storage.whole_file(path, concurrent=concurrent) as part,
  ):
    part.write_text("torn")
    raise KeyboardInterrupt
  assert path.read_text() == "old"
  # Only what another process may be writing too is cleared away.
  left = [] if concurrent else ["x.json.part"]
  assert [p.name for p in tmp_path.iterdir() if p != path] == left
  with storage.whole_file(path, concurrent=concurrent) as part:
    assert path.read_text() == "old"
    part.write_text("new")
  assert path.read_text() == "new"
  assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_a_bucket_is_written_under_its_name(bucket):
  with storage.whole_file(bucket / "x.json") as part:
    assert part == bucket / "x.json"
  storage.write_text(bucket / "x.json", "é")
  assert (bucket / "x.json").read_text() == "é"


@pytest.mark.parametrize("concurrent", [False, True])
def test_a_folder_is_there_whole_or_not_at_all(tmp_path, concurrent):
  path = tmp_path / "deep" / "x"
  with (
    pytest.raises(KeyboardInterrupt),
    storage.whole_folder(path, concurrent=concurrent) as part,
  ):
    (part / "torn").write_text("")
    raise KeyboardInterrupt
  assert not path.exists()
  with storage.whole_folder(path, concurrent=concurrent) as part:
    assert list(part.iterdir()) == []
    (part / "a").write_text("a")
    assert not path.exists()
  assert [p.name for p in path.iterdir()] == ["a"]
  assert list(path.parent.iterdir()) == [path]


def test_a_folder_is_replaced_unless_another_process_made_it(tmp_path):
  path = tmp_path / "x"

  def write(name, concurrent):
    with storage.whole_folder(path, concurrent=concurrent) as part:
      (part / name).write_text("")

  write("a", concurrent=False)
  write("b", concurrent=False)
  assert [p.name for p in path.iterdir()] == ["b"]
  write("c", concurrent=True)
  assert [p.name for p in path.iterdir()] == ["b"]
  assert list(tmp_path.iterdir()) == [path]


def test_two_processes_write_one_file_each_for_itself(tmp_path):
  path = tmp_path / "x"
  with (
    storage.whole_file(path, concurrent=True) as one,
    storage.whole_file(path, concurrent=True) as other,
  ):
    one.write_text("one")
    other.write_text("other")
  assert path.read_text() == "one"


@pytest.mark.parametrize("name", ["machine", "second"])
def test_blocks_of_a_killed_run_are_not_made_again(
  bucket, monkeypatch, tmp_path, name
):
  """On the machine where it was killed, and on a new one."""
  made = []

  def run(processes, until):
    def work(start, stop, pieces):
      if start >= until:
        raise KeyboardInterrupt
      made.append(start)
      return {"x": np.arange(start, stop)}

    folder = processes.local_folder / "00-a" / "blocks"
    return blocks.compute(
      folder, 10, 3, work, processes=processes, name="toy", unit="rows"
    )

  with pytest.raises(KeyboardInterrupt):
    run(Processes(bucket), 6)
  # An upload that was cut off: files, and no mark that they are all.
  block = "00-a/blocks/000000006-000000009"
  torn = bucket / block / "x.npy"
  torn.parent.mkdir(parents=True)
  torn.write_bytes(b"torn")
  here = Processes(bucket).local_folder / block
  here.mkdir()
  (here / "x.npy").write_bytes(b"torn")
  processes = machine(monkeypatch, tmp_path, name, bucket)
  paths = run(processes, 99)
  assert made == [0, 3, 6, 9]
  (x,) = blocks.gather(paths, ["x"], processes)
  np.testing.assert_array_equal(x, np.arange(10))


def test_stages_are_read_from_the_bucket_and_changed_ones_moved_aside(
  bucket, monkeypatch, tmp_path
):
  ran = []

  def run(processes, a=1):
    def write_a():
      ran.append(("a",))
      (folder_a / "made").write_text(f"a{a}")
      return {}

    def write_b():
      ran.append(("b", (folder_a / "made").read_text()))
      (folder_b / "made").write_text(f"b{a}")
      return {}

    folder_a, folder_b = (processes.local_folder / x for x in ("00-a", "01-b"))
    stages = [
      curriculum.Stage("a", "toy", folder_a, {}, lambda: a, write_a),
      curriculum.Stage("b", "toy", folder_b, {"x": "a"}, lambda: 1, write_b),
    ]
    curriculum.run(curriculum.plan(stages, processes), processes)

  first = Processes(bucket)
  run(first)
  assert ran == [("a",), ("b", "a1")]
  ran.clear()
  second = machine(monkeypatch, tmp_path, "second", bucket)
  run(second)
  assert ran == []
  run(second, a=2)
  assert ran == [("a",), ("b", "a2")]
  assert len(list((bucket / "stale").iterdir())) == 2
  # The first machine still has the old files on its disk.
  ran.clear()
  monkeypatch.setenv("PROD_JAX_CACHE", str(tmp_path / "machine"))
  (bucket / "01-b" / curriculum.DONE).unlink()
  run(Processes(bucket), a=2)
  assert ran == [("b", "a2")]


def test_who_looks_at_a_stage_that_runs_again_takes_nothing_away(bucket):
  """`report` on the machine of the run, while the stage is at work."""
  processes = Processes(bucket)
  folder = processes.local_folder / "00-a"

  def write():
    half = folder / f"half{len(seen)}"
    half.write_text("")
    run_files.fetch(bucket, processes.local_folder)
    seen.append(half.exists())
    return {}

  seen = []
  stages = [curriculum.Stage("a", "toy", folder, {}, lambda: 1, write)]
  for _ in range(2):
    curriculum.run(curriculum.plan(stages, processes), processes)
    (bucket / "00-a" / curriculum.DONE).unlink()
  assert seen == [True, True]


def test_large_files_of_one_size_are_told_apart(bucket, monkeypatch, tmp_path):
  """By another run of the stage that made them, as sizes say nothing."""

  def run(processes, letter):
    def write():
      (folder_a / "made").write_bytes(letter * (2 << 20))
      return {}

    def check():
      seen.append((folder_a / "made").read_bytes()[:1])
      return {}

    folder_a, folder_b = (processes.local_folder / x for x in ("00-a", "01-b"))
    stages = [
      curriculum.Stage("a", "toy", folder_a, {}, lambda: 1, write),
      curriculum.Stage("b", "toy", folder_b, {"x": "a"}, lambda: 1, check),
    ]
    curriculum.run(curriculum.plan(stages, processes), processes)

  seen = []
  run(Processes(bucket), b"1")
  run(machine(monkeypatch, tmp_path, "second", bucket), b"1")
  second = machine(monkeypatch, tmp_path, "second", bucket)
  second.fetch(second.local_folder / "00-a")
  # Killed before it was done, and made again by the first machine.
  for stage in ("00-a", "01-b"):
    (bucket / stage / curriculum.DONE).unlink()
  run(machine(monkeypatch, tmp_path, "machine", bucket), b"2")
  (bucket / "01-b" / curriculum.DONE).unlink()
  run(machine(monkeypatch, tmp_path, "second", bucket), b"2")
  assert seen == [b"1", b"2", b"2"]


def test_what_gets_its_name_is_on_the_disk_by_then(tmp_path, monkeypatch):
  """Content first, then the rename, then the folder that has the name."""
  flushed = []

  def fsync(number):
    path = pathlib.Path(os.readlink(f"/proc/self/fd/{number}"))
    there = (tmp_path / "one").exists() or (tmp_path / "two").exists()
    flushed.append((path.name, there))

  monkeypatch.setattr(os, "fsync", fsync)
  storage.write_text(tmp_path / "one", "text")
  assert flushed == [("one.part", False), (tmp_path.name, True)]
  (tmp_path / "one").unlink()
  del flushed[:]
  with storage.whole_folder(tmp_path / "two") as part:
    (part / "file").write_text("text")
  assert flushed == [
    ("file", False),
    ("two.part", False),
    (tmp_path.name, True),
  ]


def test_a_file_has_the_mode_of_any_new_one(tmp_path):
  (tmp_path / "plain").touch()
  with storage.whole_file(tmp_path / "made") as part:
    part.touch(0o600)  # as safetensors does
  modes = [(tmp_path / name).stat().st_mode for name in ("plain", "made")]
  assert modes[0] == modes[1]
