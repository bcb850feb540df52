"""What a trained model comes from: stages, teachers, data, and their hashes."""

import importlib.metadata
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from prod_jax import packaged, strict
from prod_jax.curriculum import DONE
from prod_jax.export.finished import Trained
from prod_jax.report import record
from prod_jax.stages import folders
from prod_jax.stages.run import PARAMS

_PACKAGES = ("prod_jax", "jax", "flax", "optax", "numpy", "tokenizers")


def upstream(trained: Trained) -> list[record.Stage]:
  """The stages that a model depends on and its own, as they were run."""
  stages = trained.left.stages

  def reached(name: str) -> Iterator[str]:
    yield name
    for read in stages[name].inputs.values():
      if read in stages:
        yield from reached(read)

  found = set(reached(trained.name))
  return [stage for name, stage in stages.items() if name in found]


def teachers(trained: Trained) -> list[record.Stage]:
  """The last train stage of each other model that had a part in it."""
  own = trained.stage.model
  last = {
    stage.model: stage
    for stage in upstream(trained)
    if stage.kind == "train" and stage.model != own
  }
  return list(last.values())


def as_they_are(trained: Trained) -> list[str]:
  """The models that taught with their own weights."""
  taught_by = dict.fromkeys(stage.taught_by for stage in upstream(trained))
  stages, models = trained.left.stages, trained.run.config.models
  return [name for name in taught_by if name in models and name not in stages]


def imported(trained: Trained) -> list[record.Stage]:
  """The stages with scores of the user's that had a part in it."""
  stages = upstream(trained)
  taught_by = {stage.taught_by for stage in stages}
  return [s for s in stages if s.kind == "imported" and s.name in taught_by]


def provenance(trained: Trained, folder: pathlib.Path) -> dict[str, Any]:
  """Hashes from data over teachers to weights.

  Args:
    trained: whose model it is.
    folder: of the export, with its files in it.
  """
  run = trained.run
  models = {s.model for s in upstream(trained) if s.kind == "train"}
  models.update(as_they_are(trained))
  return {
    "stage": trained.name,
    "seed": run.config.seed,
    "config": strict.plain(run.config),
    "dataset": {"name": trained.left.dataset, "fingerprint": _dataset(trained)},
    "tokenizer": trained.tokenizer.fingerprint,
    "first_weights": {
      name: _first_weights(trained, name) for name in sorted(models)
    },
    "stages": [_stage(trained, stage) for stage in upstream(trained)],
    "files": {
      str(path.relative_to(folder)): packaged.sha256(path)
      for path in sorted(folder.rglob("*"))
      if path.is_file() and path.name != "README.md"  # it gets filled in
    },
    "versions": {"python": sys.version.split()[0], **_versions()},
    "git_commit": _commit(),
  }


def _dataset(trained: Trained) -> str | None:
  """Of the set's content; None where it is not on this machine any more."""
  try:
    return trained.run.located.fingerprint
  except (OSError, ValueError):
    return None


def _first_weights(trained: Trained, name: str) -> str:
  """Digests of what a model began with, "" for random numbers."""
  model = trained.run.model_config(name)
  if not model.weights:
    return ""
  return " ".join(map(packaged.sha256, folders.files(model)))


def _stage(trained: Trained, stage: record.Stage) -> dict[str, Any]:
  """What is known of a stage without running it again."""
  params = stage.folder / PARAMS
  done = trained.run.processes.remote(stage.folder) / DONE
  return {
    "name": stage.name,
    "kind": stage.kind,
    "hash": json.loads(done.read_text())["hash"] if done.exists() else None,
    "inputs": dict(stage.inputs),
    "params": packaged.sha256(params) if params.is_file() else None,
  }


def _versions() -> dict[str, str]:
  """Of the packages whose version may change a digit."""
  found = {}
  for name in _PACKAGES:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue
  return found


def _commit() -> str | None:
  """Of prod_jax, where it runs from a clone."""
  clone = pathlib.Path(__file__).parents[2]
  if not (clone / ".git").exists() or not shutil.which("git"):
    return None
  done = subprocess.run(
    ["git", "rev-parse", "HEAD"], cwd=clone, capture_output=True, text=True
  )
  return done.stdout.strip() or None
