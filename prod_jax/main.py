"""python -m prod_jax.main --config=configs/quickstart.py --workdir=DIR

Runs the stages of a config, or shows what it would run. Exit codes: 0 all is
done; 2 the config or the data is wrong; 75 stopped by SIGTERM with everything
saved, and 76 another process of the run was lost: start again after either.
Where the lost process is the first one, JAX itself ends the others, with 134.
1 is any other failure; the other processes end with the code of the first one
that failed.
"""

import argparse
import contextlib
import functools
import json
import sys
from collections.abc import Sequence
from typing import Any

import jax
from absl import logging

from prod_jax import (
  compilation,
  config,
  curriculum,
  kinds,
  origin,
  presence,
  progress,
  report,
  stages,
  storage,
  strict,
  trackers,
)
from prod_jax.cli import arguments
from prod_jax.processes import PREEMPTED, Preempted, Processes, end, run_of
from prod_jax.sets.download import NotDownloaded
from prod_jax.stages import files, sources, splits, tracked
from prod_jax.stages.run import Job, Run


def build(run: Run) -> list[curriculum.Stage]:
  """The config's stages as the curriculum takes them.

  Raises:
    ConfigError: one of them reads what it cannot.
  """
  made = []
  for name in run.config.stages:
    job = stages.job_of(run, name)
    made.append(
      curriculum.Stage(
        name=name,
        kind=job.stage.kind,
        folder=job.folder,
        inputs={role: getattr(job.stage, role) for role in job.inputs},
        fingerprint=functools.partial(_fingerprint, job),
        run=functools.partial(stages.kind_of(job).run, job),
        record=_record_of(job),
        may_lack=("encoded",) if isinstance(job.stage, kinds.Accept) else (),
      )
    )
  return made


def check(run: Run) -> None:
  """Finds before the first stage what would stop a later one."""
  for name in run.config.stages:
    job = stages.job_of(run, name)
    sources.check_own(job)
    stages.kind_of(job).check(job)
  for name in run.config.models:
    run.check_tokenizer(name)
  trackers.check(run.config.trackers)


def _fingerprint(job: Job) -> dict[str, Any]:
  # How often a stage logs or saves does not change what it makes.
  quiet = ("log_every", "checkpoint_every", "block_queries")
  settings = strict.plain(job.stage)
  own = sources.own_models(job).items()
  return {
    "stage": {k: v for k, v in settings.items() if k not in quiet},
    **stages.kind_of(job).fingerprint(job),
    **{role: job.run.model_fingerprint(model) for role, model in own},
  }


def _record_of(job: Job) -> dict[str, Any]:
  """What the report tells of a stage: its model, and who taught it."""
  stage = job.stage
  if not isinstance(stage, kinds.Train):
    return {"model": None, "taught_by": None}
  taught_by = stage.teacher or "labels"
  if stage.scores:
    taught_by = sources.judge(job.run, stage.scores)
  return {"model": stage.model, "taught_by": taught_by}


def origin_of(run: Run) -> dict[str, Any]:
  """What it runs stages with: all that a figure's last digit depends on."""
  return {
    "seed": run.config.seed,
    "config_hash": curriculum.hash_of(_identity(run)),
    "data_fingerprint": run.located.fingerprint,
    **origin.here(jax.devices()),
  }


def _identity(run: Run) -> dict[str, Any]:
  """The config without paths, and instead of them what lies there.

  A data set has a fingerprint beside this, and an imported file is in the hash
  of its stage.
  """
  said = strict.plain(run.config)
  del said["trackers"]  # no figure depends on who looks at it
  for key in ("path", "data_dir", "tokenizer"):
    del said["data"][key]
  for name, model in said["models"].items():
    model["weights"] = run.model_fingerprint(name)["weights"]
    model["tokenizer"] = run.tokenizer_of(name).fingerprint
  for stage in said["stages"].values():
    stage.pop("path", None)
  return said


