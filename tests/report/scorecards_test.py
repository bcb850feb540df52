"""What teachers' scores were like, as a table; and who is drawn denoised."""

import json
import re

import pytest

from prod_jax import report
from prod_jax.report import lineage, picture, record, scorecards
from prod_jax.report.markup import render
from tests.report.conftest import QRELS, passage_text, query_text
from tests.report.lineage_test import SPACING, edges


def judge(name, **changes):
  figures = dict(
    temperature=4.0,
    extent=1.25,
    deviation=0.5,
    entropy=0.912,
    one_hot=0.0,
    flat=0.25,
    above_positive=0.125,
  )
  return dict(name=name, **figures | changes)


@pytest.fixture
def found():
  return {
    "lists": 2000,
    "of_lists": 64000,
    "columns": 8,
    "drawn": True,
    "teacher": judge("teacher_de", above_positive=None),
    "retriever": {**judge("student_warm", entropy=0.5), "is_student": True},
    "agreement": 0.4567,
    "suggested_temperature": 0.7654,
    "reason": "so",
  }


def leave(workdir, found, stage="student_de"):
  (folder,) = workdir.glob(f"*-{stage}")
  (folder / "scores.json").write_text(json.dumps(found))


def page(workdir) -> str:
  path = report.write_page(
    workdir, query_text=query_text, passage_text=passage_text, qrels=QRELS
  )
  return path.read_text(encoding="utf-8")


def test_a_row_a_judge(workdir, found):
  leave(workdir, found)
  run = record.load(workdir)
  teacher, student = scorecards.rows(run)
  figures = ("4", "1.25", "0.5", "0.912", "0%", "25%", "-", "0.457", "0.765")
  assert teacher.cells == ("student_de", "teacher_de", *figures)
  figures = ("4", "1.25", "0.5", "0.5", "0%", "25%", "12%", "-", "-")
  assert student.cells == ("student_de", "student_warm", *figures)
  assert len(scorecards.HEAD) == len(student.cells)
  assert (teacher.is_student, student.is_student) == (False, True)
  assert list(scorecards.notes(run)) == [
    "student_de: 2,000 of 64,000 lists, 8 columns as drawn"
  ]


def test_the_page_has_the_table_or_says_that_there_is_none(workdir, found):
  none = "No stage has learnt from cached scores of lists."
  assert none in page(workdir)
  leave(workdir, {**found, "retriever": None, "agreement": None})
  text = re.sub(r"<[^>]*>", " ", page(workdir))
  assert none not in text
  assert "nobody's result" in text and "0.765" in text


def test_what_a_pending_stage_left_does_not_count(workdir, found):
  leave(workdir, found, stage="student_final")
  assert not list(scorecards.rows(record.load(workdir)))


def test_a_denoise_stage_is_drawn_and_teaches(workdir):
  path = workdir / "curriculum.json"
  left = json.loads(path.read_text())
  *before, last = left["stages"]
  denoise = dict(before[-1], name="clean", kind="denoise", dir="99-clean")
  denoise["inputs"] = {"candidates": "mine_1", "scores": "score_1"}
  last["inputs"] = {"candidates": "clean", "scores": "clean"}
  path.write_text(json.dumps({**left, "stages": [*before, denoise, last]}))
  run = record.load(workdir)
  found = edges(lineage.layout(run, SPACING))
  assert found["score_1", "clean"] == "feeds"
  assert found["clean", "student_final"] == "teaches"
  drawn = render(picture.pictures(run)[0])
  assert drawn.count("node denoise") == 1
