"""A folder with passages alone, and what a generator asked about them."""

import json

import numpy as np
import pytest

from prod_jax.batches.lists import Candidates, load_lists
from tests import commands
from tests.export.made import classifier
from tests.main_test import run, write_uneven_folder

CONFIG = "configs/generated.py"
MADE, WRONG = 64, 16  # queries; the last of them are of another passage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Passages, queries generated of them, and no label; tests lie elsewhere."""
  folder = tmp_path_factory.mktemp("generated") / "set"
  write_uneven_folder(folder)
  lines = (folder / "queries.train.tsv").read_text().splitlines()
  queries = [line.split("\t")[1] for line in lines]
  for path in folder.glob("q*.t*"):
    if ".test." in path.name:
      path.rename(folder.parent / path.name)
    else:
      path.unlink()
  with open(folder / "queries.generated.jsonl", "w") as file:
    for number, query in enumerate(queries):
      own = number if number < MADE - WRONG else number + WRONG
      file.write(json.dumps({"query": query, "doc_id": f"p{own}"}) + "\n")
  return folder


def config(folder, variant="runlocal", **changes):
  overrides = ",".join(f"{k}={v}" for k, v in changes.items())
  return f"{CONFIG}:{variant},data.path={folder},{overrides}"


def summaries(workdir):
  record = json.loads((workdir / "curriculum.json").read_text())
  return {stage["name"]: stage["summary"] for stage in record["stages"]}


@pytest.mark.long
def test_passages_alone_end_in_a_student(folder, tmp_path):
  workdir = tmp_path / "work"
  done = run(workdir, config=config(folder), fast=True)
  assert "64 of them without labels, 64 generated" in done.stderr
  found = summaries(workdir)
  for name in ("found", "kept"):
    counts = found[name]
    assert counts["generated"] == MADE and counts["others"] == 0
    assert counts["kept"] == counts["queries"] > 0
    lost = counts["further_down"] + counts["not_retrieved"]
    assert lost == MADE - counts["kept"] > 0
    # In the table, in the log and in the report.
    assert f"{name}: {counts['why']}" in done.stdout
    assert f"{name}: {counts['why']}" in done.stderr
  page = (workdir / "report.html").read_text()
  assert found["kept"]["why"] in page and "node filter" in page
  assert found["found"]["kept"] <= MADE - WRONG
  for name, lists in (("teacher", "found"), ("learnt", "kept")):
    assert found[name]["queries"] == found[lists]["kept"]
    assert found[name]["unlabelled"] == 0
  (kept,) = workdir.glob("*-kept")
  lists = load_lists(Candidates, kept / "candidates")
  own = lists.query + WRONG * (lists.query >= MADE - WRONG)
  assert (lists.ids[lists.label] == own).all()
  assert np.load(kept / "scores.npy").shape == lists.ids.shape
  assert json.loads((workdir / "results.json").read_text()) == []
  out = tmp_path / "student"
  arguments = [f"--workdir={workdir}", "--stage=learnt", f"--to={out}"]
  exported = commands.run("prod_jax.cli.export", *arguments)
  assert exported.returncode == 0, exported.stderr[-2000:]
  assert (out / "model.safetensors").exists()


@pytest.mark.long
def test_a_teacher_as_it_is_and_queries_without_a_label(folder, tmp_path):
  for path in folder.parent.glob("q*.test.tsv"):
    (folder / path.name).write_bytes(path.read_bytes())
  changes = {
    "models.teacher.weights": classifier(tmp_path / "teacher"),
    "models.student.layers": "(0,)",
    "data.query_length": 12,
    "data.passage_length": 16,
    "stages.kept.top": 50,
    "stages.kept.label": False,
    "stages.learnt.steps": 2,
    "stages.learnt.warmup_steps": 1,
  }
  made = config(folder, "measured", **changes)
  run(tmp_path / "work", config=made, fast=True)
  found = summaries(tmp_path / "work")
  # Whatever is in its list is among its first 50.
  assert found["kept"]["further_down"] == 0 < found["kept"]["kept"]
  assert found["learnt"]["unlabelled"] == found["learnt"]["queries"]
  rows = json.loads((tmp_path / "work" / "results.json").read_text())
  assert {row["model_stage"] for row in rows} == {"student", "learnt"}
