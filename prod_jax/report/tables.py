"""A run's numbers as rows: for the terminal, and for docs/RESULTS.md."""

import dataclasses
import pathlib
import shlex
from collections.abc import Iterator, Sequence

from prod_jax.report import expected, gains, origins, record

METRICS = {"mrr@10": "MRR@10", "ndcg@10": "nDCG@10", "recall@100": "recall@100"}
GAIN = "gain [95 %]"
ABSENT = "-"
NOT_RUN = "not run"
SKIPPED = "skipped"
AS_IT_IS = "as it is"
TOGETHER = "the mean of both"  # of an ensemble, which nobody taught


@dataclasses.dataclass(frozen=True)
class Row:
  """A train stage and what came of it.

  Attributes:
    taught_by: as of `record.Stage`, `AS_IT_IS`, or `TOGETHER`.
    missing: what stands for a figure that is not there: of a stage that was
      not run, or was skipped.
    values: by metric name; those that were not measured are None.
    gain: of the headline metric over where the stage began, with its interval;
      "" where that is not known.
    seconds: that training took; None unless it ran.
  """

  stage: str
  model: str
  taught_by: str
  missing: str
  values: dict[str, float | None]
  gain: str
  seconds: float | None

  def cell(self, metric: str) -> str:
    """A metric as text."""
    value = self.values[metric]
    return self.missing if value is None else number(value)

  @property
  def time(self) -> str:
    """The seconds as text."""
    return self.missing if self.seconds is None else f"{self.seconds:,.0f}"


@dataclasses.dataclass(frozen=True)
class Gap:
  """How far the student came from where it began to its best teacher.

  Attributes:
    first, best: the student's first and best value, as (value, stage).
    teacher: the best of all other models, the same way.
  """

  first: tuple[float, str]
  best: tuple[float, str]
  teacher: tuple[float, str]

  @property
  def closed(self) -> float | None:
    """The share of the gap, or None where no teacher was ahead."""
    whole = self.teacher[0] - self.first[0]
    return (self.best[0] - self.first[0]) / whole if whole > 0 else None


def table(workdir: str | pathlib.Path) -> str:
  """The rows as aligned text, with what was measured and the gap closed."""
  run = record.load(pathlib.Path(workdir))
  lines = [("stage", "taught by", *METRICS.values(), GAIN, "seconds")]
  for row in rows_of(run):
    numbers = [row.cell(metric) for metric in METRICS]
    taught_by, gain = row.taught_by or ABSENT, row.gain or ABSENT
    lines.append((row.stage, taught_by, *numbers, gain, row.time))
  return "\n".join([scope(run), "", *aligned(lines, 2), "", *notes(run)])


def aligned(lines: Sequence[Sequence[str]], words: int) -> list[str]:
  """Cells in columns, numbers after `words` of them."""
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  return [
    "  ".join(
      cell.ljust(width) if i < words else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    ).rstrip()
    for line in lines
  ]


def write_results_markdown(workdirs: Sequence[str | pathlib.Path]) -> str:
  """docs/RESULTS.md: a section for each run."""
  runs = [record.load(pathlib.Path(workdir)) for workdir in workdirs]
  several = ["--markdown"] * (len(workdirs) > 1)
  words = ["python", "-m", "prod_jax.cli.report", *several, *map(str, workdirs)]
  command = shlex.join(words)
  title = (
    f"# Results\n\nWritten by `{command}`. What is not here was not run.\n"
  )
  return "\n".join([title, *map(_markdown, runs)])


def rows_of(run: record.Run) -> list[Row]:
  """A row for each model that was measured as it is, and each train stage.

  An ensemble that was measured stands behind the train stage that it is of.
  """
  as_they_are = [
    Row(
      stage=name,
      model=name,
      taught_by=AS_IT_IS,
      missing=ABSENT,
      values={metric: run.value(name, metric) for metric in METRICS},
      gain="",
      seconds=0.0,
    )
    for name in run.as_they_are
  ]
  return as_they_are + [
    row for stage in run.trained() for row in _of(run, stage)
  ]


def _of(run: record.Run, stage: record.Stage) -> Iterator[Row]:
  """The rows of a train stage: its own, and of what it is together with."""
  yield Row(
    stage=stage.name,
    model=stage.model,
    taught_by=stage.taught_by,
    missing=missing(stage),
    values={metric: run.value(stage.name, metric) for metric in METRICS},
    gain=gains.text(gains.of(run, stage)),
    seconds=stage.seconds if stage.ran else None,
  )
  for name in run.measured:
    if name.startswith(f"{stage.name}+"):
      yield Row(
        stage=name,
        model=stage.model,
        taught_by=TOGETHER,
        missing=ABSENT,
        values={metric: run.value(name, metric) for metric in METRICS},
        gain="",
        seconds=0.0,
      )


def missing(stage: record.Stage) -> str:
  """What stands for a figure of a stage that is not there."""
  if stage.ran:
    return ABSENT
  return SKIPPED if stage.skipped else NOT_RUN


def scope(run: record.Run) -> str:
  """What the numbers were measured on."""
  if not run.measured:
    return f"{run.dataset}: nothing is measured yet"
  queries = sorted({found.queries for found in run.measured.values()})
  counts = " or ".join(f"{count:,}" for count in queries)
  return f"{run.dataset}, split {run.split}, {counts} queries"


