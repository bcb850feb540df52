"""The rows of a run as text and as markdown."""

import json

import pytest

from prod_jax import report
from prod_jax.report import record, tables

TABLE = """\
tiny, split test, 3 queries

stage          taught by    MRR@10  nDCG@10  recall@100              gain [95 %]  seconds
student_warm   labels        0.250    0.300       0.500                        -       90
teacher_de     labels        0.500    0.550       0.900                        -       90
student_de     teacher_de    0.400    0.450       0.750  +0.150 [+0.000, +0.450]       90
ce_1           labels        0.650    0.700       0.600                        -       90
student_final  ce_1        not run  not run     not run                        -  not run

reranked: ce_1 ordered the first 10 of teacher_de; their recall is that of \
these lists
gap closed: 38% in MRR@10 = (0.400 student_de - 0.250 student_warm) / \
(0.650 ce_1 - 0.250 student_warm)"""  # noqa: E501


def test_the_table_of_the_terminal(workdir):
  assert report.table(workdir) == TABLE


def test_rows_are_the_train_stages(workdir):
  rows = tables.rows_of(record.load(workdir))
  assert [row.stage for row in rows] == [
    "student_warm",
    "teacher_de",
    "student_de",
    "ce_1",
    "student_final",
  ]
  assert rows[2].taught_by == "teacher_de"
  assert rows[2].values == {"mrr@10": 0.4, "ndcg@10": 0.45, "recall@100": 0.75}
  assert rows[2].seconds == 90
  assert rows[4].missing == "not run"
  assert rows[4].seconds is None


def test_an_ensemble_stands_behind_its_train_stage(workdir):
  path = workdir / "results.json"
  found = json.loads(path.read_text())
  both = [r for r in found if r["model_stage"] == "ce_1"]
  found += [r | {"model_stage": "ce_1+encode_de", "value": 0.7} for r in both]
  path.write_text(json.dumps(found))
  rows = tables.rows_of(record.load(workdir))
  alone, together = (row for row in rows if row.stage.startswith("ce_1"))
  assert alone.values["mrr@10"] == 0.65
  assert together.values["mrr@10"] == 0.7
  assert together.taught_by == "the mean of both"


def test_what_ran_and_was_not_measured_is_a_dash(workdir):
  (workdir / "results.json").unlink()
  text = report.table(workdir)
  assert text.startswith("tiny: nothing is measured yet\n")
  line = next(x for x in text.splitlines() if x.startswith("student_de"))
  assert line.split() == ["student_de", "teacher_de", *"----", "90"]
  assert text.endswith(
    "that was not refused and of another, by evaluate stages"
  )


def test_the_gap_is_from_the_first_student_to_the_best_teacher(workdir):
  gap = tables.gap(record.load(workdir))
  assert gap.first == (0.25, "student_warm")
  assert gap.best == (0.4, "student_de")
  assert gap.teacher == (0.65, "ce_1")
  assert gap.closed == pytest.approx(0.375)


def test_a_refused_student_closes_no_gap(refused):
  gap = tables.gap(record.load(refused))
  assert gap.first == gap.best == (0.25, "student_warm")
  assert gap.closed == 0


def test_a_student_as_it_is_is_where_the_gap_begins(workdir):
  path = workdir / "results.json"
  rows = json.loads(path.read_text())
  same = [r for r in rows if r["model_stage"] == "student_warm"]
  rows += [r | {"model_stage": "student", "value": 0.1} for r in same]
  path.write_text(json.dumps(rows))
  run = record.load(workdir)
  run.config["models"]["student"] = {}
  assert tables.rows_of(run)[0].taught_by == "as it is"
  assert tables.gap(run).first == (0.1, "student")


def test_no_gap_without_a_teacher_ahead():
  gap = tables.Gap((0.5, "a"), (0.6, "b"), (0.4, "c"))
  assert gap.closed is None
  assert "there was none" in tables.gap_text(gap)


def test_markdown_has_the_settings_and_what_did_not_run(workdir):
  text = report.write_results_markdown([workdir, workdir])
  assert text.count("\n## run\n") == 2
  assert text.startswith(
    "# Results\n\nWritten by `python -m prod_jax.cli.report --markdown "
    f"{workdir} {workdir}`"
  )
  assert "tiny, split test, 3 queries; tokens of a query 24" in text
  assert "\n- made with seed 7; config hash, data, " in text
  line = (
    "| student_de | teacher_de | prod | 120 | 32 | 0.0003 | 0.400 | 0.450 | "
    "0.750 | +0.150 [+0.000, +0.450] | 90 |"
  )
  assert line in text
  assert "| student_final | ce_1 | - | - | - | - | not run |" in text


def test_markdown_is_a_table_whatever_the_names(workdir):
  path = workdir / "curriculum.json"
  text = path.read_text().replace("student_warm", "student|warm")
  path.write_text(text)
  lines = report.write_results_markdown([workdir]).splitlines()
  rows = [x.replace("\\|", "") for x in lines if x.startswith("|")]
  assert {row.count("|") for row in rows} == {12}
  assert len(rows) == 7
  assert len(json.loads(text)["stages"]) == 14
