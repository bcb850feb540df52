"""Runs held against each other: what stages of one name have come to.

The first run is what the others are held against. Figures by query are compared
where all have measured the same queries of the same data.
"""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from prod_jax import significance, strict
from prod_jax.report import changes, following, gains, record, tables

_SO = ", so that no query is compared"


_ON = ("set", "split", "data", "lowest grade")


class Side(NamedTuple):
  """A run, under the name that it has beside others."""

  label: str
  run: record.Run


class Row(NamedTuple):
  """A train stage, or model as it is, in all runs that have it.

  Attributes:
    stage: its name.
    is_student: whether it is one, in the first run that has it.
    cells: of each run a metric as text, by metric.
    changes: of each run but the first, None where there is nothing to compare.
  """

  stage: str
  is_student: bool
  cells: Sequence[Mapping[str, str]]
  changes: Sequence[changes.Change | None]

  @property
  def said(self) -> list[str]:
    """The changes as text, with p of all comparisons of a run."""
    return [change_text(change) for change in self.changes]


class Final(NamedTuple):
  """The last student of another run, held against that of the first.

  Attributes:
    side: the other run.
    names: the two train stages.
    change: how the latter differs.
    values: by query, of both.
  """

  side: Side
  names: tuple[str, str]
  change: changes.Change
  values: changes.Values


def load(workdirs: Sequence[str | pathlib.Path]) -> list[Side]:
  """Reads runs; those of one name are known by their paths.

  Raises:
    ConfigError: one of them is named twice, or is no run.
  """
  paths = [pathlib.Path(workdir).resolve() for workdir in workdirs]
  if len({*paths}) < len(paths):
    raise strict.ConfigError("a run is named twice; name another one")
  names = [path.name for path in paths]
  labels = names if len({*names}) == len(names) else [*map(str, paths)]
  return [
    Side(label, record.load(path))
    for label, path in zip(labels, paths, strict=True)
  ]


def unlike(sides: Sequence[Side]) -> str:
  """Why figures by query are not compared, of each run that they are not of."""
  first, *others = sides
  whys = dict.fromkeys(_unlike(first, side) for side in others)
  return "; ".join(filter(None, whys))


def _unlike(first: Side, other: Side) -> str:
  """The same of one run, "" where they are compared."""
  if what := _differ(first, other):
    return what
  both = (first, other)
  values = [gains.values(side.run, _final(side.run)) for side in both]
  for side, of in zip(both, values, strict=True):
    if not side.run.measured:
      return f"{side.label} has measured nothing yet{_SO}"
    if not of:
      return f"{side.label} has no figures by query of its last student"
  if not values[0].keys() & values[1].keys():
    return f"{first.label} and {other.label} have measured other queries{_SO}"
  return ""


def _differ(first: Side, other: Side) -> str:
  """Whether, and in what, two runs have measured something else."""
  on = (_measured_on(side.run) for side in (first, other))
  for what, one, two in zip(_ON, *on, strict=True):
    if one and two and one != two:
      return (
        f"{first.label} and {other.label} have measured another {what}, {one} "
        f"and {two}{_SO}, where `prod_jax evaluate` ranks one set with both"
      )
  return ""


def rows(sides: Sequence[Side]) -> list[Row]:
  """A row for each train stage or model as it is that any of them has."""
  tabled = [{row.stage: row for row in tables.rows_of(s.run)} for s in sides]
  names = list(dict.fromkeys(name for of in tabled for name in of))
  compared = _compared(sides, names)
  return [
    Row(
      stage=name,
      is_student=next(of[name] for of in tabled if name in of).model
      == record.STUDENT,
      cells=[
        {metric: of[name].cell(metric) for metric in tables.METRICS}
        if name in of
        else dict.fromkeys(tables.METRICS, tables.ABSENT)
        for of in tabled
      ],
      changes=[of.get(name) for of in compared],
    )
    for name in names
  ]


def finals(sides: Sequence[Side]) -> list[Final]:
  """The last student of each other run against that of the first.

  Their p are corrected for as many other runs as there are.
  """
  first, *others = sides
  before = _final(first.run)
  found = []
  for side in others:
    if _unlike(first, side):
      continue
    after = _final(side.run)
    values = {
      first.label: gains.values(first.run, before),
      side.label: gains.values(side.run, after),
    }
    (change,) = changes.against_first(values)
    found.append(Final(side, (before, after), change, values))
  corrected = significance.holm([final.change.p for final in found])
  return [
    final._replace(change=final.change._replace(p=p))
    for final, p in zip(found, corrected, strict=True)
  ]


def students(sides: Sequence[Side]) -> list[str]:
  """The student's stages of all runs, those of the first one in front."""
  named = {r.stage: r.is_student for r in rows(sides)}
  return [name for name, is_student in named.items() if is_student]


def shared(sides: Sequence[Side], kind: str) -> list[str]:
  """Stages of a kind that have run in two or more of the runs."""
  count: dict[str, int] = {}
  for side in sides:
    for stage in side.run.stages.values():
      if stage.kind == kind and stage.ran:
        count[stage.name] = count.get(stage.name, 0) + 1
  return [name for name, times in count.items() if times > 1]


