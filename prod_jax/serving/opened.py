"""A library of what a command line names."""

import pathlib
from collections.abc import Sequence

from prod_jax import compilation, kinds, storage, strict
from prod_jax.export import finished, named, task
from prod_jax.report import record
from prod_jax.serving import listed
from prod_jax.serving.library import Library
from prod_jax.stages import accepted


def open_library(
  words: Sequence[str],
  overrides: Sequence[str],
  cache: pathlib.Path,
  stage: str = "",
) -> Library:
  """Opens a run, or models and a set.

  Args:
    words: the working folder of a run; or systems as of export/named.py, in
      which that folder alone stands for its student.
    overrides: behind `--config.`, such as data.path=FOLDER: the set, which of
      a run is its own unless one is named.
    cache: for what is made: vectors, tokens, prepared sets and programs.
    stage: of the run, instead of its last student.

  Raises:
    ConfigError: there is no such run, system, set or stage.
    DataError: the set cannot be read.
  """
  compilation.keep(cache / "compiled")
  are_runs = [_is_run(named.split(word).spec) for word in words]
  if stage and not any(are_runs):
    raise strict.ConfigError("--stage is of a run; name its WORKDIR")
  if len(words) == 1 and _is_run(words[0]) and not overrides:
    stages = _stages(words[0], cache)
    chosen = stages.chosen(stage)
    return Library(stages.run.dataset, stages.listed(chosen), chosen)
  parsed = named.parse(with_stages(words, cache, stage))
  for system in parsed:
    named.check_searches(system)
  first_run = next((s.stage[0] for s in parsed if s.stage[0]), "")
  opened = task.open_task(overrides, first_run, cache)
  return Library(
    opened.dataset, listed.of_task(parsed, opened), parsed[0].label
  )


def with_stages(
  words: Sequence[str], cache: pathlib.Path, stage: str = ""
) -> list[str]:
  """Systems of a command line, where a run's folder stands for its student.

  That is a model of the run where an accept stage kept what it began with.

  Args:
    words: as of export/named.py, or the working folder of a run.
    cache: as of `open_library`.
    stage: of each run, instead of its last student.
  """
  return [
    f"{word}:{_stages(spec, cache).chosen(stage)}" if _is_run(spec) else word
    for word, spec in ((word, named.split(word).spec) for word in words)
  ]


def _is_run(word: str) -> bool:
  return (storage.open_path(word) / finished.CURRICULUM).exists()


def _stages(word: str, cache: pathlib.Path) -> listed.Stages:
  run = finished.open_run(storage.open_path(word))
  run.processes.fetch(run.workdir / finished.RESULTS)
  for name, stage in run.config.stages.items():
    if isinstance(stage, kinds.Accept):
      run.processes.fetch(run.folder(name) / accepted.ACCEPTED)
  return listed.Stages(run, record.load(run.workdir), cache / listed.VECTORS)