def notes(run: record.Run) -> list[str]:
  """The lines under a table.

  What was reranked, cut vectors, the gap closed, what gates have decided, and
  how long it was to take.
  """
  reranked = [n for n, found in run.measured.items() if found.index == "rerank"]
  said = [_reranked(run, reranked)] * bool(reranked)
  decided = [f"{s.name}: {s.said}" for s in run.stages.values() if s.said]
  forecast = [expected.note(run)] * bool(expected.note(run))
  return [*said, *_cut(run), gap_text(gap(run)), *decided, *forecast]


def gap(run: record.Run) -> Gap | None:
  """The gap in MRR@10; None unless a student and a teacher were measured.

  A student that was refused has closed nothing.
  """
  students: list[tuple[float, str]] = []
  teachers: list[tuple[float, str]] = []
  refused = run.refused
  # A model as it is comes before what was made of it.
  for name in run.as_they_are:
    value = run.value(name, record.HEADLINE)
    if value is not None:
      (students if name == record.STUDENT else teachers).append((value, name))
  for stage in run.trained():
    value = run.value(stage.name, record.HEADLINE)
    if value is not None and stage.name not in refused:
      own = stage.model == record.STUDENT
      (students if own else teachers).append((value, stage.name))
  if not students or not teachers:
    return None
  return Gap(students[0], max(students, key=_first), max(teachers, key=_first))


def gap_text(gap: Gap | None) -> str:
  """A gap in words, with the numbers that it is made of."""
  if gap is None:
    return (
      "gap closed: unknown; it takes the MRR@10 of a model named "
      f"{record.STUDENT!r} that was not refused and of another, by evaluate "
      "stages"
    )
  first, best, teacher = gap.first, gap.best, gap.teacher
  if gap.closed is None:
    return (
      f"gap closed: there was none; the best teacher, {teacher[1]}, has MRR@10 "
      f"{number(teacher[0])} and {first[1]} began at {number(first[0])}"
    )
  return (
    f"gap closed: {100 * gap.closed:.0f}% in MRR@10 = "
    f"({number(best[0])} {best[1]} - {number(first[0])} {first[1]}) / "
    f"({number(teacher[0])} {teacher[1]} - {number(first[0])} {first[1]})"
  )


def number(value: float | None) -> str:
  """A metric's value with three decimals."""
  return ABSENT if value is None else f"{value:.3f}"


def _first(pair: tuple[float, str]) -> float:
  return pair[0]


def _reranked(run: record.Run, names: Sequence[str]) -> str:
  sources = set()
  for name in names:
    stage = run.stages.get(run.measured[name].stage)
    if stage and (source := run.measured_name(stage.inputs.get("encoded", ""))):
      depth = stage.settings.get("rerank_depth", "few")
      sources.add(f"the first {depth} of {source}")
  lists = " or ".join(sorted(sources)) or "another model's first"
  return (
    f"reranked: {', '.join(names)} ordered {lists}; their recall is that of "
    "these lists"
  )


def _cut(run: record.Run) -> list[str]:
  """A line for each train stage that was measured at several widths."""
  lines = []
  for name in run.measured:
    values = run.cut(name, record.HEADLINE).items()
    at = ", ".join(f"{number(value)} at {width}" for width, value in values)
    whole = number(run.value(name, record.HEADLINE))
    if at:
      lines.append(
        f"vectors cut: {name} has MRR@10 {whole} with all coordinates, {at}"
      )
  return lines


def _markdown(run: record.Run) -> str:
  head = (
    "stage",
    "taught by",
    "method",
    "steps",
    "batch",
    "learning rate",
    *METRICS.values(),
    GAIN,
    "seconds",
  )
  lines = [
    line(head),
    "|" + "---|" * 3 + "---:|" * (len(head) - 3),
    *(line(_cells(run, row)) for row in rows_of(run)),
  ]
  title = f"## {run.workdir.name}"
  said = "; ".join([scope(run), *_settings(run)])
  ending = [f"- {note}" for note in [*notes(run), *origins.lines(run)]]
  return "\n".join([title, "", f"{said}.", "", *lines, "", *ending, ""])


def _cells(run: record.Run, row: Row) -> list[str]:
  stage = run.stages.get(row.stage)
  settings = stage.settings if stage else {}  # of a model as it is
  shown = ("method", "steps", "batch_size")
  rate = settings.get("learning_rate")
  return [
    row.stage,
    row.taught_by or ABSENT,
    *(str(settings.get(key, ABSENT)) for key in shown),
    ABSENT if rate is None else f"{rate:g}",
    *(row.cell(metric) for metric in METRICS),
    row.gain or ABSENT,
    row.time,
  ]


def _settings(run: record.Run) -> list[str]:
  """Settings of the whole run that its numbers depend on."""
  data = run.config.get("data") or {}
  named = {
    "tokens of a query": data.get("query_length"),
    "tokens of a passage": data.get("passage_length"),
    "train queries": (data.get("max_queries") or {}).get("train"),
    "of them with labels": data.get("labelled") or None,
    "passages at most": data.get("max_passages") or None,
  }
  return [f"{k} {v}" for k, v in named.items() if v is not None]


def line(cells: Sequence[str]) -> str:
  """A row of a table in Markdown."""
  escaped = (cell.replace("|", "\\|") for cell in cells)
  return f"| {' | '.join(escaped)} |"
