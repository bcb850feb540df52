"""The page as a whole: well-formed, alone, escaped, and never at a loss."""

import html.parser
import json
import re
import shutil
import types

import pytest

from prod_jax import main, report
from prod_jax.processes import Processes
from prod_jax.report import style
from prod_jax.sets.records import Query
from tests.report.conftest import QRELS, passage_text, query_text


class Nesting(html.parser.HTMLParser):
  """Fails where an element is closed that is not the open one."""

  def __init__(self):
    super().__init__()
    self.open, self.seen = [], []

  def handle_starttag(self, name, attributes):
    self.seen.append((name, dict(attributes)))
    if name not in ("meta", "wbr"):
      self.open.append(name)

  def handle_endtag(self, name):
    assert self.open.pop() == name


def write(workdir) -> str:
  path = report.write_page(
    workdir, query_text=query_text, passage_text=passage_text, qrels=QRELS
  )
  assert path == workdir / "report.html"
  return path.read_text(encoding="utf-8")


def parsed(page: str) -> list[tuple[str, dict]]:
  parser = Nesting()
  parser.feed(page)
  assert parser.open == []
  return parser.seen


def test_the_page_is_well_formed_and_needs_nothing_else(workdir):
  page = write(workdir)
  names = {name for name, _ in parsed(page)}
  assert page.startswith("<!doctype html>")
  assert not names & {"script", "link", "img", "iframe"}
  assert not re.search(r"https?:|url\(|@import", page)
  assert "nan" not in re.findall(r' d="([^"]*)"', page)


def test_each_picture_has_a_title_and_a_description(workdir):
  seen = parsed(write(workdir))
  svgs = [at for at, (name, _) in enumerate(seen) if name == "svg"]
  assert len(svgs) == 2 + 2 + 4 + 2  # curriculum, metrics, losses, scores
  for at in svgs:
    assert seen[at][1]["role"] == "img"
    assert [seen[at + 1][0], seen[at + 2][0]] == ["title", "desc"]


def test_the_curriculum_shows_mrr_and_what_has_not_run(workdir):
  page = write(workdir)
  for shape in ("wide", "tall"):
    picture = re.search(rf'<svg class="curriculum {shape}".*?</svg>', page)[0]
    assert picture.count("<rect") == 3 + 5  # lanes and train stages
    for words in ("MRR@10 0.250", "MRR@10 0.650", ">not run<", ">student_de<"):
      assert words in picture
    assert picture.count("edge teaches") == 2
    assert picture.count("node train pending student") == 1
    assert picture.count("node mine") == picture.count("node score") == 1


def test_the_story_is_told_first(workdir):
  text = re.sub(r"<[^>]*>", "", write(workdir))
  assert (
    "The student's MRR@10 went from 0.250 (student_warm) to 0.400 (student_de)"
  ) in text
  assert "of the way to its best teacher, ce_1 at 0.650." in text
  assert "21 results" in text
  assert '"query_length": 24' in text


def test_it_says_what_to_do_next(workdir):
  page = write(workdir)
  command = (
    f"prod_jax export --workdir={workdir} --stage=student_de --to=FOLDER"
  )
  assert f'<pre class="command"><code>{command}</code></pre>' in page
  assert "user-select: all" in page


def test_a_curve_has_its_learning_rate_where_it_was_logged(workdir):
  assert "learning rate up to" not in write(workdir)
  (folder,) = workdir.glob("*-student_de")
  rows = [
    json.dumps({"step": step, "loss": 1.0, "learning_rate": 3e-4 / step})
    for step in (1, 2, 3)
  ]
  (folder / "metrics.jsonl").write_text("\n".join(rows))
  page = write(workdir)
  assert page.count("learning rate up to 0.0003") == 1
  assert page.count('class="rate"') == 1
  assert "learning rate 0.0001" in page


def test_everything_is_escaped(workdir):
  evil = "<script>alert(1)</script>"
  path = workdir / "curriculum.json"
  record = json.loads(path.read_text())
  record["dataset"] = record["config"]["note"] = evil
  for stage in record["stages"]:
    stage["taught_by"] = stage["taught_by"] and evil
    stage["model"] = stage["model"] and evil
  path.write_text(json.dumps(record))
  page = write(workdir)
  assert "<script" not in page
  assert "&lt;script&gt;" in page
  parsed(page)


@pytest.mark.parametrize("status", ["pending", "done"])
def test_a_run_without_artefacts_makes_a_page_that_says_so(workdir, status):
  for folder in workdir.iterdir():
    if folder.is_dir():
      shutil.rmtree(folder)
  (workdir / "results.json").unlink()
  path = workdir / "curriculum.json"
  text = re.sub('"(done|pending)"', f'"{status}"', path.read_text())
  path.write_text(text)
  page = write(workdir)
  for words in (
    "nothing is measured yet",
    "No stage of the student has been measured.",
    {"pending": "Not run: student_warm", "done": "Nothing is logged"}[status],
    {"pending": "score_1: not run", "done": "there are no scores"}[status],
    "It takes the runs of two student stages",
    "There are no results yet.",
  ):
    assert words in page
  parsed(page)


def test_a_run_of_no_stages_makes_a_page(workdir):
  record = {"config": {}, "dataset": "tiny", "stages": []}
  (workdir / "curriculum.json").write_text(json.dumps(record))
  (workdir / "results.json").write_text("[]")
  assert "This run has no score stage." in write(workdir)


def test_the_page_takes_the_place_of_a_link(workdir, tmp_path):
  own = tmp_path / "own"
  own.write_text("precious")
  (workdir / "report.html").symlink_to(own)
  write(workdir)
  assert own.read_text() == "precious"


def test_the_style_sheet_survives_escaping():
  assert not set("<>&") & set(style.SHEET)


def test_the_page_of_a_run_has_queries_and_labels_of_one_split(
  workdir, monkeypatch
):
  """Ids are unique in a split alone."""
  queries = {
    "test": [Query("q1", "of the test", (("p1", 1),))],
    "dev": [Query("q1", "of dev", (("p2", 1),)), Query("q9", "other", ())],
  }
  dataset = types.SimpleNamespace(queries=queries)
  dataset.qrels = lambda split: {
    q.id: dict(q.positives) for q in queries[split]
  }
  run = types.SimpleNamespace(
    workdir=workdir, dataset=dataset, processes=Processes(workdir)
  )
  asked = {}

  def write_page(folder, **given):
    asked.update(given)
    return folder / "report.html"

  monkeypatch.setattr(report, "write_page", write_page)
  main._report(run)
  assert asked["qrels"] == {"q1": {"p1": 1}}
  assert asked["query_text"]("q1") == "of the test"
