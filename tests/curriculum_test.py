"""Order, hashes, DONE files, stale work and partial runs."""

import dataclasses
import errno
import functools
import json
import os
import pathlib
import shutil
import threading
import types

import pytest

from prod_jax import artefacts, curriculum, kinds, main, storage, strict
from prod_jax.processes import Processes


class Lab:
  """Three stages a -> b, a -> c that count how often they ran."""

  def __init__(self, workdir):
    self.workdir = workdir
    self.processes = Processes(workdir)
    self.ran = []
    self.fingerprints = {"a": 1, "b": 1, "c": 1}
    self.fail = None
    self.first = 0  # the number of stage a
    self.origin = {"commit": "one", "seed": 0}

  def stages(self):
    return [
      curriculum.Stage(
        name=name,
        kind="toy",
        folder=self.folder(name),
        inputs=inputs,
        fingerprint=lambda name=name: self.fingerprints[name],
        run=functools.partial(self.work, name, inputs.values()),
      )
      for name, inputs in (("a", {}), ("b", {"x": "a"}), ("c", {"x": "a"}))
    ]

  def folder(self, name):
    return self.workdir / f"{'abc'.index(name) + self.first:02d}-{name}"

  def work(self, name, read):
    folder = self.folder(name)
    self.ran.append(name)
    assert all((self.folder(other) / "made").exists() for other in read)
    (folder / "half").touch()
    if name == self.fail:
      raise RuntimeError("killed")
    (folder / "made").write_text(name)
    if not (folder / "block").exists():  # as stages make their blocks
      (folder / "block").mkdir()
      for part in ("x", "y"):
        (folder / "block" / part).write_text(part)
    return {"figure": 1, "results": [{"stage": name, "value": 0.5}]}

  def run(self, only=()):
    self.ran = []
    plans = curriculum.plan(self.stages(), self.processes)
    record = {"dataset": "toy"}
    curriculum.run(plans, self.processes, only, record, self.origin)
    return self.ran


@pytest.fixture
def lab(tmp_path):
  return Lab(tmp_path / "run")


def test_stages_run_once_and_leave_a_record(lab):
  assert lab.run() == ["a", "b", "c"]
  assert lab.run() == []
  results = json.loads((lab.workdir / "results.json").read_text())
  assert [row["stage"] for row in results] == ["a", "b", "c"]
  record = json.loads((lab.workdir / "curriculum.json").read_text())
  assert record["dataset"] == "toy"
  assert [s["status"] for s in record["stages"]] == ["cached"] * 3
  assert record["stages"][1]["inputs"] == {"x": "a"}
  assert record["stages"][0]["summary"] == {"figure": 1}


def test_a_run_that_is_done_is_written_down_once(lab, monkeypatch):
  """Not once a stage: of many stages that took longer than all the rest."""
  lab.run()
  written, write = [], storage.write_text

  def noted(path, text):
    written.append(path.name)
    write(path, text)

  monkeypatch.setattr(storage, "write_text", noted)
  assert lab.run() == []
  assert written == [storage.RESULTS, storage.CURRICULUM]
  lab.fingerprints["c"] = 2
  assert lab.run() == ["c"]
  assert written.count(storage.CURRICULUM) == 3


def test_a_folder_follows_the_number_of_its_stage(lab, caplog):
  """Stages that are put in front, or taken away, cost nothing again."""
  lab.run()
  lab.first = 3
  plans = curriculum.plan(lab.stages(), lab.processes)
  assert (plans[0].status, plans[0].was) == ("cached", "00-a")
  assert "03-a" in curriculum.table(plans)[1]
  assert curriculum.table(plans)[1].endswith("cached; is still 00-a")
  assert (lab.workdir / "00-a").exists()  # a look changes nothing
  caplog.set_level("INFO")
  assert lab.run() == []
  assert "a: 00-a is 03-a now" in caplog.text
  folders = sorted(p.name for p in lab.workdir.iterdir() if p.is_dir())
  assert folders == ["03-a", "04-b", "05-c"]
  record = json.loads((lab.workdir / "curriculum.json").read_text())
  assert [stage["dir"] for stage in record["stages"]] == folders


