"""Where a run stands, from what it has left in its folder."""

import argparse
import json

import pytest

from prod_jax import forecast, presence, run_files, storage, strict
from prod_jax.cli import status as command
from prod_jax.status import left, look, said

TRAIN = {"kind": "train", "model": "student", "steps": 40, "batch_size": 4}
CONFIG = {
  "data": {"path": "here"},
  "mesh": {"data": -1},
  "models": {"student": {"width": 32, "weights": "there"}, "ce": {}},
  "stages": {
    "warm": {**TRAIN, "method": "contrastive"},
    "encode": {"kind": "encode", "params": "warm"},
    "mine": {"kind": "mine", "encoded": "encode"},
    "score": {"kind": "score", "params": "ce", "candidates": "mine"},
    "taught": {**TRAIN, "method": "prod", "steps": 100, "candidates": "mine"},
    "encode_taught": {"kind": "encode", "params": "taught"},
    "more": {**TRAIN, "method": "prod", "batch_size": 8, "init": "taught"},
    "divide": {"kind": "divide", "candidates": "mine"},
  },
}


class Folder:
  """A working folder, written by hand."""

  def __init__(self, path):
    self.path = path
    self.rows = []
    for number, (name, settings) in enumerate(CONFIG["stages"].items()):
      names = CONFIG["stages"].keys()
      read = {k: v for k, v in settings.items() if k != "kind" and v in names}
      self.rows.append(
        {
          "name": name,
          "kind": settings["kind"],
          "dir": f"{number:02d}-{name}",
          "hash": f"hash of {name}",
          "status": "pending",
          "seconds": 0,
          "inputs": read,
          "summary": {},
          "model": settings.get("model"),
        }
      )

  def row(self, name):
    return next(row for row in self.rows if row["name"] == name)

  def own(self, name):
    return self.path / self.row(name)["dir"]

  def put(self, path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))

  def began(self, name, digest=None):
    digest = digest or f"hash of {name}"
    self.put(self.own(name) / storage.STARTED, {"hash": digest})

  def done(self, name, seconds, digest=None, summary=(), **more):
    self.began(name, digest)
    digest, summary = digest or f"hash of {name}", dict(summary)
    done = {"hash": digest, "summary": summary, **more}
    self.put(self.own(name) / storage.DONE, done)
    if digest == f"hash of {name}":
      self.row(name).update(status="done", seconds=seconds, summary=summary)

  def look(self):
    record = {"config": CONFIG, "dataset": "toy", "stages": self.rows}
    self.put(self.path / storage.CURRICULUM, record)
    return look.look(self.path)


@pytest.fixture
def folder(tmp_path):
  """A run in the middle: six stages are to come."""
  made = Folder(tmp_path)
  made.done("warm", 80.0)
  made.done("encode", 10.0)
  return made


def states(run):
  return {stage.name: stage.state for stage in run.stages}


def progress(work, done, total, **more):
  at = {"work": work, "done": done, "total": total, "unit": "steps"}
  return {**at, "rate": 2.0, "seconds_left": (total - done) / 2, **more}


def test_states_of_a_run_at_work(folder):
  folder.done("mine", 1.0)
  folder.began("score")
  folder.done("divide", 3.0, summary={"skipped": "as score was"})
  at = progress("score", 6, 10)
  with presence.held(folder.path, lambda: at):
    run = folder.look()
  assert states(run) == {
    "warm": look.DONE,
    "encode": look.DONE,
    "mine": look.DONE,
    "score": look.RUNNING,
    "taught": look.PENDING,
    "encode_taught": look.PENDING,
    "more": look.PENDING,
    "divide": look.SKIPPED,
  }
  # A thread has written it, perhaps only in the end.
  run = folder.look()
  assert states(run)["score"] == look.UNFINISHED
  assert not run.presence.alive


def test_progress_is_that_of_the_stage(folder):
  folder.done("mine", 1.0)
  for name in ("score", "taught"):
    folder.began(name)
  folder.own("taught").joinpath("checkpoints", "25").mkdir(parents=True)
  folder.own("taught").joinpath("checkpoints", "50.orbax-tmp").mkdir()
  with presence.held(folder.path, lambda: progress("taught", 30, 100)):
    while not presence.look(folder.path).progress:
      pass
    run = folder.look()
    text = "\n".join(said.lines(run))
  taught = run.stages[4]
  assert states(run)["score"] == look.UNFINISHED
  assert taught.state == look.RUNNING and taught.checkpoint == 25
  assert taught.at == ("taught", 30, 100, "steps", 2.0, 35.0)
  (line,) = [line for line in text.splitlines() if line.startswith("taught ")]
  assert line.endswith("  taught: 30 of 100 steps, 2/s, checkpoint at step 25")
  assert "35 s left" in line and "at work: process" in text


