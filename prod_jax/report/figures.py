"""The sections of a page that hold charts, in the words they come with.

Each chart has a name, under which it is a file, too.
"""

import math
from collections.abc import Iterator

from prod_jax.report import expected, picture, plots, record, scores, tables
from prod_jax.report.markup import Tag, missing, tag

_METRICS = {"mrr@10": "mrr", "ndcg@10": "ndcg"}


def drawings(run: record.Run) -> dict[str, Tag]:
  """Every figure of a run, by the name of its file."""
  found = {
    f"curriculum-{shape.name}": picture.picture(run, shape)
    for shape in picture.SHAPES
  }
  found |= dict(_progressions(run))
  found |= {f"loss-{name}": chart for name, (chart, _) in _curves(run).items()}
  if times := expected.chart(run):
    found[expected.NAME] = times
  for stage in _scored(run):
    if judged := scores.compare(run, stage):
      for role, judge in judged.sides.items():
        found[f"{stage.name}-{role}"] = _distribution(role, judge)
  return found


def progression(run: record.Run) -> Iterator[Tag]:
  """MRR@10 and nDCG@10 of the student, with its teachers as lines."""
  yield tag("h2", "The student and its teachers")
  figures = [tag("figure", chart) for _, chart in _progressions(run)]
  if not figures:
    yield missing("No stage of the student has been measured.")
  yield tag("div", *figures, class_="twos")


def losses(run: record.Run) -> Iterator[Tag]:
  """A loss curve for each train stage, with its learning rate."""
  yield tag("h2", "Losses")
  curves = _curves(run)
  if curves:
    said = "Each on a scale of its own; dotted is the learning rate."
    yield tag("p", said, class_="quiet")
    yield tag(
      "div",
      *(
        tag("figure", tag("h3", name), chart, tag("figcaption", caption))
        for name, (chart, caption) in curves.items()
      ),
      class_="grid",
    )
  absent: dict[str, list[str]] = {}
  for stage in run.trained():
    if stage.name not in curves:
      why = "Nothing is logged of" if stage.ran else "Not run:"
      absent.setdefault(why, []).append(stage.name)
  for why, names in absent.items():
    yield missing(f"{why} {', '.join(names)}.")


def distributions(run: record.Run) -> Iterator[Tag]:
  """Positives and negatives, by teacher and by miner, for each score stage."""
  yield tag("h2", "What the teachers' scores say")
  stages = _scored(run)
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
    figures = [judged(role, judge) for role, judge in found.sides.items()]
    yield tag("h3", f"{stage.name}: the lists of {stage.inputs['candidates']}")
    yield tag("div", *figures, class_="twos")
    if found.shown < found.lists:
      part = f"{found.shown:,} of {found.lists:,} lists, evenly spaced."
      yield tag("p", part, class_="quiet")


def judged(role: str, judge: scores.Judge, whose: str = "") -> Tag:
  """A judge's scores; `whose` says of which run it is."""
  caption = f"{whose}{judge.name}, the {role}."
  if math.isfinite(judge.outscored):
    caption += (
      f" The best positive of a query outscores {100 * judge.outscored:.0f}% "
      "of its negatives."
    )
  return tag("figure", _distribution(role, judge), tag("figcaption", caption))


def _progressions(run: record.Run) -> Iterator[tuple[str, Tag]]:
  for metric, name in _METRICS.items():
    known = [
      (stage, value)
      for stage in run.trained()
      if (value := run.value(stage.name, metric)) is not None
    ]
    student = [(s.name, v) for s, v in known if s.model == record.STUDENT]
    teachers = [(s.name, v) for s, v in known if s.model != record.STUDENT]
    if student:
      names, values = zip(*student, strict=True)
      title = tables.METRICS[metric]
      yield name, plots.progression(title, names, values, teachers)


def _curves(run: record.Run) -> dict[str, tuple[Tag, str]]:
  """A chart and its caption for each train stage that has logged a loss."""
  found = {}
  for stage in run.trained():
    rows = record.logged(stage) if stage.ran else []
    known = [r for r in rows if record.is_number(r.get("loss"))]
    if not known:
      continue
    chart = plots.curve(
      stage.name,
      "student" if stage.model == record.STUDENT else "teacher",
      [r["step"] for r in known],
      [r["loss"] for r in known],
      [r["learning_rate"] for r in known if "learning_rate" in r],
    )
    last = ", ".join(
      f"{key.replace('_', ' ')} {value:.3g}"
      for key, value in rows[-1].items()
      if key != "step" and record.is_number(value)
    )
    found[stage.name] = chart, f"At step {rows[-1]['step']:,}: {last}."
  return found


def _scored(run: record.Run) -> list[record.Stage]:
  return [stage for stage in run.stages.values() if stage.kind == "score"]


def _distribution(role: str, judge: scores.Judge) -> Tag:
  return plots.distribution(
    f"Scores by {judge.name}, the {role}",
    f"{role}'s score: {judge.unit}",
    judge.positives,
    judge.negatives,
  )