def main(run_config: config.Config, args: argparse.Namespace) -> None:
  """Runs or shows it, and ends the process with the code of how it ended.

  Args:
    run_config: what to run.
    args: how, as of `cli.run`.
  """
  try:
    _go(run_config, args)
  except arguments.REFUSED as error:
    logging.error("%s", error)
    end(2, error)
  except Preempted as stopped:
    logging.warning("%s; the same command goes on from there", stopped)
    sys.exit(PREEMPTED)
  except (Exception, KeyboardInterrupt) as error:
    code = arguments.code_of(error)
    if code == arguments.INTERRUPTED:
      logging.warning("interrupted; the same command goes on")
    elif code == 1:
      logging.exception("the run has failed")
    end(code, error)


def _go(run_config: config.Config, args: argparse.Namespace) -> None:
  """Checks the run, and does or shows what is pending."""
  with run_of(
    storage.open_path(args.workdir),
    args.coordinator,
    args.processes,
    args.process_id,
  ) as processes:
    run = Run(run_config, processes, may_fetch=not args.dry_run)
    files.check(run)
    check(run)
    if not args.dry_run:
      with _alone(processes):
        files.check_numbers(run)
        _run(run, args.stages)
      # Nobody may read it; all else is done by then.
      if processes.first:
        sys.stdout.write("\n" + report.table(run.workdir) + "\n")
        sys.stdout.flush()
      return
    plans = look(run)
    if processes.first:
      said = json.dumps(curriculum.listed(plans), indent=1)
      sys.stdout.write((said if args.json else curriculum.table(plans)) + "\n")


def _alone(processes: Processes) -> contextlib.AbstractContextManager[None]:
  """Keeps other runs out of the working folder; its first process does."""
  if not processes.first:
    return contextlib.nullcontext()
  return presence.held(processes.shared_folder, progress.latest)


def look(run: Run) -> list[curriculum.Plan]:
  """The stages and what of them is done; nothing is made to know it.

  Each process looks by itself: what one of them finds, another may not.
  """
  built = build(run)
  try:
    located = run.located
  except NotDownloaded as error:
    logging.warning(
      "%s: all stages count as pending, and splits are not checked", error
    )
    return [curriculum.Plan(s, "", curriculum.PENDING) for s in built]
  splits.check_negatives(run.config, located)
  if located.prepared:
    splits.check(run.config, located.open())
  else:
    logging.warning(
      "%s is not prepared yet: splits are not checked", located.source.name
    )
  return curriculum.plan(built, run.processes)


def _run(run: Run, only: Sequence[str]) -> None:
  """Does what is pending, of these stages or of all."""
  splits.check_negatives(run.config, run.located)
  plans = curriculum.plan(build(run), run.processes)
  splits.check(run.config, run.dataset)
  compilation.keep(run.workdir / "compiled")
  record = {
    "config": strict.plain(run.config),
    "dataset": run.dataset.name,
  }
  with contextlib.closing(run.trackers):
    curriculum.run(
      plans,
      run.processes,
      only,
      record,
      origin_of(run),
      functools.partial(_tell, run),
    )
  if run.processes.first:
    _report(run)


def _tell(run: Run, item: curriculum.Plan) -> None:
  """Tells the trackers of a stage that is done."""
  if run.trackers:
    results = item.summary.get("results", ())
    tracked.done(stages.job_of(run, item.stage.name), results)


def _report(run: Run) -> None:
  """Writes the page into the working folder."""
  workdir = run.workdir
  large = ("stale", "checkpoints", "blocks", "passages")
  run.processes.fetch(workdir, but=large)
  dataset = run.dataset
  texts = {q.id: q.text for split in dataset.queries.values() for q in split}
  qrels: dict[str, dict[str, int]] = {}
  for stage in run.config.stages.values():
    if isinstance(stage, kinds.Evaluate):
      qrels |= dataset.qrels(stage.split)

  def passage(name: str) -> tuple[str, str]:
    found = dataset.passages[dataset.row_of[name]]
    return found.title, found.text

  page = report.write_page(
    workdir,
    query_text=texts.__getitem__,
    passage_text=passage,
    qrels=qrels,
  )
  run.processes.publish(page)
  logging.info("report: %s", run.processes.remote(page))


if __name__ == "__main__":
  arguments.start("prod_jax.cli.run")
