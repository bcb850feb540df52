"""Faults put into runs: the short form, the page, and what the judge sees."""

import json

from tests import commands
from tests.chaos import page


def test_after_a_fault_the_results_are_the_same_or_a_line_says_why(tmp_path):
  """Eight of them; `make chaos` tries hundreds."""
  done = commands.run("tests.chaos", "--short", f"--folder={tmp_path}")
  assert done.returncode == 0, done.stdout + done.stderr[-3000:]
  assert len(done.stdout.splitlines()) == 8


def test_the_page_is_what_its_files_say():
  assert page.PAGE.read_text() == page.render()


def test_a_page_shows_tables_plots_and_what_was_not_run(tmp_path):
  said = {
    "title": "Faults",
    "command": "make chaos",
    "commit": "abc",
    "machine": "a machine",
    "python": "3.11",
    "columns": ["fault", "trials"],
    "rows": [["cut | torn", 3], ["all", 3]],
    "notes": ["Mended: one."],
    "plot": "faults.svg",
  }
  (tmp_path / "faults.json").write_text(json.dumps(said))
  text = page.render(tmp_path)
  assert "| fault | trials |\n|---|---:|\n| cut \\| torn | 3 |" in text
  assert "(../benchmarks/reliability/faults.svg)" in text
  assert "`make chaos`, commit abc, Python 3.11, a machine." in text
  assert "## Bad input\n\nNot run.\n" in text
