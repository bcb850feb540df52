"""The command with what a user brings, and lists for other trainers."""

import json
import os

import numpy as np
import pytest

from prod_jax.batches.lists import Candidates, load_lists
from prod_jax.export import card, finished
from tests import commands
from tests.main_test import run, write_folder

IMPORTED = "configs/imported.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A set with a copy of p0, negatives of the user's, and a judged zero."""
  folder = write_folder(tmp_path_factory.mktemp("imported") / "set")
  collection = (folder / "collection.tsv").read_text()
  first = collection.splitlines()[0].split("\t")
  (folder / "collection.tsv").write_text(
    f"{collection}copy\t{first[1]}\t{first[2]}\n"
  )
  (folder / "negatives.train.tsv").write_text(
    "q0 copy\nq0\tp9\tand more\nq1\tp8\nq2 p2\nq77 p1\n"
  )
  with open(folder / "qrels.train.tsv", "a") as file:
    file.write("q1\t0\tp7\t0\nq3\t0\tp6\t0\n")
  return folder


@pytest.fixture(scope="module")
def scores(folder):
  """A teacher's probabilities, as a sentence-transformers user has them."""
  path = folder / "scores.jsonl"
  rng = np.random.default_rng(1)
  with open(path, "w") as file:
    for i in range(64):
      others = [f"p{j}" for j in rng.choice(100, 5, False) if j not in (0, i)]
      line = {
        "query_id": f"q{i}",
        "pos_id": [f"p{i}"],
        "pos": ["cut"],
        "pos_scores": [0.98],
        "neg": others,
        "neg_scores": (rng.random(len(others)) / 2).tolist(),
      }
      file.write(json.dumps(line) + "\n")
  return path


def config(folder, variant="runlocal", **changes):
  overrides = ",".join(f"{k}={v}" for k, v in changes.items())
  return f"{IMPORTED}:{variant},data.path={folder},{overrides}"


@pytest.fixture(scope="module")
def done(folder, scores, tmp_path_factory):
  """A run of the config, and where it is."""
  workdir = tmp_path_factory.mktemp("imported-work")
  taught = config(folder, **{"stages.teacher.path": scores})
  return run(workdir, config=taught), workdir


def lists(workdir, stage):
  (found,) = workdir.glob(f"*-{stage}")
  return load_lists(Candidates, found / "candidates"), found


def test_a_student_learns_from_scores_of_another_tool(done):
  result, workdir = done
  assert "scores that become logits: mean" in result.stderr
  (metrics,) = workdir.glob("*-student/metrics.jsonl")
  row = json.loads(metrics.read_text().splitlines()[-1])
  assert np.isfinite(row["loss"]) and row["kd"] > 0
  record = json.loads((workdir / "curriculum.json").read_text())
  by_name = {stage["name"]: stage for stage in record["stages"]}
  assert by_name["student"]["taught_by"] == "teacher"
  summary = by_name["teacher"]["summary"]
  assert summary["queries"] == 64 and summary["missing"] == 0
  assert summary["score_max"] == 0.98
  made, found = lists(workdir, "teacher")
  written = np.load(found / "scores.npy")
  assert (np.isnan(written) == (made.ids < 0)).all()
  assert written[0, 0] == pytest.approx(np.log(0.98 / 0.02), abs=1e-4)


def test_a_card_and_a_report_say_whose_scores_they_were(done, tmp_path):
  result, workdir = done
  row = next(x for x in result.stdout.splitlines() if x.startswith("student"))
  assert row.split()[1] == "teacher"
  trained = finished.open_stage(workdir, "student")
  card.write(tmp_path / "README.md", trained, card.Where("student"), {})
  text = (tmp_path / "README.md").read_text()
  assert "mean pooling, taught by scores of scores.jsonl. Made" in text
  assert "| student | student | teacher | prod |" in text
  assert f"| imported by teacher | scores.jsonl | {card.UNKNOWN} |" in text


def export(workdir, stage, to, *arguments, code=0):
  made = commands.run(
    "prod_jax.cli.lists",
    f"--workdir={workdir}",
    f"--stage={stage}",
    f"--to={to}",
    *arguments,
  )
  assert made.returncode == code, made.stderr
  return made


def without_ids(text):
  """Lines whose passages are known by their texts alone."""
  ids = ("pos_id", "neg_id")
  lines = map(json.loads, text.splitlines())
  plain = [{k: v for k, v in line.items() if k not in ids} for line in lines]
  return "".join(json.dumps(line) + "\n" for line in plain)


@pytest.mark.parametrize(
  "ending",
  [
    "jsonl",
    *(pytest.param(x, marks=pytest.mark.long) for x in ("parquet", "trec")),
  ],
)
def test_lists_go_out_and_come_in_again(done, folder, tmp_path, ending):
  _, workdir = done
  to = tmp_path / f"lists.{ending}"
  assert str(to) in export(workdir, "teacher", to).stdout
  if ending == "jsonl":
    to.write_text(without_ids(to.read_text()))
  changes = {"stages.teacher.path": to, "stages.teacher.transform": ""}
  again = tmp_path / "work"
  run(again, "--stages=teacher", config=config(folder, **changes))
  first, where = lists(workdir, "teacher")
  second, there = lists(again, "teacher")
  for name in ("query", "ids", "label", "rank"):
    a, b = getattr(first, name), getattr(second, name)
    np.testing.assert_array_equal(a, b, name)
  np.testing.assert_array_equal(
    np.load(where / "scores.npy"), np.load(there / "scores.npy")
  )


