"""What is read of a workdir, and what of it counts."""

import json

import pytest

from prod_jax import strict
from prod_jax.report import record


def test_exact_rows_are_quoted_and_not_those_of_an_approximate_index(workdir):
  run = record.load(workdir)
  assert run.value("student_de", "mrr@10") == 0.4
  assert run.measured["ce_1"].index == "rerank"
  assert run.measured["student_de"].queries == 3


def test_the_test_split_comes_first(workdir):
  path = workdir / "results.json"
  rows = json.loads(path.read_text())
  dev = {**rows[0], "split": "dev", "value": 0.99}
  path.write_text(json.dumps([dev, *rows]))
  run = record.load(workdir)
  assert run.split == "test"
  assert run.value("student_warm", "mrr@10") == 0.25
  path.write_text(json.dumps([dev]))
  assert record.load(workdir).value("student_warm", "mrr@10") == 0.99


def test_the_last_evaluation_of_a_model_counts(workdir):
  path = workdir / "results.json"
  rows = json.loads(path.read_text())
  again = {**rows[0], "stage": "evaluate_again", "value": 0.31}
  path.write_text(json.dumps([*rows, again]))
  run = record.load(workdir)
  assert run.measured["student_warm"].values == {"mrr@10": 0.31}


def test_a_value_that_is_no_number_is_not_measured(workdir):
  path = workdir / "results.json"
  rows = json.loads(path.read_text())
  path.write_text(json.dumps([{**rows[0], "value": float("nan")}]))
  assert record.load(workdir).measured == {}


def test_of_two_lines_of_a_step_the_later_counts(workdir):
  stage = record.load(workdir).stages["student_warm"]
  rows = record.logged(stage)
  assert [row["step"] for row in rows] == list(range(10, 101, 10))
  assert rows[2]["loss"] == 0.5  # of 2/3 and 2/4


def test_a_stage_without_metrics_has_no_lines(workdir):
  assert record.logged(record.load(workdir).stages["mine_1"]) == []


def test_a_stage_finds_who_trained_the_model_it_runs(workdir):
  run = record.load(workdir)
  found = {name: run.trainer(name) for name in run.stages}
  assert found["mine_1"].name == "teacher_de"
  assert found["score_1"].name == "ce_1"
  assert found["student_de"].name == "student_de"
  assert run.trainer("nobody") is None


def test_a_refused_student_is_not_where_the_next_one_began(refused):
  run = record.load(refused)
  assert run.refused == {"student_de"}
  assert run.began(run.stages["student_final"]) == "student_warm"
  assert run.began(run.stages["student_warm"]) == "student"
  assert run.began(run.stages["ce_1"]) == ""  # of the model that has its name


def test_an_empty_folder_is_no_run(tmp_path):
  with pytest.raises(strict.ConfigError, match=r"curriculum.json.*--workdir"):
    record.load(tmp_path)
