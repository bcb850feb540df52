"""python -m prod_jax.main --config=configs/quickstart.py --workdir=DIR

Runs the stages of a config, or shows what it would run. Exit codes: 0 all is
done; 2 the config or the data is wrong, or a disk refuses; 75 stopped by
SIGTERM and 130 by Ctrl-C, with everything saved, and 76 another process of the
run was lost: start again after any of them.
Where the lost process is the first one, JAX itself ends the others, with 134.
1 is any other failure; the other processes end with the code of the first one
that failed.
"""

if __name__ == "__main__":
  # Before what takes long, for --help and what is wrong with a line.
  from prod_jax.cli import arguments

  arguments.start("prod_jax.cli.run")
  raise SystemExit

import argparse
import contextlib
import functools
import re
import sys
from collections.abc import Iterator, Sequence
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
  profiling,
  progress,
  report,
  run_files,
  stages,
  storage,
  strict,
  trackers,
)
from prod_jax.cli import arguments
from prod_jax.processes import PREEMPTED, Preempted, Processes, end, run_of
from prod_jax.report import record as written
from prod_jax.retrieval.forward import NonFiniteOutputs
from prod_jax.sets.download import NotDownloaded
from prod_jax.stages import broken, files, sources, splits, tracked
from prod_jax.stages.run import Job, OfTexts, Run
from prod_jax.train import kept

_NAME = re.compile(r"[\w-]+")


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
        run=functools.partial(_done, job),
        record=_record_of(job),
        may_lack=("encoded",) if isinstance(job.stage, kinds.Accept) else (),
      )
    )
  return made


def _done(job: Job) -> dict[str, Any]:
  """Does the work of a stage.

  Raises:
    NotFinite: a model makes something that is not finite.
  """
  try:
    summary = stages.kind_of(job).run(job)
  except NonFiniteOutputs as error:
    raise broken.of_texts(job, error) from error
  if job.run.processes.first:  # this time all was well
    job.run.processes.remove(job.folder / kept.FOLDER)
  return summary


def check(run: Run) -> None:
  """Finds before the first stage what would stop a later one."""
  if not run.config.stages:
    raise strict.ConfigError("config.stages is empty; name what is to be run")
  for name in run.config.stages:
    # It becomes a folder's, and stands between commas in --stages.
    if not _NAME.fullmatch(name):
      raise strict.ConfigError(
        f"config.stages has a stage {name!r}; a name has letters, digits, _ "
        "and - alone"
      )
    job = stages.job_of(run, name)
    sources.check_own(job)
    stages.kind_of(job).check(job)
  for name in run.config.models:
    run.check_tokenizer(name)
  trackers.check(run.config.trackers)
  _warn_of_gates(run)


def _warn_of_gates(run: Run) -> None:
  """Says which gates keep nothing from running."""
  described = run.config.stages
  asked = {getattr(stage, "gate", "") for stage in described.values()}
  for name, stage in described.items():
    if isinstance(stage, kinds.Gate) and name not in asked:
      logging.warning(
        "config.stages.%s keeps nothing back: no stage names it in its `gate`",
        name,
      )


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
    "config_hash": run_files.hash_of(_identity(run)),
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
  except strict.Refused as error:
    logging.error("%s", error)
    end(2, error)
  except Preempted as stopped:
    logging.warning("%s; the same command goes on from there", stopped)
    sys.exit(arguments.INTERRUPTED if stopped.by_hand else PREEMPTED)
  except kept.NotFinite as error:
    logging.error("%s", error)  # where it is from, a replay says
    end(1, error)
  except (Exception, KeyboardInterrupt) as error:
    if said := storage.trouble(error):
      # A write that fails does not say to which file.
      named = getattr(error, "filename", None)
      where = "" if named else f"--workdir={args.workdir}: "
      logging.error("%s%s", where, said)
      end(2, error)
    code = arguments.code_of(error)
    if code == arguments.INTERRUPTED:
      logging.warning("interrupted; the same command goes on")
    elif code == 1:
      logging.exception("the run has failed")
    end(code, error)