def test_a_part_of_the_work_is_shown_and_that_of_another_stage_is_not(folder):
  """A search within it says nothing of how long the stage takes."""
  folder.began("mine")
  for work, at in (("exact search", (6, 10)), ("encode", None)):
    with presence.held(folder.path, lambda work=work: progress(work, 6, 10)):
      while presence.look(folder.path).progress.get("work") != work:
        pass
      mine = folder.look().stages[2]
    assert mine.state == look.RUNNING
    assert (mine.at and (mine.at.done, mine.at.total)) == at
    assert mine.at is None or mine.at.seconds_left is None


@pytest.mark.parametrize(
  ("work", "stage"),
  [
    ("mine_1", "mine_1"),
    ("mine_1, dev", "mine_1"),
    ("mine_1: first pass", "mine_1"),
    ("mine_1_b", ""),
    ("mine_1-b", ""),
    ("x mine_1", ""),
  ],
)
def test_whose_work_it_is(work, stage):
  assert look._is_of(work, "mine_1") == bool(stage)


def test_a_killed_stage_says_what_is_kept(folder):
  folder.done("mine", 1.0)
  folder.began("score")
  blocks = folder.own("score") / "blocks"
  for name in ("000000000-000000008", "000000008-000000016.part", "dev"):
    (blocks / name).mkdir(parents=True)
  (blocks / "dev" / "000000000-000000004").mkdir()
  folder.began("taught")
  lines = [{"step": s, "queries_per_second": 8.0} for s in (10, 20)]
  text = "".join(json.dumps(line) + "\n" for line in lines)
  (folder.own("taught") / "metrics.jsonl").write_text(text + '{"step": 2')
  who = {"pid": 7, "host": "h", "since": "noon", "command": "prod_jax run"}
  folder.put(folder.path / presence.RUNNING, who)
  run = folder.look()
  assert run.stages[3].kept == 12
  # Without a checkpoint nothing of it is kept.
  assert run.stages[4].at == ("taught", 20, 100, "steps", 2.0, 50.0)
  text = "\n".join(said.lines(run))
  assert "20 of 100 steps, 2/s, the next start goes on from 0" in text
  assert "12 rows are kept" in text
  assert (
    "nobody is at work: process 7 on h, since noon, was killed or its machine "
    "is gone. The same command goes on: prod_jax run"
  ) in text


def test_steps_behind_the_last_checkpoint_run_again(folder):
  folder.done("mine", 1.0)
  folder.done("score", 1.0)
  folder.began("taught")
  own = folder.own("taught")
  own.joinpath("checkpoints", "10").mkdir(parents=True)
  line = {"step": 20, "queries_per_second": 8.0}
  (own / "metrics.jsonl").write_text(json.dumps(line) + "\n")
  run = folder.look()
  assert run.stages[4].at == ("taught", 20, 100, "steps", 2.0, 45.0)
  (line,) = [x for x in said.lines(run) if x.startswith("taught ")]
  assert "45 s left" in line
  assert line.endswith("20 of 100 steps, 2/s, the next start goes on from 10")


def test_a_stale_stage_says_why(folder):
  then = {"stage": {**CONFIG["stages"]["mine"], "encoded": "encode"}}
  folder.done("mine", 1.0, digest="other", fingerprint=then)
  then = {
    "stage": {**CONFIG["stages"]["taught"], "steps": 50, "method": "lead"},
    "model": {"width": 16, "gone": 1, "weights": run_files.ANY_FOLDER},
    "data": {"path": "there"},
  }
  folder.done("taught", 1.0, digest="other", fingerprint=then)
  folder.began("more", digest="other")
  folder.done("score", 2.0)
  (folder.own("score") / storage.DONE).unlink()
  files = {"params.safetensors": {"bytes": 9}, "cut": {"bytes": 9}}
  folder.done("divide", 2.0, files=files)
  (folder.own("divide") / "cut").write_text("half")
  run = folder.look()
  why = {stage.name: stage.why for stage in run.stages if stage.why}
  assert why == {
    "mine": "data, weights, code or what it reads is another",
    "score": "its DONE.json is gone",
    "taught": (
      "stages.taught.steps was 50, is 100; "
      'stages.taught.method was "lead", is "prod"; '
      "models.student.width was 16, is 32; 1 more"
    ),
    "divide": "params.safetensors is gone; cut has 4 bytes, not 9",
    "more": "it reads taught, to be run before",
  }
  assert states(run)["score"] == look.UNFINISHED
  stale = {name for name, state in states(run).items() if state == look.STALE}
  assert stale == {"mine", "taught", "more", "divide"}


