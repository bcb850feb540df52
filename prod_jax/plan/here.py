"""What the stages of a config would take of this machine, one row each.

A stage's seconds are those of its steps, texts and searches, as often as it has
them, of what it compiles, and of indexes that it makes. Left out are reading
and writing files, and what the host does of lists and rankings. What a stage
does may depend on others that have not run: then the row has the most that it
can be, and says why.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from absl import logging

from prod_jax import kinds, strict
from prod_jax.plan import batches, sample
from prod_jax.plan.clock import Clock, Took, What
from prod_jax.plan.sample import Sample
from prod_jax.stages import (
  examples,
  job_of,
  kind_of,
  sources,
  splits,
  widths,
)
from prod_jax.stages.run import Job, Run

Row = dict[str, Any]


class Part(NamedTuple):
  """What a stage does again and again."""

  unit: str
  times: int
  took: Took


def plan(run: Run, only: Sequence[str] = ()) -> list[Row]:
  """Rows of all stages, or of some, in their order.

  Args:
    run: its data set and tokens are made where they are not there.
    only: names of stages; empty is all.

  Raises:
    ConfigError: for a config that could not run, or an unknown stage.
    DataError: the set lacks what a stage reads.
  """
  stages = run.config.stages
  for name in only:
    if name not in stages:
      raise strict.ConfigError(strict.unknown_key(name, "--stage", stages))
  jobs = [job_of(run, name) for name in only or stages]
  splits.check_files(run.config, run.located)
  splits.check_negatives(run.config, run.located)
  for job in jobs:
    kind_of(job).check(job)
  splits.check(run.config, run.dataset)
  rows = sample.of(run.dataset)
  clock, made = Clock(run, rows), []
  for number, job in enumerate(jobs, 1):
    made.append(_row(clock, job, rows))
    logging.info(
      "stage %d of %d, %s: %s",
      number,
      len(jobs),
      job.name,
      "not measured"
      if made[-1]["seconds"] is None
      else f"{made[-1]['seconds']:.1f} s",
    )
  return made


def chips() -> int:
  """How many chips are here; a machine without any counts as one."""
  devices = jax.devices()
  if devices[0].platform == "cpu":
    return 1
  # A chip of some TPUs is two devices, in one place of one slice.
  places = {
    (getattr(d, "slice_index", 0), *d.coords) if hasattr(d, "coords") else d.id
    for d in devices
  }
  return len(places)


def _row(clock: Clock, job: Job[Any], rows: Sample) -> Row:
  of_kind = _PARTS.get(job.stage.kind)
  parts = [*of_kind(clock, job, rows)] if of_kind else []
  known = [part for part in parts if part is not None]
  why = ""
  if not of_kind:
    why = "the host's work on what is not there yet"
  elif len(known) < len(parts):
    why = f"how many lists {job.stage.candidates} has is not known"
  once = sum((part.took.once for part in known), start=0.0)
  again = sum(part.times * part.took.each for part in known)
  memory = [part.took.memory for part in known if part.took.memory]
  return {
    "stage": job.name,
    "kind": job.stage.kind,
    "parts": [
      {"unit": p.unit, "count": p.times, "seconds_each": p.took.each}
      for p in known
    ],
    "seconds": None if why else once + again,
    "once_seconds": once,
    "memory_bytes": max(memory, default=None),
    "at_most": [] if why else _at_most(job),
    "why": why,
  }


def _at_most(job: Job[Any]) -> list[str]:
  """Why the stage may take less."""
  gates = _gates(job.run, job.name)
  said = [f"unless {' or '.join(gates)} skips it"] * bool(gates)
  if isinstance(job.stage, kinds.Score | kinds.Compare | kinds.Darken):
    said.append(f"{job.stage.candidates} may have fewer or shorter lists")
  return said


def _gates(run: Run, name: str) -> list[str]:
  """The gates on which it depends whether a stage is run."""
  stages, found = run.config.stages, dict[str, list[str]]()
  for other, stage in stages.items():
    gates = [gate] if (gate := getattr(stage, "gate", "")) else []
    # An accept stage does with what it lacks.
    if not isinstance(stage, kinds.Accept):
      for source in sources.reads(stage, stages, run.config.models).values():
        gates += found[source]
    found[other] = list(dict.fromkeys(gates))
  return found[name]


def _train(
  clock: Clock, job: Job[kinds.Train], rows: Sample
) -> Iterator[Part | None]:
  del rows
  if job.stage.steps:
    yield Part("steps", job.stage.steps, clock.step(job))


def _encode(
  clock: Clock, job: Job[kinds.Encode], rows: Sample
) -> Iterator[Part | None]:
  yield _read(clock, job, "params", "passages", rows.total)
  for split in job.stage.splits:
    if split in rows.splits:
      count = rows.splits[split].queries
      yield _read(clock, job, "params", "queries", count)


def _mine(
  clock: Clock, job: Job[kinds.Mine], rows: Sample
) -> Iterator[Part | None]:
  stage = job.stage
  queries = _lists(job, rows)
  yield _search(clock, job, rows, queries or 0, stage.depth, stage.index)


def _score(
  clock: Clock, job: Job[kinds.Score], rows: Sample
) -> Iterator[Part | None]:
  yield _read_lists(clock, job, rows, "pairs", batches.list_columns(job))


def _compare(
  clock: Clock, job: Job[kinds.Compare], rows: Sample
) -> Iterator[Part | None]:
  asked = job.stage.pairs * (2 if job.stage.both_orders else 1)
  yield _read_lists(clock, job, rows, "triples", asked)


def _darken(
  clock: Clock, job: Job[kinds.Darken], rows: Sample
) -> Iterator[Part | None]:
  made = job.stage.strengthened + job.stage.masked
  yield _read_lists(clock, job, rows, "pairs", made)


def _gate(
  clock: Clock, job: Job[kinds.Gate], rows: Sample
) -> Iterator[Part | None]:
  stage, queries = job.stage, rows.splits[job.stage.split].queries
  yield _search(clock, job, rows, queries, stage.depth)
  if not isinstance(job.run.config.stages.get(stage.teacher), kinds.Encode):
    yield _read(clock, job, "teacher", "pairs", queries * stage.depth)


def _accept(
  clock: Clock, job: Job[kinds.Accept], rows: Sample
) -> Iterator[Part | None]:
  # Its student is measured once for each of those that it is held against.
  others = len({job.stage.before, job.stage.base} - {""})
  queries = rows.splits[job.stage.split].queries
  for _ in range(1 + others):
    yield _search(clock, job, rows, queries, job.stage.depth)


def _evaluate(
  clock: Clock, job: Job[kinds.Evaluate], rows: Sample
) -> Iterator[Part | None]:
  stage, queries = job.stage, rows.splits[job.stage.split].queries
  indexes = ["exact"]
  if stage.rerank:
    count = queries * stage.rerank_depth
    yield _read(clock, job, "rerank", "pairs", count)
  else:
    indexes += [index for index in stage.indexes if index != "exact"]
  for index in indexes:
    yield _search(clock, job, rows, queries, stage.depth, index)
  for width in stage.widths:
    took = clock.search("exact", width, rows.total, queries, stage.depth)
    yield Part("searches", queries, took)


_PARTS: Mapping[str, Callable[..., Iterator[Part | None]]] = {
  "train": _train,
  "encode": _encode,
  "mine": _mine,
  "score": _score,
  "compare": _compare,
  "darken": _darken,
  "gate": _gate,
  "accept": _accept,
  "evaluate": _evaluate,
}


def _read(
  clock: Clock, job: Job[Any], role: str, what: What, count: int
) -> Part:
  return Part(what, count, clock.texts(job, role, what, count))


def _read_lists(
  clock: Clock, job: Job[Any], rows: Sample, what: What, each: int
) -> Part | None:
  """So many texts of each list; None where it is not known how many lists."""
  lists = _lists(job, rows)
  if lists is None:
    return None
  return _read(clock, job, "params", what, lists * each)


def _search(
  clock: Clock,
  job: Job[Any],
  rows: Sample,
  queries: int,
  k: int,
  index: str = "exact",
) -> Part:
  width = widths.encoder_of(job, "encoded").width
  took = clock.search(index, width, rows.total, queries, k)
  return Part("searches", queries, took)


def _lists(job: Job[Any], rows: Sample) -> int | None:
  """How many lists a stage makes, or reads; None of those of a file."""
  stage = job.stage
  if not isinstance(stage, kinds.Mine):
    stage = examples.made(job, stage.candidates)
  if not isinstance(stage, kinds.Mine | kinds.Provided):
    return None
  queries, labelled = rows.splits[stage.split]
  if isinstance(stage, kinds.Provided):
    return labelled
  count = {
    "labelled": labelled,
    "unlabelled": queries - labelled,
    "all": queries,
  }[stage.queries]
  return min(count, stage.limit) if stage.limit else count
