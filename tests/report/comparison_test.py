"""Runs beside each other: what is compared, what is not, where it is said."""

import errno
import json
import re
import shutil

import pytest

from prod_jax import storage, strict
from prod_jax.cli import report as command
from prod_jax.report import comparison, comparison_page
from prod_jax.retrieval import runs
from tests import buckets
from tests.report import page_test
from tests.report.conftest import query_text

BETTER = {"q1": 0.5, "q2": 1.0, "q3": 0.25}


@pytest.fixture
def other(workdir):
  """The same run with another learning rate and a better last student."""
  folder = shutil.copytree(workdir, workdir.parent / "other")
  edit(folder / "curriculum.json", change_rate)
  edit(folder / "results.json", change_student)
  (stage,) = folder.glob("*-evaluate_de")
  runs.write_values(stage, {"mrr@10": BETTER})
  return folder


def edit(path, change):
  written = json.loads(path.read_text())
  change(written)
  path.write_text(json.dumps(written))


def change_rate(record):
  record["config"]["stages"]["student_de"]["learning_rate"] = 1e-4


def change_student(rows):
  for row in rows:
    if row["model_stage"] == "student_de" and row["metric"] == "mrr@10":
      row["value"] = 0.5833


def said(cell: str) -> str:
  """A page's text."""
  return " ".join(re.sub(r"<[^>]*>", " ", cell).split())


def test_stages_of_one_name_are_held_against_the_first_run(workdir, other):
  rows = {
    row.stage: row for row in comparison.rows(comparison.load([workdir, other]))
  }
  assert [*rows] == [
    "student_warm",
    "teacher_de",
    "student_de",
    "ce_1",
    "student_final",
  ]
  one, two = rows["student_de"].cells
  assert (one["mrr@10"], two["mrr@10"]) == ("0.400", "0.583")
  (change,) = rows["student_de"].changes
  assert change.paired.difference == pytest.approx(0.55 / 3)
  assert (change.paired.wins, change.paired.losses) == (2, 0)
  # Corrected for the two stages that have figures by query in both.
  assert change.p == min(1, 2 * change.paired.p)
  assert rows["ce_1"].changes == [None]
  assert [cells["mrr@10"] for cells in rows["student_final"].cells] == [
    "not run",
    "not run",
  ]


def test_the_last_students_are_compared_whatever_their_names(workdir, other):
  def rename(record):
    for stage in record["stages"]:
      if stage["name"] == "student_de":
        stage["name"] = "student_other"
      for role, name in stage["inputs"].items():
        if name == "student_de":
          stage["inputs"][role] = "student_other"

  edit(other / "curriculum.json", rename)
  edit(
    other / "results.json",
    lambda rows: [
      row.update(model_stage="student_other")
      for row in rows
      if row["model_stage"] == "student_de"
    ],
  )
  sides = comparison.load([workdir, other])
  (final,) = comparison.finals(sides)
  assert final.names == ("student_de", "student_other")
  assert final.change.paired.wins == 2
  rows = {row.stage: row for row in comparison.rows(sides)}
  assert rows["student_other"].cells[0]["mrr@10"] == "-"
  text = comparison.table(sides)
  assert "other ends with student_other, run with student_de: MRR@10" in text
  assert "won 2, lost 0 of 3 queries" in text
  # Of two other runs each p is worth less.
  twice = [*sides, sides[1]._replace(label="third")]
  alone, corrected = final.change.paired.p, comparison.finals(twice)
  assert [each.change.p for each in corrected] == [min(1, 2 * alone)] * 2
  found = comparison.plain(twice)["last_students"]
  assert [each["p_holm"] for each in found] == [min(1, 2 * alone)] * 2
  assert comparison.table(twice).count(f"p {min(1, 2 * alone):.4f}; won") == 2


def test_runs_of_other_data_have_no_query_in_common(workdir, other):
  for folder, data in ((workdir, "aaaa"), (other, "bbbb")):
    edit(
      folder / "curriculum.json",
      lambda record, data=data: [
        stage.update(origin={"data_fingerprint": data})
        for stage in record["stages"]
      ],
    )
  sides = comparison.load([workdir, other])
  assert comparison.finals(sides) == []
  assert all(row.changes == [None] for row in comparison.rows(sides))
  why = "run and other have measured another data, aaaa and bbbb"
  assert why in comparison.table(sides)
  # Of older runs it is not known.
  edit(
    other / "curriculum.json",
    lambda record: [stage.update(origin={}) for stage in record["stages"]],
  )
  assert comparison.unlike(comparison.load([workdir, other])) == ""