@pytest.mark.parametrize(
  ("stage", "ending", "message"),
  [
    ("teacher", "csv", "it ends with .jsonl, .parquet, .trec, .run"),
    ("techer", "jsonl", "there is no stage 'techer'; known: teacher, student"),
    ("student", "jsonl", "is of kind train, which leaves no lists"),
  ],
)
def test_what_cannot_go_out(done, tmp_path, stage, ending, message):
  made = export(done[1], stage, tmp_path / f"lists.{ending}", code=2)
  assert message in made.stderr and "Traceback" not in made.stderr
  assert not os.listdir(tmp_path)


def test_a_file_that_is_there_stays_unless_it_may_go(done, tmp_path):
  to = tmp_path / "lists.trec"
  to.write_text("somebody's")
  made = export(done[1], "teacher", to, code=2)
  assert f"--to: {to} is there; --overwrite replaces it" in made.stderr
  assert "Traceback" not in made.stderr and to.read_text() == "somebody's"
  made = export(done[1], "teacher", to, "--overwrite", "--json")
  told = json.loads(made.stdout)
  assert told == {"file": str(to), "rows": len(to.read_text().splitlines())}
  assert to.read_text().startswith("q0 ")
  (tmp_path / "folder.trec").mkdir()
  made = export(done[1], "teacher", tmp_path / "folder.trec", code=2)
  assert "folder.trec is a folder; it takes a file" in made.stderr


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("teacher", "unknown arguments: teacher"),
    ("--stages=teacher", "no flag --stages; did you mean --stage?"),
    ("--workdir=nowhere", "; name the working folder of a run"),
  ],
)
def test_what_a_line_of_lists_says_wrong(done, tmp_path, argument, message):
  made = export(done[1], "teacher", tmp_path / "lists.trec", argument, code=2)
  assert message in made.stderr and "Traceback" not in made.stderr
  assert not os.listdir(tmp_path)


@pytest.mark.long
def test_the_variant_that_makes_its_lists_here(folder, tmp_path):
  def score(query: int, passage: int) -> float:
    return ((7 * query + 3 * passage) % 11 + 1) / 16

  path = tmp_path / "scores.tsv"
  passages = [*(f"p{i}" for i in range(120)), "copy"]
  path.write_text(
    "".join(
      f"q{i} {name} {score(i, j)}\n"
      for i in range(64)
      for j, name in enumerate(passages)
    )
  )
  shape = {"width": 32, "heads": 2, "mlp_width": 64, "depth": 1}
  tiny = {f"models.student.{key}": value for key, value in shape.items()}
  changes = tiny | {
    "models.student.weights": "",
    "models.student.pooling": "mean",
    "models.student.similarity": "cosine",
    "stages.mine.depth": 5,
    "stages.student.steps": 1,
    "stages.teacher.path": path,
    "stages.teacher.transform": "",
    "stages.teacher.missing": "error",
  }
  mined = config(folder, "mined", **changes)
  result = run(tmp_path / "work", config=mined)
  wanted, _ = lists(tmp_path / "work", "mine")
  made, found = lists(tmp_path / "work", "teacher")
  np.testing.assert_array_equal(made.ids, wanted.ids)
  there = made.ids >= 0
  assert len(made.query) == 64 and there.sum() > 5 * 64
  query = np.broadcast_to(made.query[:, None], made.ids.shape)
  np.testing.assert_allclose(
    np.load(found / "scores.npy")[there],
    [score(q, p) for q, p in zip(query[there], made.ids[there], strict=True)],
  )
  rows = [line.split() for line in result.stdout.splitlines()]
  assert ["student", "teacher"] in [row[:2] for row in rows]


def test_a_users_own_negatives(folder, tmp_path):
  provided = tmp_path / "own.py"
  provided.write_text(PROVIDED)
  own = f"{provided}:data.path={folder}"
  result = run(tmp_path / "a", "--stages=lists", config=own)
  made, _ = lists(tmp_path / "a", "lists")
  # q0 has the copy of its positive, and q2 its positive itself.
  assert made.query.tolist() == [0, 1]
  assert made.ids[:, :-1].max(axis=1).tolist() == [9, 8]
  assert "left out 1 negatives with the text" in result.stderr
  judged = "--config.stages.lists.grade_0=True"
  run(tmp_path / "b", "--stages=lists", judged, config=own)
  made, _ = lists(tmp_path / "b", "lists")
  assert made.query.tolist() == [0, 1, 3]
  assert [sorted(x[x >= 0]) for x in made.ids] == [[0, 9], [1, 7, 8], [3, 6]]


def test_a_split_without_negatives_is_found_before_anything(folder, tmp_path):
  provided = tmp_path / "own.py"
  provided.write_text(PROVIDED)
  own = f"{provided}:data.path={folder},stages.lists.split=test"
  for more in ([], ["--dry_run"]):
    result = run(tmp_path / "work", *more, config=own, code=2)
    assert "Put a file negatives.test.tsv into data.path" in result.stderr
    assert "it has some for train" in result.stderr
  assert not [*tmp_path.glob("work/*-*")]


def test_a_file_that_is_not_there_is_found_before_anything(folder, tmp_path):
  gone = config(folder, **{"stages.teacher.path": tmp_path / "gone"})
  for more in ([], ["--dry_run"]):
    result = run(tmp_path / "work", *more, config=gone, code=2)
    assert "gone: there is no such file" in result.stderr
  assert not [*tmp_path.glob("work/*-*")]


PROVIDED = '''"""Lists of the set's own negatives alone."""

from ml_collections import ConfigDict


def get_config():
  c = ConfigDict(sort_keys=False)
  c.seed = 1
  c.data = dict(name="folder", path="")
  c.mesh = dict(data=-1)
  c.models = dict()
  c.stages = dict(lists=dict(kind="provided", negatives=3))
  return c
'''
