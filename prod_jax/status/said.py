"""How a run stands, as text for a person and as JSON for a machine."""

import collections
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from prod_jax import presence
from prod_jax.progress import duration, per_second
from prod_jax.status import left, look

_SILENT = 120.0  # seconds, behind which it is told
_LONG, _SHOWN = 12, 6  # stages in a row, and how many of them have a line


def lines(run: look.Run) -> list[str]:
  """Who is at work, a line a stage, and how long the rest takes."""
  rest = left.rest(run)
  found = [_head(run), *_presence(run)]
  if run.stages:
    found += ["", *_table(run, rest), "", *_rest(run, rest)]
  if run.others:
    found.append(f"of other configs, read by no stage: {', '.join(run.others)}")
  return found


def record(run: look.Run) -> dict[str, Any]:
  """The same for a machine."""
  rest = left.rest(run)
  stages = []
  for stage in run.stages:
    told = rest.by_stage.get(stage.name)
    stages.append(
      {
        "name": stage.name,
        "kind": stage.kind,
        "folder": stage.folder,
        "state": stage.state,
        "why": stage.why,
        "seconds": stage.seconds,
        "seconds_forecast": stage.expected,
        "seconds_left": told and told.seconds,
        "left_by": told and told.by,
        "at": stage.at and stage.at._asdict(),
        "checkpoint": stage.checkpoint,
        "kept_rows": stage.kept,
      }
    )
  return {
    "workdir": run.folder,
    "dataset": run.dataset,
    "alive": run.presence.alive,
    "run": run.presence.who,
    "progress": run.presence.progress,
    "states": _counts(run),
    "stages": stages,
    "seconds_left": rest.seconds,
    "seconds_left_unknown": list(rest.unknown),
    "of_other_configs": list(run.others),
  }


def _counts(run: look.Run) -> dict[str, int]:
  found = collections.Counter(stage.state for stage in run.stages)
  return {state: found[state] for state in look.STATES if found[state]}


def _head(run: look.Run) -> str:
  counts = [f"{count} {state}" for state, count in _counts(run).items()]
  said = [run.dataset] * bool(run.dataset) + [
    f"{len(run.stages)} stages: {', '.join(counts)}"
    if run.stages
    else "nothing is written down of its stages yet"
  ]
  return f"{run.folder}: {', '.join(said)}"


def _presence(run: look.Run) -> Iterator[str]:
  """Who is at work, or how it has ended."""
  who, progress, alive = run.presence
  if not who:
    return
  by = f"process {who.get('pid')} on {who.get('host')}"
  began = f"since {who.get('since')}"
  if alive:
    yield f"at work: {by}, {began}: {who.get('command')}"
    silent = presence.silent_for(progress)
    if silent > _SILENT:
      yield f"it has said nothing for {duration(silent)}"
    elif "work" in progress and _counts(run).get(look.RUNNING) is None:
      yield f"in no stage now: {_at(look.at_of(progress))}"
  elif "ended" in who:
    yield (
      f"nobody is at work; the last run ended {who['ended']}: {who['outcome']}"
    )
  else:
    yield (
      f"nobody is at work: {by}, {began}, was killed or its machine is gone. "
      f"The same command goes on: {who.get('command')}"
    )


def _table(run: look.Run, rest: left.Rest) -> Iterator[str]:
  rows: list[tuple[str, ...]] = [
    ("stage", "kind", "state", "time", "forecast", "")
  ]
  hidden = _hidden(run.stages)
  for number, stage in enumerate(run.stages):
    if number in hidden:
      if number - 1 not in hidden:
        many = next(n for n in itertools.count(number) if n not in hidden)
        rows.append((f"… {many - number} more", "", stage.state, "", "", ""))
      continue
    told = rest.by_stage.get(stage.name)
    time = f"{duration(told.seconds)} left" if told else "-"
    if stage.state in (look.DONE, look.SKIPPED):
      time = duration(stage.seconds)
    known = stage.expected is not None
    expected = duration(stage.expected or 0) if known else "-"
    begins = stage.name, stage.kind, stage.state, time
    rows.append((*begins, expected, _note(stage)))
  if all(stage.expected is None for stage in run.stages):
    rows = [(*row[:4], row[5]) for row in rows]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  for row in rows:
    cells = (c.ljust(w) for c, w in zip(row, widths, strict=True))
    yield "  ".join(cells).rstrip()


def _hidden(stages: Sequence[look.Stage]) -> set[int]:
  """The stages of a long row of the same state that only their number says.

  Of those that are done the last ones are shown, of those to come the first.
  """
  found: set[int] = set()
  for state, row in itertools.groupby(
    range(len(stages)), lambda n: _note(stages[n]) or stages[n].state
  ):
    numbers = [*row]
    if len(numbers) > _LONG and state == look.DONE:
      found |= {*numbers[:-_SHOWN]}
    elif len(numbers) > _LONG and state == look.PENDING:
      found |= {*numbers[_SHOWN:]}
  return found


def _note(stage: look.Stage) -> str:
  said = [stage.why] * bool(stage.why)
  if stage.at:
    said.append(_at(stage.at))
  if stage.state == look.UNFINISHED and (stage.at or stage.checkpoint):
    said.append(f"the next start goes on from {stage.checkpoint or 0}")
  elif stage.checkpoint is not None:
    said.append(f"checkpoint at step {stage.checkpoint}")
  if stage.kept:
    said.append(f"{stage.kept} rows are kept")
  return ", ".join(said)


def _at(at: look.At) -> str:
  of = f" of {at.total}" if at.total is not None else ""
  rate = f", {per_second(at.rate)}/s" if at.rate else ""
  return f"{at.work}: {at.done}{of} {at.unit}{rate}"


def _rest(run: look.Run, rest: left.Rest) -> Iterator[str]:
  """How long what is left takes, and by what that is told."""
  if not rest.by_stage and not rest.unknown:
    return
  by_rate = [n for n, told in rest.by_stage.items() if told.by == left.RATE]
  told = collections.Counter(told.by for told in rest.by_stage.values())
  forecast = told[left.FORECAST]
  others = len(rest.by_stage) - len(by_rate) - forecast
  how = [f"{name} by its rate" for name in by_rate]
  if forecast:
    how.append(f"{_stages(forecast)} by the forecast")
  if others:
    gated = any(stage.kind == "gate" for stage in run.stages)
    but = ", unless a gate skips them" if gated else ""
    how.append(f"{_stages(others)} by what others of their kind took{but}")
  what = "left" if run.presence.alive else "it would take"
  if rest.by_stage:
    yield f"{what}: about {duration(rest.seconds)}, {' and '.join(how)}"
  if rest.unknown:
    yield (
      f"not known: {_stages(len(rest.unknown))} of a kind that has not run yet "
      f"({_some(rest.unknown)})"
    )


def _stages(count: int) -> str:
  return f"{count} stage{'s' if count > 1 else ''}"


def _some(names: Sequence[str]) -> str:
  more = [f"{len(names) - 5} more"] if len(names) > 5 else []
  return ", ".join([*names[:5], *more])