def test_runs_that_count_other_grades_are_not_compared(workdir, other):
  def of_two(record):
    for stage in record["stages"]:
      if stage["kind"] == "evaluate":
        record["config"]["stages"].setdefault(stage["name"], {})["relevant"] = 2

  edit(other / "curriculum.json", of_two)
  sides = comparison.load([workdir, other])
  assert comparison.finals(sides) == []
  why = "run and other have measured another lowest grade, relevant=1 and relev"
  assert why in comparison.table(sides)


def test_a_run_that_is_not_compared_keeps_no_other_from_it(
  workdir, other, tmp_path
):
  empty = shutil.copytree(other, tmp_path / "empty")
  (empty / "results.json").unlink()
  strange = shutil.copytree(other, tmp_path / "strange")
  (stage,) = strange.glob("*-evaluate_de")
  runs.write_values(stage, {"mrr@10": {f"x{q}": v for q, v in BETTER.items()}})
  bare = shutil.copytree(other, tmp_path / "bare")
  (stage,) = bare.glob("*-evaluate_de")
  (stage / runs.BY_QUERY).unlink()
  sides = comparison.load([workdir, empty, strange, bare, other])
  (final,) = comparison.finals(sides)
  assert final.side.label == "other" and final.change.paired.wins == 2
  assert comparison.unlike(sides) == (
    "empty has measured nothing yet, so that no query is compared; run and "
    "strange have measured other queries, so that no query is compared; bare "
    "has no figures by query of its last student"
  )
  rows = {row.stage: row for row in comparison.rows(sides)}
  *others, change = rows["student_de"].changes
  assert change.paired.wins == 2 and others == [None] * 3
  sides = comparison.load([empty, strange, bare, other])
  assert comparison.unlike(sides) == (
    "empty has measured nothing yet, so that no query is compared"
  )


def test_runs_of_one_name_are_known_by_their_paths(workdir, tmp_path):
  again = shutil.copytree(workdir, tmp_path / "deeper" / "run")
  labels = [side.label for side in comparison.load([workdir, again])]
  assert labels == [str(workdir), str(again)]
  with pytest.raises(strict.ConfigError, match="named twice"):
    comparison.load([workdir, workdir / ".." / "run"])
  with pytest.raises(strict.ConfigError, match=r"curriculum\.json: not there"):
    comparison.load([workdir, tmp_path / "none"])


def test_what_differs_in_the_configs_is_named_by_its_key(workdir, other):
  sides = comparison.load([workdir, other])
  assert list(comparison.differences(sides)) == [
    ("stages.student_de.learning_rate", ["0.0003", "0.0001"])
  ]


def test_the_page_has_it_all_and_needs_nothing_else(workdir, other, tmp_path):
  path = tmp_path / "pages" / "page.html"
  comparison_page.write(comparison.load([workdir, other]), path, query_text)
  page = path.read_text()
  seen = page_test.parsed(page)
  assert not {name for name, _ in seen} & {"script", "link", "img", "iframe"}
  assert "&lt;script&gt;" in page and "<script" not in page
  svgs = [attributes for name, attributes in seen if name == "svg"]
  legends = [a for a in svgs if a.get("aria-hidden")]
  # Two metrics, four stages' losses, one score stage of both runs.
  assert len(svgs) - len(legends) == 2 + 4 + 2
  assert len(legends) == 2 * 2
  text = said(page)
  for words in (
    "other against run",
    "has MRR@10 0.583 where run's, student_de, has 0.400 : +0.183",
    "2 better than run, 0 worse, and 1 as well",
    "stages.student_de.learning_rate 0.0003 0.0001",
    "q1 <script>",
  ):
    assert words in text.replace("&lt;", "<").replace("&gt;", ">"), words


def test_where_no_query_differs_none_is_shown(workdir, tmp_path):
  again = shutil.copytree(workdir, tmp_path / "again")
  path = tmp_path / "page.html"
  comparison_page.write(comparison.load([workdir, again]), path, query_text)
  text = said(path.read_text())
  assert "0 better than run, 0 worse, and 3 as well." in text
  assert "changed most" not in text


