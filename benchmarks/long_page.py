"""What long.py measured, as reliability/memory.json and its picture.

A row says how much something is at the beginning and at the end of a long run,
or with the smallest and with the largest corpus, and how much more it may be.
What a larger corpus needs by necessity is told in NECESSARY and taken off.
"""

import itertools
import json
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.long_config import WIDTH
from benchmarks.watched import Sample
from prod_jax.report import axes, drawings, plots
from prod_jax.report.markup import Tag, tag
from prod_jax.retrieval.search import CODE_BITS

COLUMNS = ("what", "from", "to", "change", "allowed", "within")
ALLOWED = 0.05
RESUME_SECONDS = 10.0
# Bytes a passage of the largest peak, and what they are; an id has 7 at most.
_ID, _ROW, _KEYS = 7, 8, 3 * 8
_TABLES = _ID + _ROW, "ids and their order, of mapped files"
_CODE = WIDTH // 2 * CODE_BITS // 8  # two coordinates share a code
_LEAF = 4  # that a row is in
NECESSARY: Mapping[str, tuple[int, str]] = {
  "prepare": (
    3 * _ID + 3 * _ROW,
    "ids and line numbers, read and joined, ids in order, and that order",
  ),
  "student": (_TABLES[0] + _KEYS, f"{_TABLES[1]}, and keys of texts"),
  "encode": _TABLES,
  "mine": _TABLES,
  "evaluate": (
    _TABLES[0] + 3 * 4 * WIDTH + _CODE + _LEAF,
    f"{_TABLES[1]}; ScaNN's rows while it is made: along its axes, as given, "
    "and its own, with codes and leaves",
  ),
}

# Of long work from its second tenth on. Memory goes up and down by some MiB, so
# that a line is laid through it; handles and threads come and go with each
# checkpoint, and only what is lost raises the least of them.
_MEMORY = {"own_mib": "MiB of its own", "files_mib": "MiB of mapped files"}
_COUNTED = {"handles": "open handles", "threads": "threads"}

Parts = Mapping[str, Mapping[str, Any]]


def write(folder: pathlib.Path, units: Sequence[str]) -> None:
  """Makes the object and the picture of the parts in a folder beside them.

  Args:
    folder: of both; the parts are in its folder `memory`.
    units: the parts that there may be.
  """
  parts = {
    path.stem: json.loads(path.read_text())
    for path in sorted((folder / "memory").glob("*.json"))
  }
  page = page_of(parts)
  if lacking := [unit for unit in units if unit not in parts]:
    page["notes"].append(f"Not measured yet: {', '.join(lacking)}.")
  (folder / "memory.json").write_text(json.dumps(page, indent=1) + "\n")
  (folder / page["plot"]).write_text(drawings.alone(picture(parts)))


def page_of(parts: Parts) -> dict[str, Any]:
  """The object of memory.json."""
  return {
    "title": "Long and large runs",
    "command": "python -m benchmarks.long",
    **{key: _told(parts, key) for key in ("commit", "machine", "python")},
    "columns": list(COLUMNS),
    "rows": [*steps_rows(parts), *corpus_rows(parts), *stages_rows(parts)],
    "notes": notes(parts),
    "plot": "memory.svg",
  }


def _told(parts: Parts, key: str) -> str:
  """What is alike in all parts, or which of them have what."""
  of: dict[str, list[str]] = {}
  for name, part in parts.items():
    of.setdefault(part[key], []).append(name)
  if len(of) == 1:
    return next(iter(of))
  return "; ".join(f"{what} ({', '.join(names)})" for what, names in of.items())