def test_what_stands_under_the_new_number_gives_way(lab):
  """Half of a folder that a killed run was to rename, or a twin of long ago."""
  lab.run()
  (lab.workdir / "03-a" / "inner").mkdir(parents=True)
  lab.first = 3
  assert lab.run() == []
  assert not (lab.workdir / "03-a" / "inner").exists()
  said = curriculum.listed(curriculum.plan(lab.stages(), lab.processes))
  assert [(stage["dir"], stage["was"]) for stage in said] == [
    ("03-a", ""),
    ("04-b", ""),
    ("05-c", ""),
  ]


def test_other_work_under_the_new_number_is_set_aside(lab):
  lab.run()
  lab.first = 3
  lab.fingerprints["a"] = 2
  assert lab.run() == ["a", "b", "c"]  # 00-a to 02-c stay where they are
  lab.fingerprints["a"] = 1
  assert lab.run() == []
  folders = sorted(p.name for p in lab.workdir.iterdir() if p.is_dir())
  assert folders == ["03-a", "04-b", "05-c", "stale"]
  stale = sorted(p.name[:4] for p in (lab.workdir / "stale").iterdir())
  assert stale == ["03-a", "04-b", "05-c"]


def test_unfinished_work_goes_on_under_another_number(lab):
  lab.fail = "b"
  with pytest.raises(RuntimeError):
    lab.run()
  lab.first, lab.fail = 1, None
  assert lab.run() == ["b", "c"]
  assert (lab.workdir / "02-b" / "half").exists()
  assert not (lab.workdir / "01-b").exists()


def test_other_work_under_another_number_stays_where_it_is(lab):
  lab.run()
  lab.first = 1
  lab.fingerprints["b"] = 2
  assert lab.run() == ["b"]
  assert {"01-b", "02-b"} <= {p.name for p in lab.workdir.iterdir()}


def test_folders_are_looked_at_side_by_side(lab, monkeypatch):
  """One after the other those of 200 stages in a bucket took minutes."""
  lab.run()
  together = threading.Barrier(3, timeout=60)

  def waits(folder, recorded):
    together.wait()
    return {}

  monkeypatch.setattr(artefacts, "damage", waits)
  assert lab.run() == []


def test_a_clock_that_was_set_back_runs_nothing_again(lab):
  lab.run()
  later = os.stat(lab.workdir).st_mtime + 1e8
  for path in lab.workdir.rglob("*"):
    os.utime(path, (later, later))
  assert lab.run() == []


def test_a_change_runs_what_depends_on_it_and_keeps_the_old_work(lab):
  lab.run()
  lab.fingerprints["b"] = 2
  assert lab.run() == ["b"]
  lab.fingerprints["a"] = 2
  assert lab.run() == ["a", "b", "c"]
  stale = sorted(p.name[:4] for p in (lab.workdir / "stale").iterdir())
  assert stale == ["00-a", "01-b", "01-b", "02-c"]


def test_stale_work_finds_a_name_when_some_of_it_was_deleted(lab):
  def go_back_and_forth():
    for fingerprint in (2, 1):
      lab.fingerprints["b"] = fingerprint
      assert lab.run() == ["b"]

  lab.run()
  go_back_and_forth()
  go_back_and_forth()
  stale = lab.workdir / "stale"
  names = {path.name for path in stale.iterdir()}
  assert sum(name.endswith("-1") for name in names) == 2 and len(names) == 4
  for name in names:
    if not name.endswith("-1"):
      shutil.rmtree(stale / name)
  go_back_and_forth()
  assert {path.name for path in stale.iterdir()} == names


@pytest.mark.parametrize("hash", [5, "", "../../x", None, ["a"]])
def test_stale_work_of_a_start_that_is_none_is_unknown(lab, hash):
  lab.run()
  (lab.folder("c") / curriculum.DONE).unlink()
  (lab.folder("c") / storage.STARTED).write_text(json.dumps({"hash": hash}))
  assert lab.run() == ["c"]
  assert [p.name for p in (lab.workdir / "stale").iterdir()] == ["02-c-unknown"]