def test_a_page_of_runs_that_have_nothing_says_so(workdir, other, tmp_path):
  for folder in (workdir, other):
    for stage in folder.iterdir():
      if stage.is_dir():
        shutil.rmtree(stage)
    (folder / "results.json").unlink()
  path = tmp_path / "page.html"
  comparison_page.write(comparison.load([workdir, other]), path, query_text)
  text = said(path.read_text())
  for words in (
    "No stage of a student has been measured.",
    "No stage of one name has logged its losses in two runs.",
    "Run has measured nothing yet, so that no query is compared.",
  ):
    assert words in text


def run_command(capsys, *words):
  parser = command.arguments.Parser("report")
  command.build(parser)
  command.run(parser.parse([str(word) for word in words]))
  return capsys.readouterr().out


def test_the_command_compares_several_runs_and_leaves_a_page(
  workdir, other, capsys
):
  text = run_command(capsys, workdir, other)
  assert "run: tiny, split test, 3 queries" in text
  assert re.search(r"student_de +0\.400 +0\.583 +\+0\.183 \[", text)
  assert "other against run" in (workdir / "report-other.html").read_text()
  page = workdir.parent / "elsewhere.html"
  made = json.loads(
    run_command(capsys, workdir, other, "--json", f"--page={page}")
  )
  assert page.is_file()
  (stage,) = [s for s in made["stages"] if s["stage"] == "student_de"]
  assert stage["values"]["other"]["mrr@10"] == 0.5833
  assert stage["changes"]["other"]["wins"] == 2


def test_a_run_that_lets_nobody_write_is_compared(
  workdir, other, capsys, caplog, monkeypatch
):
  def refuse(sides, path, query_text):
    raise PermissionError(errno.EACCES, "Permission denied", str(path))

  monkeypatch.setattr(comparison_page, "write", refuse)
  assert "student_de" in run_command(capsys, workdir, other)
  assert "Permission denied" in caplog.text
  assert "--page=FILE names another place" in caplog.text
  with pytest.raises(PermissionError):
    run_command(capsys, workdir, other, f"--page={workdir}/own.html")


def test_json_is_of_one_run_too(workdir, capsys):
  made = json.loads(run_command(capsys, workdir, "--json"))
  assert made["runs"] == {"run": str(workdir)}
  values = {row["stage"]: row["values"]["run"] for row in made["stages"]}
  assert values["student_de"]["mrr@10"] == 0.4
  assert made["last_students"] == []


def test_a_run_in_a_bucket_is_read(workdir, monkeypatch, tmp_path, capsys):
  monkeypatch.setenv("PROD_JAX_CACHE", str(tmp_path / "machine"))
  bucket = buckets.empty("gs://bucket/run")
  storage.copy(workdir, bucket)
  made = json.loads(run_command(capsys, bucket, "--json"))
  (run,) = made["runs"].values()
  assert run.startswith(str(tmp_path / "machine"))


def test_the_command_prints_markdown_of_one_run_and_of_several_where_asked(
  workdir, other, capsys
):
  assert run_command(capsys, workdir).startswith("# Results")
  text = run_command(capsys, workdir, other, "--markdown")
  assert [*re.findall("^## (.*)", text, flags=re.M)] == ["run", "other"]
  assert not list(workdir.glob("report*.html"))
  page = workdir / "asked.html"
  run_command(capsys, workdir, other, "--markdown", f"--page={page}")
  assert page.is_file()
  for words, message in (
    ((workdir, f"--page={page}"), "--page is about several runs; that of one"),
    ((workdir, "--json", "--markdown"), "--json and --markdown are two forms"),
  ):
    with pytest.raises(strict.ConfigError, match=message):
      run_command(capsys, *words)


def test_the_command_writes_figures(workdir, other, capsys, tmp_path):
  run_command(capsys, workdir, f"--figures={tmp_path / 'one'}")
  assert (tmp_path / "one" / "curriculum-wide.svg").is_file()
  run_command(capsys, workdir, other, f"--figures={tmp_path / 'two'}")
  for label in ("run", "other"):
    assert (tmp_path / "two" / label / "mrr.svg").is_file()
