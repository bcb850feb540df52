"""A run as a list of stages: order, artefacts, hashes, DONE files, resume.

A stage leaves its artefacts in `workdir/<nn>-<name>/` and then a DONE file
with the hash of everything that they depend on. Where that file stands with
the right hash the stage is skipped. Work that another config left behind is
moved to `workdir/stale/`, never overwritten. Where an artefact is no longer as
the DONE file says, the stage runs again. Where several processes run, all
of them run each stage, and the first one keeps the books. This module knows
names, inputs and hashes; what a stage does is a function that it is given.
"""

import concurrent.futures
import dataclasses
import json
import pathlib
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from absl import logging

from prod_jax import artefacts, compilation, run_files, storage, strict
from prod_jax.processes import Processes
from prod_jax.retrieval import blocks

DONE = storage.DONE
# Nothing depends on them: losing them is no reason to do the work again.
_BESIDE = ("metrics.jsonl", storage.STARTED, DONE)
# Checkpoints are read where they are, and blocks when they are needed.
_ELSEWHERE = ("checkpoints", "checkpoints-damaged", blocks.FOLDER)
_SAID = ("hash", "seconds", "summary")  # by each DONE file
PENDING, CACHED, RAN, SKIPPED = "pending", "cached", "done", "skipped"
_ASKED_AT_ONCE = 16  # stages
GATE = "gate"  # the role of a stage that says whether others are run at all


@dataclasses.dataclass(frozen=True)
class Stage:
  """A unit of work.

  Attributes:
    name: unique in the run.
    kind: of the stage, a part of the hash.
    folder: its own, on this machine.
    inputs: names of the earlier stages that it reads, by role.
    fingerprint: returns what the result depends on besides those, as JSON.
    run: leaves the artefacts in the folder and returns a summary of scalars.
      Its entry "results", a list of rows, goes to results.json instead. The
      summary of the first process counts.
    record: more for curriculum.json, such as the model that is trained.
    may_lack: roles in which it can do with a stage that was skipped, because
      it only chooses: who reads it, reads one of its inputs.
  """

  name: str
  kind: str
  folder: pathlib.Path
  inputs: Mapping[str, str]
  fingerprint: Callable[[], Any]
  run: Callable[[], dict[str, Any]]
  record: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  may_lack: Collection[str] = ()


@dataclasses.dataclass
class Plan:
  """A stage, and whether its artefacts are there.

  What its DONE file says of it; `fingerprint`: what the result depends on;
  `origin`: what it was run with, which is today's where it runs today;
  `damage`: what is wrong with files of a stage that was done, by their names;
  and `was`: what its folder is called until `run`, where a stage was put before
  it or taken away, "" where as it should be.
  """

  stage: Stage
  hash: str
  status: str
  seconds: float = 0.0
  summary: dict[str, Any] = dataclasses.field(default_factory=dict)
  fingerprint: Any = None
  origin: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  damage: Mapping[str, str] = dataclasses.field(default_factory=dict)
  was: str = ""

  @property
  def skipped(self) -> str:
    """Why it was not run, "" unless it was skipped."""
    return self.summary.get(SKIPPED, "")


def plan(stages: Sequence[Stage], processes: Processes) -> list[Plan]:
  """What running `stages` would find done and what it would have to do."""
  plans: dict[str, Plan] = {}
  for stage in stages:
    fingerprint = stage.fingerprint()
    digest = run_files.hash_of(
      {
        "kind": stage.kind,
        "fingerprint": fingerprint,
        "inputs": {r: plans[n].hash for r, n in stage.inputs.items()},
      }
    )
    plans[stage.name] = Plan(stage, digest, PENDING, fingerprint=fingerprint)
  shared = processes.shared_folder
  names = {x.name for x in shared.iterdir()} if shared.is_dir() else set()
  # A bucket takes its time for each question, and has many at once.
  with concurrent.futures.ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
    list(pool.map(lambda item: _look(item, processes, names), plans.values()))
  return list(plans.values())


def chosen(plans: Sequence[Plan], only: Sequence[str]) -> list[Plan]:
  """The stages of these names, or all; ConfigError for a name of none."""
  known = [item.stage.name for item in plans]
  if unknown := [name for name in only if name not in known]:
    raise strict.ConfigError(
      f"--stages: there is no stage {unknown[0]!r}; known: {', '.join(known)}"
    )
  return [item for item in plans if not only or item.stage.name in only]