def test_time_left_is_that_of_the_likest_stages(folder):
  folder.done("mine", 3.0)
  run = folder.look()
  rest = left.rest(run)
  # 80 s for 40 steps of 4.
  assert rest.by_stage["taught"].seconds == pytest.approx(200)
  assert rest.by_stage["more"] == (
    pytest.approx(160),
    "1 of kind train, model student",
  )
  assert rest.by_stage["encode_taught"].seconds == pytest.approx(10)
  assert rest.unknown == ["score", "divide"]
  assert rest.seconds == pytest.approx(370)
  # One of its own method is liker; of a resumed one, what it did does count.
  summary = {"resumed_from": 50}
  folder.done("taught", 300.0, summary=summary)
  rest = left.rest(folder.look())
  seconds, by = rest.by_stage["more"]
  assert seconds == pytest.approx(300 / (50 * 4) * 40 * 8)
  assert by == "1 of kind train, model student, method prod"
  text = "\n".join(said.lines(folder.look()))
  assert (
    "it would take: about 8.2 min, 2 stages by what others of their kind took"
  ) in text
  assert "not known: 2 stages of a kind that has not run yet (score, d" in text


def test_work_of_an_earlier_version_has_no_hash(folder):
  for row in folder.rows:
    del row["hash"]
  folder.began("mine")
  found = states(folder.look())
  assert found["warm"] == look.DONE and found["mine"] == look.UNFINISHED


def test_before_the_first_stage_and_where_nothing_is(tmp_path):
  with pytest.raises(strict.ConfigError, match="no run has been here; there"):
    look.look(tmp_path / "nowhere")
  at = {**progress("reading", 3, 10), "unit": "shards"}
  with presence.held(tmp_path, lambda: at):
    while not presence.look(tmp_path).progress:
      pass
    text = "\n".join(said.lines(look.look(tmp_path)))
  assert "nothing is written down of its stages yet" in text
  assert "in no stage now: reading: 3 of 10 shards, 2/s" in text
  text = "\n".join(said.lines(look.look(tmp_path)))
  assert ": done" in text.splitlines()[-1]


def test_json_has_all_of_it(folder):
  (folder.path / "07-left_behind").mkdir()
  found = said.record(folder.look())
  assert json.loads(json.dumps(found)) == found
  assert found["states"] == {"done": 2, "pending": 6}
  assert found["of_other_configs"] == ["07-left_behind"]
  assert found["seconds_left_unknown"] == ["mine", "score", "divide"]
  stage = found["stages"][4]
  assert stage["seconds_left"] == pytest.approx(200)
  assert (stage["state"], stage["folder"]) == ("pending", "04-taught")


def test_a_long_row_of_stages_is_one_line(folder):
  names = [f"x_{number}" for number in range(20)]
  stage = {"kind": "evaluate", "summary": {}, "inputs": {}, "model": None}
  for number, name in enumerate(names):
    row = {"name": name, "dir": f"{number + 8}-{name}", "hash": name}
    folder.rows.append(stage | row | {"status": "pending", "seconds": 0})
  lines = said.lines(folder.look())
  assert [line.split() for line in lines if line[:1] in ["x", "…", "d"]][
    :2
  ] == [
    ["divide", "divide", "pending", "-"],
    ["…", "20", "more", "pending"],
  ]


def test_a_forecast_stands_beside_the_time_and_tells_what_nothing_else_does(
  folder,
):
  rows = [
    {"stage": name, "seconds": seconds, "at_most": []}
    for name, seconds in (("warm", 90.0), ("score", 60.0), ("taught", 7.0))
  ]
  forecast.write(folder.path, CONFIG, "a CPU", rows)
  run = folder.look()
  rest = left.rest(run)
  assert rest.by_stage["score"] == (60.0, "the forecast")
  # Stages of its kind that have run know better.
  assert rest.by_stage["taught"].by.startswith("1 of kind train")
  head, warm, *_ = [x for x in said.lines(run) if "  " in x]
  assert head.split() == ["stage", "kind", "state", "time", "forecast"]
  assert warm.split()[-4:] == ["80", "s", "1.5", "min"]
  assert "1 stage by the forecast" in "\n".join(said.lines(run))
  assert said.record(run)["stages"][0]["seconds_forecast"] == 90.0


def test_numbers_that_are_none_are_not_taken_for_some(folder):
  folder.row("warm")["seconds"] = float("inf")
  with pytest.raises(strict.ConfigError, match="seconds is inf, not a number"):
    folder.look()


def test_a_stranger_moves_no_terminal(folder, capsys):
  evil = "\x1b]0;evil\x07\n\x1b[2J"
  folder.row("warm").update(name=f"warm{evil}", kind=evil)
  folder.row("mine")["dir"] = f"02-mine{evil}"
  who = {"host": evil, "pid": 1, "since": evil, "command": evil}
  folder.put(folder.path / presence.RUNNING, who)
  lines = said.lines(folder.look())
  command.run(argparse.Namespace(workdir=str(folder.path), json=False))
  shown = capsys.readouterr().out
  assert "evil" in shown and len(shown.splitlines()) == len(lines)
  assert not strict.OBEYED.search(shown.replace("\n", ""))
