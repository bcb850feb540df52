"""docs/ADD_A_DATASET.md does what it says."""

import json

import pytest

from tests import pages
from tests.main_test import write_folder

PAGE = "ADD_A_DATASET.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A repository with the page's data set, and a set of that form."""
  folder = pages.done(PAGE, tmp_path_factory.mktemp("repository"))
  texts = write_folder(folder / "texts") / "collection.tsv"
  rows = [line.split("\t") for line in texts.read_text().splitlines()]
  (folder / "set").mkdir()
  (folder / "set" / "faq.jsonl").write_text(
    "".join(
      json.dumps({"id": name, "question": text[:24], "answer": text}) + "\n"
      for name, _, text in rows
    )
  )
  return folder


@pytest.mark.long
def test_the_example_is_read_and_learnt_from(folder):
  words = [
    word.replace("/path/to/folder", str(folder / "set"))
    for word in pages.command(PAGE)
  ]
  stages = "--stages=student_warm,encode_student_warm,evaluate_student_warm"
  run = pages.run(folder, *words, stages)
  assert run.returncode == 0, run.stderr[-4000:]
  results = json.loads((folder / "runs" / "faq" / "results.json").read_text())
  assert {row["dataset"] for row in results} == {"set"}
  assert {row["stage"] for row in results} == {"evaluate_student_warm"}
  assert all(5 < row["queries"] < 30 for row in results)  # an eighth of 120


def test_the_tests_of_the_example_pass(folder):
  run = pages.run(folder, "-m", "pytest", "-q", "tests/sets/faq_test.py")
  assert run.returncode == 0, run.stdout[-4000:]
  assert "4 passed" in run.stdout


def test_a_set_that_is_not_there_is_named(folder):
  words = [word for word in pages.command(PAGE) if "data.path" not in word]
  run = pages.run(folder, *words, "--dry_run")
  assert run.returncode == 2, run.stderr[-4000:]
  assert "data.path: expected a folder with faq.jsonl" in run.stderr
