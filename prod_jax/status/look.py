"""The stages of a run and their states, as its working folder has them.

Nothing is written, and nothing but the folder is asked: neither config, data
nor the process at work.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from prod_jax import (
  artefacts,
  forecast,
  json_files,
  presence,
  run_files,
  storage,
)
from prod_jax.status import why
from prod_jax.strict import ConfigError

PENDING, RUNNING, UNFINISHED = "pending", "running", "unfinished"
DONE, SKIPPED, STALE = "done", "skipped", "stale"
STATES = (DONE, SKIPPED, RUNNING, UNFINISHED, STALE, PENDING)

# Keys that lead from a stage to the model that it runs, the nearest first.
_TO_MODEL = ("params", "rerank", "encoded", "scores", "candidates")
_CHECKPOINTS, _BLOCKS = "checkpoints", ("blocks", "passages")
_BLOCK = re.compile(r"(\d{9})-(\d{9})(\.whole)?")
_LINE = {"step": int, "queries_per_second?": float}  # of metrics
_OWN = re.compile(r"\d\d+-\w+")


class At(NamedTuple):
  """How far a stage is in its work.

  Attributes:
    work: what is being done, with the name of the stage in front.
    rate: of units a second, None while nobody knows.
  """

  work: str
  done: int
  total: int | None
  unit: str
  rate: float | None
  seconds_left: float | None


@dataclasses.dataclass(frozen=True)
class Stage:
  """A stage, as it stands.

  Attributes:
    name, kind: of the stage.
    folder: the name of its own.
    state: one of `STATES`. One that is unfinished has begun, and nobody is at
      it; one that is stale has work of another config or files that are not as
      they were, and runs again.
    why: it was skipped, or runs again; "" elsewhere.
    model: that it trains or runs, "" where there is none.
    method: that it trains by, "" of other kinds.
    size: of its work, to compare stages of its kind by.
    seconds: that it took, for `worked` of that size; 0 while it is not done.
    expected: seconds that a forecast of this config said, None without one.
    at: how far it is; None where it is not under way, or does not say.
    checkpoint: the step of its newest one; None where there is none.
    kept: rows in blocks that a kill has left or would leave.
  """

  name: str
  kind: str
  folder: str
  state: str
  why: str
  model: str
  method: str
  size: float
  seconds: float
  worked: float
  expected: float | None
  at: At | None
  checkpoint: int | None
  kept: int


@dataclasses.dataclass(frozen=True)
class Run:
  """A working folder.

  Attributes:
    folder: as it was named.
    dataset: its name, "" while that is being prepared.
    presence: who is at work there.
    stages: in the order in which they run.
    others: folders of stages that the config does not have, or has elsewhere.
  """

  folder: str
  dataset: str
  presence: presence.Presence
  stages: Sequence[Stage]
  others: Sequence[str]


def look(folder: storage.Path) -> Run:
  """Reads how a run stands.

  Raises:
    ConfigError: nothing has run there, or its record is damaged.
  """
  run_files.check_folder(folder)
  there = presence.look(folder)
  record = run_files.curriculum(folder)
  if not record and not there.who:
    raise ConfigError(
      f"{folder}: no run has been here; there is neither {storage.CURRICULUM} "
      f"nor {presence.RUNNING}"
    )
  rows = record.get("stages", [])
  states = _states(folder, rows, record.get("config") or {})
  current = _current(states, there)
  expected = forecast.read(folder, record.get("config") or {})
  known = {row["dir"] for row in rows}
  return Run(
    folder=str(folder),
    dataset=record.get("dataset") or "",
    presence=there,
    stages=[
      _stage(
        folder,
        record,
        row,
        states[row["name"]],
        current,
        there,
        expected.get(row["name"]),
      )
      for row in rows
    ],
    others=sorted(
      path.name
      for path in (folder.iterdir() if rows else ())
      if _OWN.fullmatch(path.name) and path.name not in known
    ),
  )


def _states(
  folder: storage.Path,
  rows: Sequence[Mapping[str, Any]],
  config: Mapping[str, Any],
) -> dict[str, tuple[str, str]]:
  """The state of each stage, and why it is that."""
  states: dict[str, tuple[str, str]] = {}
  for row in rows:
    own = folder / row["dir"]
    done, began = (
      run_files.done(own),
      storage.read_object(own / storage.STARTED),
    )
    left, ours = done or began, row.get("hash")
    ran = row["status"] in ("done", "cached", SKIPPED)
    # A run of an earlier version did not write the hash down.
    same = left.get("hash") == ours if ours else ran or not done
    if left and not same:
      read = (row.get("inputs") or {}).values()
      others = [n for n in read if states.get(n, (PENDING,))[0] != DONE]
      found = STALE, why.changed(row, done.get("fingerprint"), config, others)
    elif done:
      found = _done(own, done)
    else:
      gone = f"its {storage.DONE} is gone" if ran else ""
      found = (UNFINISHED if began else PENDING), gone
    states[row["name"]] = found
  return states


def _done(own: storage.Path, done: Mapping[str, Any]) -> tuple[str, str]:
  """The state of a stage whose DONE file is that of the config."""
  if skipped := (done.get("summary") or {}).get(SKIPPED, ""):
    return SKIPPED, skipped
  wrong = artefacts.damage(own, done.get("files") or {}, by_content=False)
  if not wrong:
    return DONE, ""
  return STALE, "; ".join(f"{name} {what}" for name, what in wrong.items())


def _current(
  states: Mapping[str, tuple[str, str]], there: presence.Presence
) -> str:
  """The stage that a process is at, "" where none is."""
  begun = [name for name, (state, _) in states.items() if state == UNFINISHED]
  if not there.alive or not begun:
    return ""
  work = there.progress.get("work") or ""
  named = [name for name in begun if _is_of(work, name)]
  return max(named, key=len) if named else begun[-1]


def _is_of(work: str, stage: str) -> bool:
  return bool(re.match(rf"{re.escape(stage)}(?![\w-])", work))


def _stage(
  folder: storage.Path,
  record: Mapping[str, Any],
  row: Mapping[str, Any],
  state: tuple[str, str],
  current: str,
  there: presence.Presence,
  expected: forecast.Expected | None,
) -> Stage:
  config = record.get("config") or {}
  name, own = row["name"], folder / row["dir"]
  settings = (config.get("stages") or {}).get(name, {})
  now = RUNNING if name == current else state[0]
  under_way = now in (RUNNING, UNFINISHED)
  progress = there.progress if current == name else {}
  others = {row["name"] for row in record["stages"]} - {name}
  if any(_is_of(progress.get("work") or "", other) for other in others):
    progress = {}  # it has not said anything of its own yet
  steps, batch_size = (settings.get(k) or 1 for k in ("steps", "batch_size"))
  size = float(steps * batch_size)
  summary = row.get("summary") or {}
  before = (summary.get("resumed_from") or 0) / max(steps, 1)
  checkpoint = _checkpoint(own) if under_way else None
  from_step = (checkpoint or 0) if now == UNFINISHED else None
  at = _at(own, settings, name, progress, from_step) if under_way else None
  return Stage(
    name=name,
    kind=row["kind"],
    folder=row["dir"],
    state=now,
    why=state[1],
    model=_model(name, record.get("stages", []), config),
    method=settings.get("method") or "",
    size=size,
    seconds=float(row.get("seconds") or 0) if now == DONE else 0.0,
    worked=size * (1 - before),
    expected=expected.seconds if expected else None,
    at=at,
    checkpoint=checkpoint,
    kept=sum(_kept(own / name) for name in _BLOCKS) if under_way else 0,
  )


def _model(
  name: str, rows: Sequence[Mapping[str, Any]], config: Mapping[str, Any]
) -> str:
  """The model that a stage trains or runs, or that of this name."""
  row = next((row for row in rows if row["name"] == name), None)
  if row is None:
    return name if name in (config.get("models") or {}) else ""
  settings = (config.get("stages") or {}).get(name, {})
  named = next((settings[k] for k in _TO_MODEL if settings.get(k)), "")
  model: str = row.get("model") or ""
  # What a stage reads stands in front of it.
  before = rows[: rows.index(row)]
  return model or (_model(str(named), before, config) if named else "")


def _at(
  own: storage.Path,
  settings: Mapping[str, Any],
  name: str,
  progress: Mapping[str, Any],
  from_step: int | None,
) -> At | None:
  """How far a stage is: as its process says, or as its metrics do.

  Args:
    own: its folder.
    settings: what the config says of it.
    name: of the stage.
    progress: what its process has said.
    from_step: where the next start goes on, None while somebody is at it.
      Steps behind it are made again.
  """
  if _is_of(progress.get("work") or "", name):
    return at_of(progress)
  line = _last_line(own / "metrics.jsonl")
  if not (line and settings.get("steps") and settings.get("batch_size")):
    # A part of its work, such as a search; the stage takes longer.
    part = at_of(progress) if "work" in progress else None
    return part and part._replace(seconds_left=None)
  rate = (line.get("queries_per_second") or 0) / settings["batch_size"]
  begins = line["step"] if from_step is None else from_step
  left = (settings["steps"] - begins) / rate if rate > 0 else None
  return At(name, line["step"], settings["steps"], "steps", rate or None, left)


def at_of(progress: Mapping[str, Any]) -> At:
  """What a process has said last of its work."""
  return At(
    work=progress.get("work") or "",
    done=progress.get("done") or 0,
    total=progress.get("total"),
    unit=progress.get("unit") or "",
    rate=progress.get("rate"),
    seconds_left=progress.get("seconds_left"),
  )


def _last_line(path: storage.Path) -> dict[str, Any]:
  """The last whole line of a file of JSON lines."""
  if not path.exists():
    return {}
  for line in reversed(path.read_bytes().splitlines()):
    try:
      found = json_files.parse(line)
    except ValueError:  # a kill has cut it
      continue
    return {} if json_files.mismatch(found, _LINE) else found
  return {}


def _checkpoint(own: storage.Path) -> int | None:
  folder = own / _CHECKPOINTS
  names = [p.name for p in folder.iterdir()] if folder.exists() else []
  return max((int(name) for name in names if name.isdecimal()), default=None)


def _kept(folder: storage.Path) -> int:
  """Rows of whole blocks, some of them in a folder a split."""
  if not folder.exists():
    return 0
  rows = 0
  for path in folder.iterdir():
    if found := _BLOCK.fullmatch(path.name):
      marked = path.suffix or isinstance(path, pathlib.Path)
      rows += (int(found[2]) - int(found[1])) if marked else 0
    elif not path.suffix and path.is_dir():
      rows += _kept(path)
  return rows
