"""The command: end to end, again, in part, and after kill -9."""

import json
import pathlib
import re
import signal
import sys

import numpy as np
import pytest

from prod_jax import config_file, main, packaged, presence, strict
from prod_jax.cli.arguments import INTERRUPTED
from prod_jax.processes import PREEMPTED, Processes
from prod_jax.stages import files
from prod_jax.stages.run import Run
from prod_jax.status import look
from tests import commands
from tests.commands import CACHE, REPO, environment

QUICKSTART = "configs/quickstart.py:runlocal"
FEW = "--config.data.max_passages=400"
# The stages of configs/baselines.py that give a method its lists and scores,
# without a teacher that retrieves.
SCORED = (
  "--config.stages.mine_wide.encoded=encode_student_warm",
  "--config.stages.mine_lists.encoded=encode_student_warm",
  "--stages=student_warm,encode_student_warm,mine_wide,ce,mine_lists,score_lists",
)


@pytest.fixture(scope="session", autouse=True)
def weights():
  """The tokenizer comes with the quickstart's weights."""
  try:
    packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))


def write_folder(folder: pathlib.Path) -> pathlib.Path:
  """A small set in the MS MARCO layout: a query is part of its passage."""
  rng = np.random.default_rng(0)
  words = [f"{a}{b}" for a in "bcdfgklmnp" for b in ("ar", "el", "in", "ot")]
  texts = [" ".join(rng.choice(words, 12)) for _ in range(120)]
  folder.mkdir()
  (folder / "collection.tsv").write_text(
    "".join(f"p{i}\ttitle {i}\t{text}\n" for i, text in enumerate(texts))
  )
  splits = {
    "train": range(64),
    "test": range(64, 96),
    "dev": range(96, 104),
  }
  for split, rows in splits.items():
    (folder / f"queries.{split}.tsv").write_text(
      "".join(f"q{i}\t{texts[i][:24]}\n" for i in rows)
    )
    (folder / f"qrels.{split}.tsv").write_text(
      "".join(f"q{i}\t0\tp{i}\t1\n" for i in rows)
    )
  return folder


def write_uneven_folder(folder: pathlib.Path) -> pathlib.Path:
  """The same of passages of 2 to 12 words.

  A tokenizer that knows none of them still tells such passages apart.
  """
  collection = write_folder(folder) / "collection.tsv"
  lines = collection.read_text().splitlines()
  shorter = (line.rsplit(" ", i % 11)[0] for i, line in enumerate(lines))
  collection.write_text("\n".join(shorter) + "\n")
  return folder


def command(workdir, *arguments, config=QUICKSTART):
  return [
    sys.executable,
    "-m",
    "prod_jax.main",
    f"--config={config}",
    f"--config.data.data_dir={CACHE / 'data'}",
    f"--workdir={workdir}",
    *arguments,
  ]


def run(workdir, *arguments, code=0, fast=True, **kwargs):
  words = command(workdir, *arguments, **kwargs)[2:]
  done = commands.run(*words, env=environment(fast))
  assert done.returncode == code, done.stderr[-4000:]
  return done


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """The quickstart on pydocs with tiny encoders, from start to end."""
  workdir = tmp_path_factory.mktemp("run") / "Läufe und 研究"
  return workdir, run(workdir, FEW)


def test_every_stage_leaves_its_artefacts_and_figures(finished):
  workdir, done = finished
  record = json.loads((workdir / "curriculum.json").read_text())
  assert {s["status"] for s in record["stages"]} == {"done"}
  assert record["run_from"] == str(pathlib.Path.cwd())
  assert len(record["stages"]) == 44
  rows = json.loads((workdir / "results.json").read_text())
  assert {r["index"] for r in rows} >= {"exact", "rerank"}
  assert all(0 <= r["value"] <= 1 and r["queries"] == 32 for r in rows)
  assert all(
    0 <= r["index_recall"] <= 1 for r in rows if r["index"] != "rerank"
  )
  assert all(
    row.keys() >= {"stage_hash", *record["stages"][0]["origin"]} for row in rows
  )
  assert len(list(workdir.glob("*/run.trec"))) == 8
  page = (workdir / "report.html").read_text()
  assert "student_final" in page
  assert "student_final" in done.stdout


def test_no_library_writes_into_the_log(finished):
  """Not absl, nor ScaNN, which has been at work."""
  workdir, done = finished
  rows = json.loads((workdir / "results.json").read_text())
  assert "scann" in {row["index"] for row in rows}
  ours = re.compile(r"\d\d:\d\d:\d\d \S")
  assert not [x for x in done.stderr.splitlines() if not ours.match(x)]


def test_a_second_run_finds_everything_done(finished):
  workdir, first = finished
  again = run(workdir, FEW)
  assert again.stderr.count("cached, nothing to do") == 44
  assert again.stdout == first.stdout