def _go(run_config: config.Config, args: argparse.Namespace) -> None:
  """Checks the run, and does or shows what is pending."""
  workdir = storage.open_path(args.workdir)
  if args.dry_run:
    presence.check_place(workdir)  # as a run does where it begins
  with run_of(
    workdir,
    args.coordinator,
    args.processes,
    args.process_id,
  ) as processes:
    run = Run(
      run_config,
      processes,
      may_fetch=not args.dry_run,
      profile=_profile(run_config, processes, args.trace),
    )
    files.check(run)
    check(run)
    if not args.dry_run:
      with _alone(processes):
        files.check_numbers(run)
        _run(run, args.stages)
      # Nobody may read it; all else is done by then.
      if processes.first:
        arguments.say("", *report.table(run.workdir).split("\n"))
        sys.stdout.flush()
      return
    plans = curriculum.chosen(look(run), args.stages)
    if processes.first:
      if args.json:
        arguments.say_json(curriculum.listed(plans))
      else:
        arguments.say(*curriculum.table(plans))


def _profile(
  run_config: config.Config, processes: Processes, text: str
) -> profiling.Profile:
  """The profile that --trace asks for; the first process makes it.

  Raises:
    ConfigError: there is no such stage, or it has no such steps.
  """
  if not text:
    return profiling.IDLE
  asked, named = profiling.parse(text), run_config.stages
  if asked.stage not in named:
    raise strict.ConfigError(strict.unknown_key(asked.stage, "--trace", named))
  stage = named[asked.stage]
  if not isinstance(stage, kinds.Train | OfTexts):
    raise strict.ConfigError(
      f"--trace={text}: {asked.stage} is of kind {stage.kind}, in which no "
      "model runs in steps"
    )
  if isinstance(stage, kinds.Train) and asked.last > stage.steps:
    raise strict.ConfigError(
      f"--trace={text}: {asked.stage} has {stage.steps} steps"
    )
  folder = processes.local_folder / profiling.FOLDER / asked.folder
  return profiling.Profile(asked if processes.first else None, folder)


@contextlib.contextmanager
def _profiled(run: Run) -> Iterator[None]:
  """Ends a profile with the run, however that ends."""
  try:
    yield
  finally:
    run.profile.close()
    run.processes.publish(run.workdir / profiling.FOLDER)


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
  splits.check_files(run.config, located)
  splits.check_negatives(run.config, located)
  if located.prepared:
    splits.check(run.config, located.open())
  else:
    splits.check_first_lines(located)
    logging.warning(
      "%s is not prepared yet: what is in its splits is not checked, nor are "
      "its lines beyond the first passages; `prod_jax prepare` reads all of "
      "them, as a run does before its first stage",
      located.source.name,
    )
  return curriculum.plan(built, run.processes)


def _run(run: Run, only: Sequence[str]) -> None:
  """Does what is pending, of these stages or of all."""
  splits.check_files(run.config, run.located)
  splits.check_negatives(run.config, run.located)
  plans = curriculum.plan(build(run), run.processes)
  splits.check(run.config, run.dataset)
  # Not in the working folder, which may be anybody's: they are native code.
  compilation.keep(storage.cache() / "compiled")
  record = {
    "config": strict.plain(run.config),
    "dataset": run.dataset.name,
    **run_files.run_from(),
  }
  with contextlib.closing(run.trackers), _profiled(run):
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
  large = ("stale", "checkpoints", "blocks", "passages", profiling.FOLDER)
  run.processes.fetch(workdir, but=large)
  dataset, split = run.dataset, written.load(workdir).split
  # Ids are those of one split: another one may have the same.
  texts = {q.id: q.text for q in dataset.queries.get(split, ())}

  def passage(name: str) -> tuple[str, str]:
    found = dataset.passages[dataset.row_of[name]]
    return found.title, found.text

  page = report.write_page(
    workdir,
    query_text=texts.__getitem__,
    passage_text=passage,
    qrels=dataset.qrels(split) if texts else {},
  )
  run.processes.publish(page)
  logging.info("report: %s", run.processes.remote(page))
