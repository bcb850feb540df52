"""Runs beside each other as one HTML page that needs nothing else."""

import pathlib
from collections.abc import Callable, Iterator, Sequence

from prod_jax import storage
from prod_jax.report import (
  changes,
  comparison,
  elements,
  figures,
  origins,
  plots,
  record,
  scores,
  tables,
)
from prod_jax.report.comparison import Side
from prod_jax.report.markup import Tag, missing, tag

_CHANGED = 10  # queries that are shown of each run


def write(
  sides: Sequence[Side],
  path: pathlib.Path,
  query_text: Callable[[str], str],
) -> None:
  """Writes the page.

  Args:
    sides: the runs, as `comparison.load` has them.
    path: of the page.
    query_text: query id to its words.
  """
  labels = [side.label for side in sides]
  scopes = [f"{side.label}: {tables.scope(side.run)}." for side in sides]
  page = elements.document(
    f"{', '.join(labels[1:])} against {labels[0]}",
    [*(tag("p", s, class_="quiet") for s in scopes), *_lead(sides)],
    [
      *_students(sides),
      *_stages(sides),
      *_losses(sides),
      *_queries(sides, query_text),
      *_scores(sides),
      *_configs(sides),
    ],
  )
  path.parent.mkdir(parents=True, exist_ok=True)
  storage.write_text(path, page)


def _lead(sides: Sequence[Side]) -> Iterator[Tag]:
  if why := comparison.unlike(sides):
    yield tag("p", elements.sentence(why), class_="lead")
  for final in comparison.finals(sides):
    one = final.change.paired
    yield tag(
      "p",
      f"{final.side.label}'s last student, {final.names[1]}, has MRR@10 ",
      tag("strong", tables.number(one.mean_after)),
      f" where {sides[0].label}'s, {final.names[0]}, has ",
      tag("strong", tables.number(one.mean_before)),
      f": {comparison.change_text(final.change)}, ",
      f"p {comparison.p_text(final.change)}.",
      class_="lead",
    )


def _students(sides: Sequence[Side]) -> Iterator[Tag]:
  yield tag("h2", "The students")
  yield _legend(sides)
  charts = []
  for metric in ("mrr@10", "ndcg@10"):
    known = {
      side.label: {
        stage: value
        for stage in comparison.students(sides)
        if (value := side.run.value(stage, metric)) is not None
      }
      for side in sides
    }
    if any(known.values()):
      measured = {stage for of in known.values() for stage in of}
      stages = [s for s in comparison.students(sides) if s in measured]
      chart = plots.progressions(tables.METRICS[metric], stages, known)
      charts.append(tag("figure", chart))
  if not charts:
    yield missing("No stage of a student has been measured.")
  yield tag("div", *charts, class_="twos")


def _stages(sides: Sequence[Side]) -> Iterator[Tag]:
  yield tag("h2", "Stage by stage")
  labels = [side.label for side in sides]
  first, *others = tables.METRICS
  head = ["stage", *(f"{label} {tables.METRICS[first]}" for label in labels)]
  for label in labels[1:]:
    head += [f"{label} - {labels[0]} [95 %]", "p", "won, lost"]
  for metric in others:
    head += [f"{label} {tables.METRICS[metric]}" for label in labels]
  rows: list[tuple[list[str | Tag], bool]] = []
  for row in comparison.rows(sides):
    cells: list[str | Tag] = [tag("b", row.stage)]
    cells += [of[first] for of in row.cells]
    for change in row.changes:
      cells += [comparison.change_text(change), comparison.p_text(change)]
      one = change.paired if change else None
      cells.append(f"{one.wins}, {one.losses}" if one else tables.ABSENT)
    cells += [of[metric] for metric in others for of in row.cells]
    rows.append((cells, row.is_student))
  yield elements.table(head, rows, words=1)
  yield tag(
    "p",
    "Differences are of MRR@10, query by query, with p of the paired "
    "randomisation test, corrected by Holm for all stages of a run.",
    class_="quiet",
  )


