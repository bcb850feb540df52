"""python -m prod_jax.main --config=configs/quickstart.py --workdir=DIR

Runs the stages of a config, or shows what it would run. Exit codes: 0 all is
done; 2 the config or the data is wrong; 75 stopped by SIGTERM with everything
saved, and 76 another process of the run was lost: start again after either.
Where the lost process is the first one, JAX itself ends the others, with 134.
1 is any other failure; the other processes end with the code of the first one
that failed.
"""

import functools
import logging as stdlib_logging
import pathlib
import sys
from typing import Any

from absl import app, flags, logging

from prod_jax import (
  compilation,
  config,
  config_file,
  curriculum,
  kinds,
  report,
  stages,
  storage,
  strict,
)
from prod_jax.processes import PREEMPTED, Preempted, end, run_of
from prod_jax.sets.records import DataError
from prod_jax.stages import files, sources
from prod_jax.stages.run import Job, Run

_CONFIG = flags.DEFINE_string(
  "config",
  None,
  "Config file. Behind a colon: a variant and key=value overrides, separated "
  "by commas. Each --strict.section.key=value overrides one more key.",
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "Folder for all artefacts, on a disk or in a bucket (gs://…); a second run "
  "continues there. All processes of a run need to see the same.",
)
_STAGES = flags.DEFINE_list(
  "stages", [], "Run only these stages; what they read must be done."
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run", False, "Print the stages and what of them is cached, then stop."
)
_COORDINATOR = flags.DEFINE_string(
  "coordinator",
  "",
  "host:port of process 0, where a run has several; on TPU VMs it is found.",
)
_PROCESSES = flags.DEFINE_integer("processes", 0, "How many these are.")
_PROCESS_ID = flags.DEFINE_integer("process_id", -1, "Which one this is.")
_OVERRIDE = "--config."


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
        inputs=sources.reads(job.stage),
        fingerprint=functools.partial(_fingerprint, job),
        run=functools.partial(stages.KINDS[job.stage.kind].run, job),
        record=_record_of(job),
      )
    )
  return made


def check(run: Run) -> None:
  """Finds before the first stage what would stop a later one."""
  for name, stage in run.config.stages.items():
    stages.KINDS[stage.kind].check(stages.job_of(run, name))


def _fingerprint(job: Job) -> dict[str, Any]:
  # How often a stage logs or saves does not change what it makes.
  quiet = ("log_every", "checkpoint_every", "block_queries")
  settings = strict.plain(job.stage)
  return {
    "stage": {k: v for k, v in settings.items() if k not in quiet},
    **stages.KINDS[job.stage.kind].fingerprint(job),
  }


def _record_of(job: Job) -> dict[str, Any]:
  """What the report tells of a stage: its model, and who taught it."""
  stage = job.stage
  if not isinstance(stage, kinds.Train):
    return {"model": None, "taught_by": None}
  source = job.source("scores") if stage.scores else None
  taught_by = stage.teacher or getattr(source, "params", "labels")
  return {"model": stage.model, "taught_by": taught_by}


def main(argv: list[str]) -> None:
  extra = [a for a in argv[1:] if not a.startswith(_OVERRIDE)]
  if extra:
    raise app.UsageError(f"unknown arguments: {' '.join(extra)}")
  overrides = [a.removeprefix(_OVERRIDE) for a in argv[1:]]
  try:
    _go(config_file.load(_CONFIG.value, overrides))
  except (strict.ConfigError, DataError) as error:
    logging.error("%s", error)
    end(2, error)
  except Preempted as stopped:
    logging.warning("%s; the same command goes on from there", stopped)
    sys.exit(PREEMPTED)
  except (Exception, KeyboardInterrupt) as error:
    logging.exception("the run has failed")
    end(1, error)


def _go(run_config: config.Config) -> None:
  """Plans the run, and does or shows what is pending."""
  with run_of(
    storage.open_path(_WORKDIR.value),
    _COORDINATOR.value,
    _PROCESSES.value,
    _PROCESS_ID.value,
  ) as processes:
    run = Run(run_config, processes)
    files.check(run_config)
    plans = curriculum.plan(build(run), processes)
    check(run)
    if not _DRY_RUN.value:
      _run(run, plans)
    elif processes.first:
      sys.stdout.write(curriculum.table(plans) + "\n")


def _run(run: Run, plans: list[curriculum.Plan]) -> None:
  compilation.keep(run.workdir / "compiled")
  record = {
    "config": strict.plain(run.config),
    "dataset": run.dataset.name,
  }
  curriculum.run(plans, run.processes, _STAGES.value, record)
  if run.processes.first:
    _report(run)


def _report(run: Run) -> None:
  """The table on standard output, and the page in the working folder."""
  workdir = run.workdir
  large = ("stale", "checkpoints", "blocks", "passages")
  run.processes.fetch(workdir, but=large)
  sys.stdout.write("\n" + report.table(workdir) + "\n")
  dataset = run.dataset
  texts = {q.id: q.text for split in dataset.queries.values() for q in split}
  qrels = {}
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


def entry() -> None:
  """The console script."""
  flags.mark_flags_as_required(["config", "workdir"])
  _set_up_logging()
  app.run(main, flags_parser=_parse)


def _set_up_logging() -> None:
  """Our own lines with the time; of the libraries' only the warnings.

  Orbax and TFDS narrate through the same logger.
  """
  logging.set_verbosity(logging.INFO)
  ours = str(pathlib.Path(__file__).parent)
  handler = logging.get_absl_handler()
  handler.setFormatter(
    stdlib_logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
  )
  handler.addFilter(
    lambda r: r.levelno >= stdlib_logging.WARNING or r.pathname.startswith(ours)
  )


def _parse(argv: list[str]) -> list[str]:
  """absl's parser, with `--config.key=value` left for `config.load`."""
  ours = [a for a in argv[1:] if a.startswith(_OVERRIDE)]
  rest = [a for a in argv if not a.startswith(_OVERRIDE)]
  try:
    return flags.FLAGS(rest) + ours
  except flags.Error as e:
    sys.stderr.write(f"{e}\nsee python -m prod_jax.main --help\n")
    sys.exit(2)


if __name__ == "__main__":
  entry()
