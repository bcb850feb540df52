"""The sections of a page that hold charts, in the words they come with."""

import math
from collections.abc import Iterator

from prod_jax.report import plots, record, scores, tables
from prod_jax.report.markup import Tag, missing, tag


def progression(run: record.Run) -> Iterator[Tag]:
  """MRR@10 and nDCG@10 of the student, with its teachers as lines."""
  yield tag("h2", "The student and its teachers")
  figures = []
  for metric in ("mrr@10", "ndcg@10"):
    known = [
      (stage, value)
      for stage in run.trained()
      if (value := run.value(stage.name, metric)) is not None
    ]
    student = [(s.name, v) for s, v in known if s.model == record.STUDENT]
    teachers = [(s.name, v) for s, v in known if s.model != record.STUDENT]
    if student:
      names, values = zip(*student, strict=True)
      chart = plots.progression(tables.METRICS[metric], names, values, teachers)
      figures.append(tag("figure", chart))
  if not figures:
    yield missing("No stage of the student has been measured.")
  yield tag("div", *figures, class_="twos")


def losses(run: record.Run) -> Iterator[Tag]:
  """A loss curve for each train stage."""
  yield tag("h2", "Losses")
  figures: list[Tag] = []
  absent: dict[str, list[str]] = {}
  for stage in run.trained():
    rows = record.logged(stage) if stage.ran else []
    known = [r for r in rows if record.is_number(r.get("loss"))]
    if not known:
      why = "Nothing is logged of" if stage.ran else "Not run:"
      absent.setdefault(why, []).append(stage.name)
      continue
    chart = plots.curve(
      stage.name,
      "student" if stage.model == record.STUDENT else "teacher",
      [r["step"] for r in known],
      [r["loss"] for r in known],
    )
    last = ", ".join(
      f"{key.replace('_', ' ')} {value:.3g}"
      for key, value in rows[-1].items()
      if key != "step" and record.is_number(value)
    )
    caption = tag("figcaption", f"At step {rows[-1]['step']:,}: {last}.")
    figures.append(tag("figure", tag("h3", stage.name), chart, caption))
  if figures:
    yield tag("p", "Each on a scale of its own.", class_="quiet")
    yield tag("div", *figures, class_="grid")
  for why, names in absent.items():
    yield missing(f"{why} {', '.join(names)}.")


def distributions(run: record.Run) -> Iterator[Tag]:
  """Positives and negatives, by teacher and by miner, for each score stage."""
  yield tag("h2", "What the teachers' scores say")
  stages = [s for s in run.stages.values() if s.kind == "score"]
  if not stages:
    yield missing("This run has no score stage.")
  for stage in stages:
    found = scores.compare(run, stage)
    if found is None:
      why = (
        "there are no scores to show" if stage.ran else tables.missing(stage)
      )
      yield missing(f"{stage.name}: {why}.")
      continue
    sides = {"teacher": found.teacher, "miner": found.miner}
    figures = [_judge(role, judge) for role, judge in sides.items()]
    yield tag("h3", f"{stage.name}: the lists of {stage.inputs['candidates']}")
    yield tag("div", *figures, class_="twos")
    if found.shown < found.lists:
      part = f"{found.shown:,} of {found.lists:,} lists, evenly spaced."
      yield tag("p", part, class_="quiet")


def _judge(role: str, judge: scores.Judge) -> Tag:
  chart = plots.distribution(
    f"Scores by {judge.name}, the {role}",
    f"{role}'s score: {judge.unit}",
    judge.positives,
    judge.negatives,
  )
  caption = f"{judge.name}, the {role}."
  if math.isfinite(judge.outscored):
    caption += (
      f" The best positive of a query outscores {100 * judge.outscored:.0f}% "
      "of its negatives."
    )
  return tag("figure", chart, tag("figcaption", caption))