def test_a_dry_run_shows_the_stages_and_runs_nothing(finished):
  workdir, _ = finished
  other = "--config.stages.divide.student_to=13"
  done = run(workdir, FEW, "--dry_run", other)
  lines = done.stdout.splitlines()
  assert lines[0].split() == ["stage", "kind", "reads", "writes", "status"]
  status = {line.split()[0]: line.split()[-1] for line in lines[1:]}
  pending = [name for name, value in status.items() if value == "pending"]
  two = "--stages=divide,score_3"
  some = run(workdir, FEW, "--dry_run", other, two).stdout.splitlines()
  assert [line.split()[0] for line in some] == ["stage", "score_3", "divide"]
  told = run(workdir, FEW, "--dry_run", "--json", other, fast=True).stdout
  assert {row["name"]: row["status"] for row in json.loads(told)} == status
  assert pending == [
    "divide",
    "student_final",
    "encode_student_final",
    "evaluate_student_final",
    "accept_student_final",
  ]


def test_a_dry_run_takes_no_file_for_a_folder(tmp_path):
  path = tmp_path / "file"
  path.touch()
  done = run(path, "--dry_run", code=2)
  assert f"--workdir: {path} is a file, or in one" in done.stderr


def test_a_second_run_of_a_folder_is_refused(tmp_path):
  with presence.held(tmp_path, dict):
    before = {*tmp_path.iterdir()}
    done = run(tmp_path, "--stages=student_warm", code=2, fast=True)
    assert {*tmp_path.iterdir()} <= before | {tmp_path / presence.PROGRESS}
    who = presence.look(tmp_path).who
  line = done.stderr.splitlines()[-1]
  assert f"a run is at work in {tmp_path}, process {who['pid']} on" in line
  assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("stages.mine_1.dept=3", "did you mean config.stages.mine_1.dep"),
    ("stages.mine_1.encoded=encode_d", "which is no stage before it"),
    ("models.student.layers=3", "not a tuple"),
    ("models.ce.heads=3", "config.models.ce.heads is 3, which"),
    ("stages.student_de.method=prodd", "prodd.py"),
    ("stages.student_ce_1.anchor=", "needs an anchor"),
    ("stages.ce_1.model=student", "trains a model of kind cross"),
    (
      "stages.ce_1.model=cee",
      "model is 'cee', and there is no such model; known:",
    ),
    ("stages.student_de.init=mine_1", "takes one of kind train"),
    ("stages.student_de.init=teacher_de", "trains model teacher_de"),
    (
      "stages.evaluate_teacher_de.metrics=('mrp@10',)",
      "config.stages.evaluate_teacher_de.metrics: unknown metric",
    ),
    ("mesh.data=3", "does not fit 8 devices"),
    ("data.passage_lenght=3", "did you mean config.data.passage_len"),
    ("data.name=folder", "config.data.path"),
  ],
)
def test_a_wrong_override_is_found_before_anything(tmp_path, override, message):
  path = str(REPO / QUICKSTART)
  with pytest.raises(strict.ConfigError) as error:
    run = Run(
      config_file.load(path, [override]), Processes(tmp_path), may_fetch=False
    )
    files.check(run)
    main.check(run)
    main.look(run)
  assert message in str(error.value)


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("--config.stages.mine_1.dept=3", "did you mean config.stages.mine_1.dep"),
    ("--processes=2", "needs all three"),
    ("--stage=a", "stage"),
  ],
)
def test_a_wrong_argument_stops_at_once(tmp_path, argument, message):
  done = run(tmp_path, argument, code=2)
  assert message in done.stderr
  assert "Traceback" not in done.stderr
  assert not list(tmp_path.glob("*/STARTED.json"))


# What a kill is tested on: enough steps, batches and blocks to be in the middle
# of; each is logged, and what it has made is kept at once.
LONG = (
  "--config.data.name=folder",
  "--config.models.student.width=16",
  "--config.stages.encode_student_warm.batch_tokens=128",
  "--config.stages.student_warm.steps=0",
  "--config.stages.student_warm.warmup_steps=0",
  "--config.stages.mine_1.block_queries=8",
  "--config.stages.student_de.steps=20",
  "--config.stages.student_de.checkpoint_every=5",
  "--config.stages.student_de.init=student_warm",
  "--config.stages.student_de.scores=encode_student_warm",
  "--config.stages.mine_1.encoded=encode_student_warm",
  "--stages=student_warm,encode_student_warm,mine_1,student_de",
)


def stop_at(workdir, line, *arguments, by=signal.SIGKILL):
  """Runs until a line is logged that matches, or to its end without one.

  Returns what was logged, and the exit code.
  """
  words = command(workdir, *arguments)[3:]
  done = commands.run("tests.stopped", line, str(int(by)), *words)
  return done.stderr, done.returncode