def _losses(sides: Sequence[Side]) -> Iterator[Tag]:
  yield tag("h2", "Losses over one another")
  charts = []
  for name in comparison.shared(sides, "train"):
    logged = {
      side.label: curve
      for side in sides
      if name in side.run.stages and (curve := _curve(side.run.stages[name]))
    }
    if len(logged) > 1:
      chart = plots.curves(name, logged)
      charts.append(tag("figure", tag("h3", name), chart))
  if not charts:
    yield missing("No stage of one name has logged its losses in two runs.")
    return
  yield _legend(sides)
  yield tag("div", *charts, class_="grid")


def _curve(stage: record.Stage) -> tuple[list, list] | None:
  rows = record.logged(stage) if stage.ran else []
  known = [r for r in rows if record.is_number(r.get("loss"))]
  if not known:
    return None
  return [r["step"] for r in known], [r["loss"] for r in known]


def _queries(
  sides: Sequence[Side], query_text: Callable[[str], str]
) -> Iterator[Tag]:
  yield tag("h2", "The last students, query by query")
  found = comparison.finals(sides)
  if not found:
    why = comparison.unlike(sides) or "no figures by query were left"
    yield missing(elements.sentence(why))
  first = sides[0].label
  for final in found:
    other, one = final.side.label, final.change.paired
    equal = one.queries - one.wins - one.losses
    yield tag(
      "p",
      f"Of {one.queries:,} queries {other} answers {one.wins:,} better than "
      f"{first}, {one.losses:,} worse, and {equal:,} as well.",
    )
    if not one.wins + one.losses:
      continue
    yield tag("p", "Those that changed most:")
    rows: list[tuple[list[str | Tag], bool]] = [
      (
        [_text(query, query_text), f"{before:.3f}", f"{after:.3f}"],
        after > before,
      )
      for query, before, after in changes.most_changed(
        final.values, first, other, _CHANGED
      )
    ]
    yield elements.table(["query", first, other], rows, words=1)


def _text(query: str, query_text: Callable[[str], str]) -> Tag:
  try:
    words = query_text(query)
  except LookupError:
    words = f"query {query}"
  return tag("span", words, class_="words")


def _scores(sides: Sequence[Side]) -> Iterator[Tag]:
  yield tag("h2", "What the teachers' scores say")
  names = comparison.shared(sides, "score")
  if not names:
    yield missing("No score stage of one name has run in two runs.")
  for name in names:
    shown = []
    for side in sides:
      stage = side.run.stages.get(name)
      found = scores.compare(side.run, stage) if stage else None
      if found:
        whose = f"{side.label}: "
        shown.append(figures.judged("teacher", found.teacher, whose))
    yield tag("h3", name)
    yield tag("div", *shown, class_="twos")


def _configs(sides: Sequence[Side]) -> Iterator[Tag]:
  yield tag("h2", "What differs in the configs")
  head = ["key", *(side.label for side in sides)]
  rows: list[tuple[list[str | Tag], bool]] = [
    ([key, *(tag("span", v, class_="words") for v in values)], False)
    for key, values in comparison.differences(sides)
  ]
  if rows:
    yield elements.table(head, rows, words=len(head))
  else:
    yield missing("Nothing.")
  for side in sides:
    for line in origins.lines(side.run):
      yield tag("p", f"{side.label}: {line}.", class_="quiet")


def _legend(sides: Sequence[Side]) -> Tag:
  """The line of each run."""
  entries = []
  for i, side in enumerate(sides):
    kind = plots.RUNS[i % len(plots.RUNS)]
    line = tag("path", d="M0 5H40", class_=f"line {kind}")
    sample = tag(
      "svg", line, class_="chart", viewBox="0 0 40 10", aria_hidden="true"
    )
    entries.append(tag("li", sample, f" {side.label}"))
  return tag("ul", *entries, class_="legend")