def test_a_plan_is_told_to_machines_too(lab):
  lab.run()
  lab.fingerprints["b"] = 2
  (lab.folder("c") / "made").unlink()
  plans = curriculum.plan(lab.stages(), lab.processes)
  listed = json.loads(json.dumps(curriculum.listed(plans)))
  assert [item["status"] for item in listed] == ["cached", *["pending"] * 2]
  assert listed[1] == {
    "name": "b",
    "kind": "toy",
    "dir": "01-b",
    "was": "",
    "inputs": {"x": "a"},
    "status": "pending",
    "hash": plans[1].hash,
    "damage": {},
  }
  assert listed[2]["damage"] == {"made": "is gone"}


def test_a_record_is_there_before_the_first_stage(lab):
  lab.fail = "a"
  with pytest.raises(RuntimeError, match="killed"):
    lab.run()
  record = json.loads((lab.workdir / "curriculum.json").read_text())
  plans = curriculum.plan(lab.stages(), lab.processes)
  assert [(s["status"], s["hash"]) for s in record["stages"]] == [
    ("pending", plan.hash) for plan in plans
  ]


def test_a_row_says_what_its_stage_was_run_with_then(lab):
  lab.run(["a", "c"])
  lab.origin = {"commit": "two", "seed": 0}
  assert lab.run() == ["b"]
  rows = json.loads((lab.workdir / "results.json").read_text())
  hashes = {
    p.stage.name: p.hash for p in curriculum.plan(lab.stages(), lab.processes)
  }
  assert rows == [
    {
      "stage": name,
      "value": 0.5,
      "stage_hash": hashes[name],
      "commit": commit,
      "seed": 0,
    }
    for name, commit in [("a", "one"), ("b", "two"), ("c", "one")]
  ]
  left = json.loads((lab.workdir / "curriculum.json").read_text())["stages"]
  assert [s["origin"]["commit"] for s in left] == ["one", "two", "one"]


def test_work_of_an_older_version_stays_without_an_origin(lab):
  lab.run()
  path = lab.folder("a") / curriculum.DONE
  done = json.loads(path.read_text())
  del done["origin"], done["digest"]
  path.write_text(json.dumps(done))
  assert lab.run() == []
  first, *rest = json.loads((lab.workdir / "results.json").read_text())
  assert first.keys() == {"stage", "value", "stage_hash"}
  assert all(row["commit"] == "one" for row in rest)


@pytest.mark.parametrize(
  ("content", "why"),
  [
    (None, "made is gone"),
    ("", "made has 0 bytes, not 1"),
    ("z", "made has changed"),
  ],
)
def test_a_stage_whose_artefact_is_damaged_runs_again(
  lab, content, why, caplog
):
  lab.run()
  made = lab.folder("a") / "made"
  made.unlink() if content is None else made.write_text(content)
  table = curriculum.table(curriculum.plan(lab.stages(), lab.processes))
  assert why.removeprefix("made ") in table[1]
  with caplog.at_level("WARNING"):
    assert lab.run() == ["a"]
  assert f"a: runs again, because {lab.folder('a')}/{why}" in caplog.text
  assert made.read_text() == "a" and lab.run() == []
  assert not (lab.workdir / "stale").exists()


def test_of_a_damaged_block_nothing_is_left(lab):
  """A block counts as whole where its folder is."""
  lab.run()
  (lab.folder("a") / "block" / "x").unlink()
  assert lab.run() == ["a"]
  assert (lab.folder("a") / "block" / "x").read_text() == "x"
  assert lab.run() == []