@pytest.mark.long
def test_a_killed_and_a_preempted_run_end_bit_identical(tmp_path):
  data = f"--config.data.path={write_folder(tmp_path / 'small')}"
  arguments = (*LONG, data)
  run(tmp_path / "whole", *arguments)
  # Nothing depends on who looks on.
  arguments = (*arguments, "--config.trackers=('tensorboard',)")
  killed = tmp_path / "killed"
  passages = killed / "01-encode_student_warm/passages"
  _, code = stop_at(killed, "encode_student_warm: [4-6]. of", *arguments)
  assert code == -signal.SIGKILL
  standing = look.look(killed)
  encode = standing.stages[1]
  assert encode.name == "encode_student_warm"
  assert encode.state == look.UNFINISHED
  assert not standing.presence.alive and "ended" not in standing.presence.who
  (folder,) = passages.iterdir()
  assert folder.suffix == ".pieces" and len(list(folder.glob("*.npz"))) > 2
  rest, code = stop_at(
    killed,
    "encode_student_warm: [7-9]. of",
    *arguments,
    by=signal.SIGTERM,
  )
  assert code == PREEMPTED
  said = r"stopped encode_student_warm with \d+ of 120 passages made; all"
  assert re.search(said, rest), rest
  assert re.match(said, presence.look(killed).who["outcome"])
  said, code = stop_at(killed, "mine_1: 24 of 64 queries", *arguments)
  assert code == -signal.SIGKILL, said[-4000:]
  assert {p.suffix for p in passages.iterdir()} == {"", ".json"}
  mined = tmp_path / "killed" / "11-mine_1"
  blocks = len(list(mined.glob("blocks/*")))
  assert blocks in (3, 4) and look.look(killed).stages[11].kept == 8 * blocks
  rest, code = stop_at(
    killed, "mine_1: 40 of 64 queries", *arguments, by=signal.SIGTERM
  )
  assert code == PREEMPTED, rest[-4000:]
  # The signal may come when the last block is made.
  assert re.search(r"stopped (mine_1 with \d+ of 64|before student_de)", rest)
  _, code = stop_at(killed, "student_de: checkpoint at step 5", *arguments)
  assert code == -signal.SIGKILL
  rest, code = stop_at(
    killed, "student_de: checkpoint at step 10", *arguments, by=signal.SIGINT
  )
  assert code == INTERRUPTED
  step = re.search(r"stopped student_de at step (\d+) of 20, saved", rest)[1]
  assert look.look(killed).stages[12].checkpoint == int(step)
  said, code = stop_at(killed, "", *arguments)
  assert code == 0, said[-4000:]
  assert "mine_1: cached" in said
  assert f"goes on from its checkpoint at step {step}" in said
  for name in (
    "01-encode_student_warm/passages/000000000-000000120/vectors.npy",
    "11-mine_1/candidates/ids.npy",
    "11-mine_1/candidates/score.npy",
    "12-student_de/params.safetensors",
  ):
    whole = (tmp_path / "whole" / name).read_bytes()
    assert (tmp_path / "killed" / name).read_bytes() == whole, name
  standing = look.look(killed)
  done = {stage.name for stage in standing.stages if stage.state == look.DONE}
  assert done == {*LONG[-1].removeprefix("--stages=").split(",")}
  assert standing.presence.who["outcome"] == "done"
  for name in ("01-encode_student_warm", "12-student_de"):
    whole, other = (
      json.loads((tmp_path / run / name / "DONE.json").read_text())
      for run in ("whole", "killed")
    )
    assert whole["hash"] == other["hash"]
    assert whole["origin"]["config_hash"] == other["origin"]["config_hash"]
  told = (killed / "trackers/tensorboard/told.jsonl").read_text().splitlines()
  steps = {}
  for series, step, metrics in map(json.loads, told):
    steps.setdefault(series, []).append(step)
    assert metrics.keys() >= {"loss", "learning_rate", "grad_norm"}
  # A step that was lost to a kill is told of once.
  first = steps["student_de"][0]
  assert steps == {"student_de": list(range(first, first + 20))}


@pytest.mark.parametrize(
  ("name", "last", "stages"),
  [
    ("medquad", "student_warm", "student_warm,encode_student_warm,"),
    pytest.param("boolq", "student_final", "", marks=pytest.mark.long),
  ],
)
def test_a_folder_runs_by_path(tmp_path, name, last, stages):
  """The configs for a folder, on one of our own making."""
  path = write_folder(tmp_path / "small")
  config = f"configs/{name}.py:runlocal,data.path={path}"
  some = [f"--stages={stages}evaluate_{last}"] if stages else []
  # The whole one is compiled as it is for everyone.
  done = run(tmp_path / name, *some, config=config, fast=bool(some))
  assert last in done.stdout
  rows = json.loads((tmp_path / name / "results.json").read_text())
  assert {row["dataset"] for row in rows} == {"small"}