def steps_rows(parts: Parts) -> list[list[str]]:
  """Memory, handles and threads of long work, by process."""
  rows = []
  for unit, part in _over_time(parts):
    for i, samples in enumerate(samples_of(part)):
      several = len(part["samples"]) > 1
      who = f", process {i + 1} of {len(part['samples'])}" if several else ""
      first, last = (tenth(samples, part[unit], x) for x in (2, 10))
      if not (first and last):  # its run was done before
        continue
      about = f"{part[unit]:,} {unit}{who}, tenth 2 to tenth 10"
      since = samples[samples.index(first[0]) :]
      for key, what in _MEMORY.items():
        rows.append(_row(f"{about}: {what}, by a line", *_ends(since, key)))
      for key, what in _COUNTED.items():
        least = [min(getattr(s, key) for s in x) for x in (first, last)]
        rows.append(_row(f"{about}: {what}, the least", *least))
  return rows


def _ends(samples: Sequence[Sample], key: str) -> list[float]:
  """Where the line of least squares through samples begins and ends."""
  at = [s.at for s in samples]
  line = statistics.linear_regression(at, [getattr(s, key) for s in samples])
  return [line.intercept + line.slope * x for x in (at[0], max(at))]


def _over_time(parts: Parts) -> Iterator[tuple[str, Mapping[str, Any]]]:
  """What is done one after the other, and the samples of its processes."""
  for unit in ("steps", "stages"):
    yield from ((unit, part) for _, part in _of(parts, unit))
  if corpora := [part for _, part in _of(parts, "corpus")]:
    largest = max(corpora, key=lambda part: part["rows"])
    samples = largest["works"]["encode"].get("samples", [])
    unit = "passages embedded"
    yield unit, {unit: largest["rows"], "samples": samples}


def corpus_rows(parts: Parts) -> list[list[str]]:
  """Peaks by stage, each corpus against the next larger one.

  With the smallest not all buffers are full, and ScaNN makes no partition.
  """
  rows = []
  for processes in "12":
    found = {
      part["rows"]: part["works"]
      for name, part in _of(parts, "corpus")
      if name.endswith(f"-{processes}")
    }
    if len(found) < 2:
      continue
    who = "" if processes == "1" else f", by {processes} processes"
    for small, large in itertools.pairwise(sorted(found)):
      about = f"{small:,} to {large:,} passages{who}: "
      for work in found[small]:
        ends_of = [found[size][work] for size in (small, large)]
        needs, what = NECESSARY.get(work, (0, ""))
        more = needs * (large - small) / 2**20
        peaks = [max(p["most_mib"] for p in x["processes"]) for x in ends_of]
        beside = f" (less {needs} bytes a passage: {what})" if needs else ""
        rows.append(
          _row(
            f"{about}{work}, peak MiB of a process{beside}",
            peaks[0],
            peaks[1] - more,
          )
        )
  return rows


def stages_rows(parts: Parts) -> list[list[str]]:
  """Seconds until a run of many stages has gone on.

  Of a core: it has one thread at work, and other work slows down the clock.
  """
  return [
    [
      f"{part['stages']} stages, {how}: seconds of a core, start to end "
      f"({again['seconds']:.1f} by the clock)",
      "",
      f"{again['cpu']:.1f}",
      "",
      f"{RESUME_SECONDS:.0f}",
      _within(again["cpu"] <= RESUME_SECONDS),
    ]
    for _, part in _of(parts, "stages")
    for how, again in part["again"].items()
  ]


def notes(parts: Parts) -> list[str]:
  """Rates, which depend on what else the machine does, by core and clock."""
  said = []
  for _, part in _of(parts, "corpus"):
    works = part["works"]
    rates = ", ".join(
      f"{work} {part['rows'] / works[work]['cpu']:,.0f} a second of a core"
      f" ({part['rows'] / works[work]['seconds']:,.0f} by the clock)"
      for work in works
    )
    who = len(works["encode"]["processes"])
    said.append(f"{part['rows']:,} passages, {who} process(es): {rates}")
  return said


def samples_of(part: Mapping[str, Any]) -> list[list[Sample]]:
  """The samples of each process of a part."""
  return [[Sample(*row) for row in rows] for rows in part["samples"]]