def run(
  plans: Sequence[Plan],
  processes: Processes,
  only: Sequence[str] = (),
  record: Mapping[str, Any] | None = None,
  origin: Mapping[str, Any] | None = None,
  done: Callable[[Plan], None] = lambda item: None,
) -> None:
  """Runs what is pending, in order, and keeps the record up to date.

  Args:
    plans: from `plan`; their status is updated.
    processes: of the run; curriculum.json and results.json are written to its
      working folder.
    only: names to run; empty is all.
    record: entries of curriculum.json besides its stages.
    origin: what this process runs stages with, such as versions, for the DONE
      files and rows of the stages that it runs.
    done: is told, on the first process, of each stage that is.

  Raises:
    ConfigError: for an unknown name, or an input that is not done.
    Preempted: the run has to stop.
    Apart: the processes do not see the same stages or artefacts.
  """
  by_name = {p.stage.name: p for p in plans}
  chosen(plans, only)
  processes.shared_folder.mkdir(parents=True, exist_ok=True)
  processes.see_one_folder()
  seen = [(p.stage.name, p.hash, p.status, p.was) for p in plans]
  processes.meet(f"stages {run_files.hash_of(seen)}")
  _renumber(plans, processes)
  if processes.first:
    # For those who look while the first stage runs.
    _record(plans, processes.shared_folder, record or {})
  for item in plans:
    if item.status == CACHED:
      why = f"; it was skipped, {item.skipped}" if item.skipped else ""
      logging.info("%s: cached, nothing to do%s", item.stage.name, why)
      folder = item.stage.folder
      if processes.first and folder == processes.remote(folder):
        artefacts.restamp(folder, run_files.done(folder).get("files") or {})
    elif not only or item.stage.name in only:
      processes.leave_if_stopped(
        f"before {item.stage.name}; what is done is saved"
      )
      item.origin = origin or {}
      _run_one(item, by_name, processes)
      if processes.first:  # nothing new is known of others
        _record(plans, processes.shared_folder, record or {})
    if processes.first and item.status != PENDING and not item.skipped:
      done(item)


def table(plans: Sequence[Plan]) -> list[str]:
  """The stages as lines: number, name, kind, inputs, folder, status."""
  rows = [("stage", "kind", "reads", "writes", "status")]
  for item in plans:
    stage = item.stage
    reads = ", ".join(f"{r}={n}" for r, n in stage.inputs.items()) or "-"
    status = "; ".join((item.status, *map(" ".join, item.damage.items())))
    status += f"; is still {item.was}" if item.was else ""
    rows.append((stage.name, stage.kind, reads, stage.folder.name, status))
  widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
  return [
    "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
    for row in rows
  ]


def listed(plans: Sequence[Plan]) -> list[dict[str, Any]]:
  """The same for a machine, as JSON."""
  return [
    {
      "name": item.stage.name,
      "kind": item.stage.kind,
      "dir": item.stage.folder.name,
      "inputs": dict(item.stage.inputs),
      "was": item.was,
      "status": item.status,
      "hash": item.hash,
      "damage": dict(item.damage),
    }
    for item in plans
  ]


def _look(item: Plan, processes: Processes, names: Collection[str]) -> None:
  """Finds out whether a stage's artefacts are there, and as they were.

  `names` are those of all that is in the working folder.
  """
  folder = processes.remote(item.stage.folder)
  item.was = run_files.other_number(folder, names, item.hash)
  folder = folder.with_name(item.was or folder.name)
  done = run_files.done(folder)
  if done.get("hash") == item.hash and all(key in done for key in _SAID):
    item.damage = artefacts.damage(folder, done.get("files") or {})
    if not item.damage:
      item.status, item.seconds = CACHED, done["seconds"]
      item.summary, item.origin = done["summary"], done.get("origin") or {}
  elif done and run_files.started(folder) == item.hash:
    item.damage = {DONE: "is of other work"}


def _renumber(plans: Sequence[Plan], processes: Processes) -> None:
  """Lets folders have the numbers that the config gives their stages."""
  moved = [item for item in plans if item.was]
  for item in moved if processes.first else []:
    folder = item.stage.folder
    shared = processes.remote(folder)
    if shared.exists() and run_files.started(shared) != item.hash:
      run_files.set_aside(shared)
    processes.remove(folder)  # half of it, or its twin of another run
    processes.rename(folder.with_name(item.was), folder)
    logging.info("%s: %s is %s now", item.stage.name, item.was, folder.name)
  if moved:
    processes.meet("folders have their numbers")


def _run_one(
  item: Plan, by_name: Mapping[str, Plan], processes: Processes
) -> None:
  inputs = {role: by_name[name] for role, name in item.stage.inputs.items()}
  for role, source in inputs.items():
    if source.status == PENDING:
      raise strict.ConfigError(
        f"stage {item.stage.name} reads {source.stage.name} as {role}, which "
        f"has not run; add it to --stages"
      )
  if processes.first:
    _prepare(item, processes)
  processes.meet(f"{item.stage.name}: starts")
  logging.info("%s: starts (%s)", item.stage.name, item.stage.kind)
  began = time.monotonic()
  _begin(item, processes)
  if why := _why_skipped(item, inputs):
    logging.info("%s: skipped, %s", item.stage.name, why)
    item.summary = {SKIPPED: why}
  else:
    for source in _behind(inputs.values(), by_name).values():
      processes.fetch(source.stage.folder, but=_ELSEWHERE)
    with compilation.logged(item.stage.name):
      item.summary = item.stage.run()
  # Of a resumed stage, only what it took since it was resumed.
  item.seconds = round(time.monotonic() - began, 2)
  item.status = RAN
  if processes.first:
    _finish(item, processes)
  processes.meet(f"{item.stage.name}: done")
  if not processes.first:
    # What the first one has found decides for all whether others are skipped.
    done = storage.read_object(processes.remote(item.stage.folder) / DONE)
    item.summary = done["summary"]
  shutil.rmtree(item.stage.folder / blocks.FOLDER, ignore_errors=True)
  logging.info("%s: done in %.1f s", item.stage.name, item.seconds)