@pytest.mark.parametrize("name", ["link/x", "block/link/x", "made"])
def test_a_link_is_deleted_and_not_what_it_leads_to(lab, tmp_path, name):
  """A working folder may be somebody else's, and its DONE.json a trap."""
  lab.run()
  (tmp_path / "own").mkdir()
  (tmp_path / "own" / "x").write_text("precious")
  folder, at = lab.folder("c"), name.removesuffix("/x")
  (folder / at).unlink(missing_ok=True)
  (folder / at).symlink_to(tmp_path / "own" / ("x" if at == name else ""))
  done = json.loads((folder / "DONE.json").read_text())
  del done["digest"]
  for bytes_of_it in (8, 9):
    done["files"][name] = {"bytes": bytes_of_it}
    (folder / "DONE.json").write_text(json.dumps(done))
    plans = curriculum.plan(lab.stages(), lab.processes)
    assert plans[2].damage == {at: "is a link"}
  assert lab.run() == ["c"]
  assert (tmp_path / "own" / "x").read_text() == "precious"
  assert not (folder / at).is_symlink()


def test_a_copy_of_a_folder_is_as_good_and_read_once(lab, monkeypatch):
  lab.run()
  made = [*lab.workdir.rglob("made"), *lab.workdir.rglob("block/*")]
  before = [path.stat().st_mtime_ns for path in made]
  for path in made:
    os.utime(path, ns=(1, 1))
  assert lab.run() == []
  assert [path.stat().st_mtime_ns for path in made] == before
  monkeypatch.setattr(artefacts, "_digest", None)
  assert lab.run() == []


def test_a_kill_while_a_damaged_stage_runs_again(lab):
  lab.run()
  (lab.folder("a") / "made").unlink()
  lab.fail = "a"
  with pytest.raises(RuntimeError, match="killed"):
    lab.run()
  (lab.folder("a") / "made").write_text("a")
  lab.fail = None
  assert lab.run() == ["a"]


@pytest.mark.parametrize(
  "text", ["", "{", "[]", "null", '{"hash": 3}', "\x00", "foreign"]
)
def test_what_is_no_record_of_a_stage_says_nothing(lab, text):
  lab.run()
  done = lab.folder("b") / curriculum.DONE
  if text == "foreign":
    text = json.dumps({"hash": json.loads(done.read_text())["hash"]})
  done.write_text(text)
  assert lab.run() == ["b"]


def test_what_cannot_be_read_is_not_taken_for_missing(lab, monkeypatch):
  """A bucket that fails once must not cost a stage that took a week."""
  lab.run()
  read = pathlib.Path.read_text

  def fails(path, *args, **more):
    if path == lab.folder("a") / curriculum.DONE:
      raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
    return read(path, *args, **more)

  monkeypatch.setattr(pathlib.Path, "read_text", fails)
  with pytest.raises(OSError, match="Input/output error"):
    lab.run()
  monkeypatch.undo()
  assert lab.run() == []


def test_a_figure_that_has_changed_is_no_result(lab, caplog):
  lab.run()
  done = lab.folder("b") / curriculum.DONE
  said = json.loads(done.read_text())
  done.write_text(json.dumps(said, indent=1))  # in other words the same
  assert lab.run() == []
  done.write_text(json.dumps(said | {"seconds": 99.0}))
  assert lab.run() == ["b"]
  assert f"{done} is not as it was written, and does not count" in caplog.text


def test_a_done_file_of_other_work_does_not_count(lab, caplog):
  lab.run()
  a, b = (lab.folder(name) / curriculum.DONE for name in "ab")
  b.write_bytes(a.read_bytes())
  assert lab.run() == ["b"]
  assert f"b: runs again, because {b} is of other work" in caplog.text
  assert lab.run() == []


def test_a_damaged_file_of_a_start_keeps_what_there_was(lab):
  lab.run()
  (lab.folder("b") / storage.STARTED).write_text("")
  assert lab.run() == []
  (lab.folder("b") / curriculum.DONE).unlink()
  assert lab.run() == ["b"]
  assert [p.name for p in (lab.workdir / "stale").iterdir()] == ["01-b-unknown"]


def test_an_interrupted_stage_finds_its_unfinished_work(lab):
  lab.fail = "b"
  with pytest.raises(RuntimeError, match="killed"):
    lab.run()
  lab.fail = None
  half = lab.workdir / "01-b" / "half"
  half.write_text("mine")
  assert lab.run() == ["b", "c"]
  assert half.read_text() == "mine"
  assert not (lab.workdir / "stale").exists()


