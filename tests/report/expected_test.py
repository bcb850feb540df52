"""A forecast beside its run, in words, rows and a chart."""

import json

import pytest

from prod_jax import forecast
from prod_jax.report import expected, figures, markup, record, tables
from tests.report import conftest


@pytest.fixture
def run(workdir):
  """The small run, of which three stages were measured beforehand."""
  path = workdir / "curriculum.json"
  whole = json.loads(path.read_text())
  settings = {stage["name"]: {} for stage in whole["stages"]}
  settings |= conftest.config()["stages"]
  whole["config"] |= {"mesh": {"data": -1}, "stages": settings}
  for stage in whole["stages"]:
    if stage["name"] == "score_1":
      stage |= {"status": "skipped", "summary": {"skipped": "as ce_1 was"}}
  path.write_text(json.dumps(whole))
  rows = [
    {"stage": "student_warm", "seconds": 100.0, "at_most": []},
    {"stage": "ce_1", "seconds": 60.0, "at_most": ["unless gate skips it"]},
    {"stage": "score_1", "seconds": 60.0, "at_most": []},
    {"stage": "student_final", "seconds": 60.0, "at_most": []},
  ]
  forecast.write(workdir, whole["config"], "a CPU", rows)
  return record.load(workdir)


def test_the_line_is_of_stages_that_ran(run):
  line = (
    "forecast: at most 2.7 min for the 2 stages that ran and were measured "
    "beforehand, which took 3.0 min; skipped: 1"
  )
  assert expected.note(run) == line
  assert line in tables.notes(run)


def test_rows_and_chart_have_both(run):
  page = "".join(map(markup.render, expected.section(run)))
  for cell in ("100.0", "90.0", "0.90", "≤ 60.0", "1.50"):
    assert f">{cell}<" in page, cell
  chart = markup.render(figures.drawings(run)["forecast"])
  assert "forecast 160 s, run 180 s" in chart


def test_without_a_forecast_nothing_is_said(workdir):
  run = record.load(workdir)
  assert not expected.note(run) and not [*expected.section(run)]
  assert "forecast" not in figures.drawings(run)