def tenth(samples: Sequence[Sample], steps: int, number: int) -> list[Sample]:
  """Those of one tenth of the steps, from 1."""
  low, high = (steps * x / 10 for x in (number - 1, number))
  return [s for s in samples if low <= s.at < high]


def picture(parts: Parts) -> Tag:
  """Memory and handles by step, and peaks by the size of the corpus."""
  charts = [*_step_charts(parts), *_corpus_charts(parts)]
  gap = 16.0
  width = axes.WIDTH + gap
  return tag(
    "svg",
    tag("title", "Memory of long and large runs"),
    *(
      tag("g", *chart.children, transform=f"translate({width * i:g} 0)")
      for i, chart in enumerate(charts)
    ),
    class_="chart",
    role="img",
    viewBox=f"0 0 {width * len(charts) - gap:g} {axes.HEIGHT:g}",
  )


def _step_charts(parts: Parts) -> list[Tag]:
  lines = {
    f"{name[-1]} process{'es' * (name[-1] != '1')}": samples_of(part)[0]
    for name, part in _of(parts, "steps")
  }
  if not lines:
    return []
  charts = []
  for key, unit in (("own_mib", "MiB of its own"), ("handles", "handles")):
    of = {
      name: [(s.at, float(getattr(s, key))) for s in samples if s.at]
      for name, samples in lines.items()
    }
    charts.append(_chart(f"{unit} by step", unit, "step", of))
  return charts


def _corpus_charts(parts: Parts) -> list[Tag]:
  found = {
    part["rows"]: part["works"]
    for name, part in _of(parts, "corpus")
    if name.endswith("-1")
  }
  if len(found) < 2:
    return []
  of = {
    work: [
      (rows / 1000, found[rows][work]["processes"][0]["most_mib"])
      for rows in sorted(found)
    ]
    for work in ("student", "encode", "mine", "evaluate")
  }
  title = "Peak of memory by size of the corpus"
  return [_chart(title, "MiB", "thousand passages", of)]


def _chart(
  title: str,
  unit: str,
  along: str,
  lines: Mapping[str, Sequence[tuple[float, float]]],
) -> Tag:
  """Lines from 0 on, with their names over the plot."""
  xs, ys = zip(*(p for line in lines.values() for p in line), strict=True)
  most = float(max(xs)), 1.3 * max(ys)
  frame = axes.Frame(x=(0.0, most[0]), y=(0.0, most[1]), right=24.0)
  drawn = []
  for i, (name, points) in enumerate(lines.items()):
    x, y = frame.left + 8 + 77 * (i % 4), frame.top + 10
    kind = f"line {plots.RUNS[i]}"
    drawn += [
      tag("path", d=frame.path(*zip(*points, strict=True)), class_=kind),
      tag("path", d=f"M{x:.0f} {y - 4:.0f}h16", class_=kind),
      axes.text(name, x + 20, y, "start", "tick"),
    ]
  return axes.svg(
    title,
    ", ".join(
      f"{n}: {p[0][1]:.0f} to {p[-1][1]:.0f}" for n, p in lines.items()
    ),
    axes.y_axis(frame, unit, axes.ticks(*frame.y)),
    axes.x_axis(frame, along),
    *drawn,
  )


def _of(parts: Parts, kind: str) -> list[tuple[str, Mapping[str, Any]]]:
  found = [(n, part) for n, part in parts.items() if n.startswith(kind)]
  return sorted(found, key=lambda x: (x[1].get("rows", 0), x[0]))


def _row(what: str, first: float, last: float) -> list[str]:
  change = last / first - 1
  return [
    what,
    f"{first:,.0f}",
    f"{last:,.0f}",
    f"{100 * change:+.1f} %",
    f"{100 * ALLOWED:+.0f} %",
    _within(change <= ALLOWED),
  ]


def _within(it: bool) -> str:
  return "yes" if it else "no"