def test_part_of_a_run_needs_its_inputs(lab):
  with pytest.raises(strict.ConfigError, match="has not run; add it"):
    lab.run(["b"])
  assert lab.run(["a", "c"]) == ["a", "c"]
  with pytest.raises(strict.ConfigError, match="known: a, b, c"):
    lab.run(["d"])


def test_the_table_shows_what_would_run(lab):
  lab.run(["a"])
  plans = curriculum.plan(lab.stages(), lab.processes)
  lines = curriculum.table(plans)
  assert lines[1].split() == ["a", "toy", "-", "00-a", "cached"]
  assert lines[2].split() == ["b", "toy", "x=a", "01-b", "pending"]


class Gated(Lab):
  """a says whether b runs; c reads b, and chooses between it and a."""

  passed = False

  def stages(self):
    made = super().stages()
    inputs = {"a": {}, "b": {curriculum.GATE: "a"}, "c": {"x": "b", "y": "a"}}
    return [
      dataclasses.replace(
        stage,
        inputs=inputs[stage.name],
        may_lack=("x",) if stage.name == "c" and self.chooses else (),
        run=functools.partial(self.work, stage.name, ()),
      )
      for stage in made
    ]

  chooses = True

  def work(self, name, read):
    found = super().work(name, read)
    verdict = {"passed": self.passed, "why": "a is no teacher"}
    return found | verdict if name == "a" else found


@pytest.fixture
def gated(tmp_path):
  return Gated(tmp_path / "run")


def statuses(lab):
  record = json.loads((lab.workdir / "curriculum.json").read_text())
  return {s["name"]: (s["status"], s["summary"]) for s in record["stages"]}


def test_what_a_gate_does_not_let_pass_is_skipped_and_says_why(gated):
  assert gated.run() == ["a", "c"]
  status, summary = statuses(gated)["b"]
  assert status == "skipped"
  assert summary == {"skipped": "because a is no teacher"}
  assert not (gated.folder("b") / "made").exists()


def test_what_reads_a_skipped_stage_is_skipped_too(gated):
  gated.chooses = False
  assert gated.run() == ["a"]
  assert statuses(gated)["c"][1] == {"skipped": "as b was"}


def test_a_skipped_stage_is_done_until_the_gate_is_passed(gated, caplog):
  caplog.set_level("INFO")
  gated.run()
  assert gated.run() == []
  assert statuses(gated)["b"][0] == "skipped"
  assert "b: cached, nothing to do; it was skipped, because a is" in caplog.text
  gated.passed = True
  gated.fingerprints["a"] = 2
  assert gated.run() == ["a", "b", "c"]
  assert statuses(gated)["b"] == ("done", {"figure": 1})


def test_a_stage_that_chooses_brings_all_that_it_chose_from(gated):
  gated.passed = True
  made = curriculum.plan(gated.stages(), gated.processes)
  plans = {plan.stage.name: plan for plan in made}
  behind = curriculum._behind([plans["c"]], plans)
  assert set(behind) == {"c", "b", "a"}
  assert set(curriculum._behind([plans["b"]], plans)) == {"b"}


def test_some_stages_are_shown_as_they_are_run(lab):
  plans = curriculum.plan(lab.stages(), lab.processes)
  assert curriculum.chosen(plans, ()) == plans
  assert curriculum.chosen(plans, ["c", "a"]) == [plans[0], plans[2]]
  with pytest.raises(strict.ConfigError, match="no stage 'learn'; known"):
    curriculum.chosen(plans, ["learn"])


@pytest.mark.parametrize(("gate", "warned"), [("", True), ("ladder", False)])
def test_a_gate_that_keeps_nothing_back_is_named(caplog, gate, warned):
  ladder = kinds.Gate("gate", encoded="encode", teacher="ce", depth=4)
  lists = kinds.Mine("mine", encoded="encode", depth=4, gate=gate)
  stages = {"ladder": ladder, "lists": lists}
  main._warn_of_gates(
    types.SimpleNamespace(config=types.SimpleNamespace(stages=stages))
  )
  said = "config.stages.ladder keeps nothing back: no stage names it"
  assert (said in caplog.text) == warned