def differences(sides: Sequence[Side]) -> Iterator[tuple[str, list[str]]]:
  """Keys of the configs that are not alike, with their values as text."""
  flat = [dict(_flat("", side.run.config)) for side in sides]
  for key in dict.fromkeys(key for of in flat for key in of):
    values = [str(of.get(key, tables.ABSENT)) for of in flat]
    if len({*values}) > 1:
      yield key, values


def table(sides: Sequence[Side]) -> str:
  """The rows as aligned text, with what was measured and what is alike."""
  labels = [side.label for side in sides]
  first, *others = tables.METRICS
  head = ["stage", *(f"{tables.METRICS[first]} {label}" for label in labels)]
  for label in labels[1:]:
    head += [f"{label} - {labels[0]}", "p"]
  for metric in others:
    head += [f"{tables.METRICS[metric]} {label}" for label in labels]
  lines = [head]
  for row in rows(sides):
    line = [row.stage, *(cells[first] for cells in row.cells)]
    for change in row.changes:
      line += [change_text(change), p_text(change)]
    line += [cells[metric] for metric in others for cells in row.cells]
    lines.append(line)
  scopes = [f"{side.label}: {tables.scope(side.run)}" for side in sides]
  ending = [_final_text(sides[0].label, final) for final in finals(sides)]
  why = unlike(sides)
  return "\n".join(
    [*scopes, "", *tables.aligned(lines, 1), "", *ending, *[why] * bool(why)]
  )


def plain(sides: Sequence[Side]) -> dict[str, Any]:
  """What was compared, for machines."""
  labels = [side.label for side in sides]
  return {
    "runs": {side.label: str(side.run.workdir) for side in sides},
    "not_compared": unlike(sides),
    "stages": [
      {
        "stage": row.stage,
        "values": {
          side.label: {m: side.run.value(row.stage, m) for m in tables.METRICS}
          for side in sides
        },
        "changes": {
          label: {**change.paired._asdict(), "p_holm": change.p}
          for label, change in zip(labels[1:], row.changes, strict=True)
          if change
        },
      }
      for row in rows(sides)
    ],
    "last_students": [
      {
        "run": final.side.label,
        "stages": final.names,
        **final.change.paired._asdict(),
        "p_holm": final.change.p,
      }
      for final in finals(sides)
    ],
  }


def change_text(change: changes.Change | None) -> str:
  """A difference with its 95 % interval."""
  return gains.text(change.paired if change else None) or tables.ABSENT


def p_text(change: changes.Change | None) -> str:
  """The p of a difference."""
  return f"{change.p:.4f}" if change else tables.ABSENT


def _final_text(first: str, final: Final) -> str:
  one = final.change.paired
  return (
    f"{final.side.label} ends with {final.names[1]}, {first} with "
    f"{final.names[0]}: MRR@10 {tables.number(one.mean_after)} for "
    f"{tables.number(one.mean_before)}, {change_text(final.change)}, "
    f"p {p_text(final.change)}; won {one.wins}, lost {one.losses} of "
    f"{one.queries} queries"
  )


def _final(run: record.Run) -> str:
  """The train stage of the student that goes on."""
  trained = run.trainer(following.last_student(run))
  return trained.name if trained else ""


def _compared(
  sides: Sequence[Side], names: Sequence[str]
) -> list[dict[str, changes.Change]]:
  """Of each other run, what has changed against the first, by stage."""
  first = {name: gains.values(sides[0].run, name) for name in names}
  found: list[dict[str, changes.Change]] = []
  for side in sides[1:]:
    if _differ(sides[0], side):
      found.append({})
      continue
    other = {name: gains.values(side.run, name) for name in names}
    both = [n for n in names if first[n].keys() & other[n].keys()]
    values = {f"{n} before": first[n] for n in both} | {
      n: other[n] for n in both
    }
    start_of = {n: f"{n} before" for n in both}
    made = changes.against_start(values, start_of)
    found.append({change.name: change for change in made})
  return found


def _measured_on(run: record.Run) -> tuple[str, ...]:
  """What `_ON` names, "" where it is unknown or of two kinds."""
  measured = [
    stage
    for stage in run.stages.values()
    if stage.kind == "evaluate" and stage.ran
  ]
  data = {str(x.origin.get("data_fingerprint", ""))[:12] for x in measured}
  relevant = {f"relevant={x.settings.get('relevant', 1)}" for x in measured}
  alike = ("".join(of) if len(of) == 1 else "" for of in (data, relevant))
  return run.dataset, run.split, *alike


def _flat(where: str, value: Any) -> Iterator[tuple[str, Any]]:
  """The leaves of nested dicts, by the way to each."""
  if not isinstance(value, dict) or not value:
    yield where, value
    return
  for key, inner in value.items():
    yield from _flat(f"{where}.{key}" if where else key, inner)