def _why_skipped(item: Plan, inputs: Mapping[str, Plan]) -> str:
  """Why a stage is not to run: a gate that was not passed, or a skipped input.

  "" where it is.
  """
  for role, source in inputs.items():
    if source.skipped and role not in item.stage.may_lack:
      return f"as {source.stage.name} was"
    if role == GATE and not source.summary["passed"]:
      return f"because {source.summary['why']}"
  return ""


def _behind(
  sources: Iterable[Plan], by_name: Mapping[str, Plan]
) -> dict[str, Plan]:
  """What is read, and what it stands for: vectors, and their weights."""
  found = {source.stage.name: source for source in sources}
  for source in [*found.values()]:
    if source.stage.may_lack:
      named = [by_name[name] for name in source.stage.inputs.values()]
      weights = [by_name[n] for x in named for n in x.stage.inputs.values()]
      found |= _behind([*named, *weights], by_name)
  return found


def _prepare(item: Plan, processes: Processes) -> None:
  """Leaves the folder empty, or with this very stage's unfinished work."""
  folder = processes.remote(item.stage.folder)
  started = run_files.started(folder)
  if folder.exists() and started != item.hash:
    logging.info(
      "%s: the config or an input has changed; what was there is now in %s",
      item.stage.name,
      run_files.set_aside(folder),
    )
  folder.mkdir(parents=True, exist_ok=True)
  for name, wrong in item.damage.items():
    logging.warning(
      "%s: runs again, because %s %s", item.stage.name, folder / name, wrong
    )
    # What is left is as it was, and may serve; of a folder all or nothing.
    path = item.stage.folder / name
    if path.parent == item.stage.folder:
      (folder / name).unlink(missing_ok=True)
    else:
      blocks.forget(path.parent, processes)
  (folder / DONE).unlink(missing_ok=True)
  if not (folder / storage.STARTED).exists():
    _write(
      folder / storage.STARTED, {"hash": item.hash, "id": uuid.uuid4().hex}
    )


def _begin(item: Plan, processes: Processes) -> None:
  """Leaves this machine's twin of the folder empty, or of this very start."""
  started = storage.read_object(
    processes.remote(item.stage.folder) / storage.STARTED
  )
  if storage.read_object(item.stage.folder / storage.STARTED) != started:
    shutil.rmtree(item.stage.folder, ignore_errors=True)
    item.stage.folder.mkdir(parents=True)
    _write(item.stage.folder / storage.STARTED, started)
  (item.stage.folder / DONE).unlink(missing_ok=True)  # it runs once more


def _finish(item: Plan, processes: Processes) -> None:
  """Makes the artefacts last, then says so, then drops what led to them."""
  # What processes made in common is there already.
  processes.publish(item.stage.folder, but=(*_ELSEWHERE, "passages"))
  shared = processes.remote(item.stage.folder)
  done = {
    "hash": item.hash,
    "fingerprint": item.fingerprint,
    "origin": item.origin,
    "seconds": item.seconds,
    "summary": item.summary,
    "files": artefacts.record(shared, (*_ELSEWHERE, *_BESIDE, artefacts.SEAL)),
    "id": uuid.uuid4().hex,
  }
  # Who copies meanwhile takes what is here for work that goes on.
  for folder in dict.fromkeys((shared, item.stage.folder)):
    _write(folder / DONE, storage.sealed(done))
  processes.remove(item.stage.folder / blocks.FOLDER)


def _record(
  plans: Sequence[Plan], workdir: storage.Path, record: Mapping[str, Any]
) -> None:
  rows: list[dict] = []
  stages = []
  for item in plans:
    summary = dict(item.summary)
    made = {"stage_hash": item.hash, **item.origin}
    rows += [row | made for row in summary.pop("results", [])]
    stages.append(
      {
        "name": item.stage.name,
        "kind": item.stage.kind,
        "dir": item.stage.folder.name,
        "hash": item.hash,
        "status": SKIPPED if item.skipped else item.status,
        "seconds": item.seconds,
        "inputs": dict(item.stage.inputs),
        "summary": summary,
        "origin": item.origin,
        **item.stage.record,
      }
    )
  _write(workdir / storage.RESULTS, rows)
  _write(workdir / storage.CURRICULUM, {**record, "stages": stages})


def _write(path: storage.Path, value: Any) -> None:
  storage.write_text(path, json.dumps(value, indent=2))
