"""The report of a run as one HTML page that needs nothing else.

Here are its order and its words; figures and examples are made elsewhere.
What a run does not have is said in the place where it would stand.
"""

import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prod_jax import storage
from prod_jax.report import (
  elements,
  examples,
  expected,
  figures,
  following,
  origins,
  picture,
  record,
  scorecards,
  tables,
)
from prod_jax.report.markup import Tag, missing, tag


def write_page(
  workdir: str | pathlib.Path,
  *,
  query_text: Callable[[str], str],
  passage_text: Callable[[str], tuple[str, str]],
  qrels: examples.Qrels,
) -> pathlib.Path:
  """Writes `report.html` into the workdir.

  Args:
    workdir: of the run.
    query_text: query id to its words.
    passage_text: passage id to its title and text.
    qrels: {query id: {passage id: grade}} of the split that was evaluated.

  Returns:
    The page's path.
  """
  run = record.load(pathlib.Path(workdir))
  texts = examples.Texts(query_text, passage_text)
  page = elements.document(
    f"{run.dataset}, {run.workdir.resolve().name}",
    [tag("p", tables.scope(run), class_="quiet"), _lead(run)],
    [
      *_curriculum(run),
      *figures.progression(run),
      *figures.losses(run),
      *figures.distributions(run),
      *_scorecards(run),
      *expected.section(run),
      *examples.section(run, texts, qrels),
      *following.section(run),
      *_all_results(run),
    ],
  )
  path = run.workdir / "report.html"
  storage.write_text(path, page)
  return path


def _lead(run: record.Run) -> Tag:
  gap = tables.gap(run)
  if gap is None or gap.closed is None:
    return tag("p", elements.sentence(tables.gap_text(gap)), class_="lead")
  return tag(
    "p",
    "The student's MRR@10 went from ",
    tag("strong", tables.number(gap.first[0])),
    f" ({gap.first[1]}) to ",
    tag("strong", tables.number(gap.best[0])),
    f" ({gap.best[1]}): ",
    tag("strong", f"{100 * gap.closed:.0f}%"),
    f" of the way to its best teacher, {gap.teacher[1]} at "
    f"{tables.number(gap.teacher[0])}.",
    class_="lead",
  )


def _curriculum(run: record.Run) -> Iterator[Tag]:
  yield tag("h2", "The curriculum")
  caption = (
    "A box is a train stage with its MRR@10, a lane one model. Thick lines "
    "teach, thin ones start from the weights before, dashed ones feed what the "
    "sign at their beginning has made, and dotted ones come from a gate, which "
    "says whether a stage runs. Small signs of a box say that its model was "
    "embedded (two strokes), measured (bars), and taken on or not (a tick or a "
    "cross). A dashed outline has not run."
  )
  drawn = elements.scrolling("curriculum", *picture.pictures(run))
  yield tag("figure", drawn, tag("figcaption", caption))
  head = ["stage", *tables.METRICS.values(), tables.GAIN, "seconds"]
  rows: list[tuple[list[str | Tag], bool]] = [
    (
      [_stage(row), *map(row.cell, tables.METRICS), row.gain, row.time],
      row.model == record.STUDENT,
    )
    for row in tables.rows_of(run)
  ]
  yield elements.table(head, rows, words=1)
  for note in tables.notes(run):
    yield tag("p", elements.sentence(note), class_="quiet")


def _stage(row: tables.Row) -> Tag:
  by = f"taught by {row.taught_by or 'nobody'}"
  if row.taught_by in (tables.AS_IT_IS, tables.TOGETHER):
    by = row.taught_by
  return tag("span", tag("b", row.stage), tag("span", by, class_="by"))


def _scorecards(run: record.Run) -> Iterator[Tag]:
  yield tag("h2", "Before each distillation")
  rows = [(row.cells, row.is_student) for row in scorecards.rows(run)]
  if not rows:
    yield missing("No stage has learnt from cached scores of lists.")
    return
  yield tag("p", scorecards.EXPLAINED, class_="quiet")
  yield elements.table(scorecards.HEAD, rows, words=2)
  for note in scorecards.notes(run):
    yield tag("p", f"{note}.", class_="quiet")


def _all_results(run: record.Run) -> Iterator[Tag]:
  yield tag("h2", "All results, and the config")
  head = ["evaluate stage", "of", "split", "index", "metric"]
  head += ["value", "queries", "index recall"]
  rows = [(_result(row), _is_student(run, row)) for row in run.results]
  if rows:
    title = tag("summary", f"{len(rows):,} results")
    yield tag("details", title, elements.table(head, rows, words=5))
  else:
    yield missing("There are no results yet.")
  for line in origins.lines(run):
    yield tag("p", elements.sentence(line), class_="quiet")
  config = json.dumps(run.config, indent=2, ensure_ascii=False)
  yield tag("details", tag("summary", "Config"), tag("pre", config))


def _result(row: Mapping[str, Any]) -> list[str | Tag]:
  recall = row.get("index_recall")
  index = row["index"]
  if row.get("width"):
    index = f"{index}, {row['width']} coordinates"
  return [
    *(str(row[key]) for key in ("stage", "model_stage", "split")),
    index,
    row["metric"],
    f"{row['value']:.4f}" if record.is_number(row["value"]) else tables.ABSENT,
    f"{row['queries']:,}",
    tables.ABSENT if recall is None else f"{recall:.4f}",
  ]


def _is_student(run: record.Run, row: Mapping[str, Any]) -> bool:
  stage = run.stages.get(row["model_stage"])
  return stage is not None and stage.model == record.STUDENT
