"""What a trained model comes from: stages, teachers, data, and their hashes."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from prod_jax import json_files, origin, packaged, run_files, stages, strict
from prod_jax.curriculum import GATE
from prod_jax.export.finished import Trained, recorded, sets_of
from prod_jax.models import hub
from prod_jax.report import record
from prod_jax.sets.datasets import published
from prod_jax.stages import folders, sources
from prod_jax.stages.run import PARAMS

PROVENANCE = "provenance.json"
CARD = "README.md"
# Keys of a config that name files and folders, besides weights.
_PATHS = ("path", "data_dir", "tokenizer")


def upstream(trained: Trained) -> list[record.Stage]:
  """The stages that a model depends on and its own, as they were run.

  Of those that an accept stage chose among, the one that it took on. A gate
  says whether a stage runs, and gives it nothing.
  """
  left = trained.left.stages

  def reached(name: str) -> Iterator[str]:
    yield name
    stage = left[name]
    given = [other for role, other in stage.inputs.items() if role != GATE]
    for other in [stage.chose] if stage.kind == "accept" else given:
      if other in left:
        yield from reached(other)

  found = set(reached(trained.name))
  return [stage for name, stage in left.items() if name in found]


class Teacher(NamedTuple):
  """Whoever had a part in a model besides its data.

  Attributes:
    name: of a train stage, of a model as it is, or of a stage that read scores.
    model: that it trained or is; "" where the scores are of a file.
  """

  name: str
  model: str


def teachers(trained: Trained) -> list[Teacher]:
  """The other models that had a part in it, and scores from files.

  Of a model that was trained in several stages, the last one.
  """
  own, run_before = trained.stage.model, upstream(trained)
  learnt = {
    stage.inputs.get(role)
    for stage in run_before
    for role in ("scores", "second")
  }
  found: dict[tuple[str, str], Teacher] = {}
  for stage in run_before:
    for model in _as_they_are(trained, stage).values():
      found.setdefault(("model", model), Teacher(model, model))
    if stage.kind == "train":
      found["model", stage.model] = Teacher(stage.name, stage.model)
    if stage.kind == "imported" and stage.name in learnt:
      found["file", stage.name] = Teacher(stage.name, "")
  found.pop(("model", own), None)
  return list(found.values())


def taught_by(trained: Trained) -> list[str]:
  """Whom the model learnt from besides labels, stage by stage, each once."""
  own = [s for s in upstream(trained) if s.model == trained.stage.model]
  names = dict.fromkeys(s.taught_by for s in own)
  files = imported(trained)
  return [
    f"scores of {files[name].name}" if name in files else name
    for name in names
    if name not in ("", "labels")
  ]


def imported(trained: Trained) -> dict[str, pathlib.Path]:
  """The files with lists or scores that it depends on, by their stage."""
  return {
    stage.name: pathlib.Path(trained.run.stage(stage.name).path)
    for stage in upstream(trained)
    if stage.kind == "imported"
  }


def provenance(trained: Trained, folder: pathlib.Path) -> dict[str, Any]:
  """Hashes from data over teachers to weights.

  Args:
    trained: whose model it is.
    folder: of the export, with its files and its card in it.
  """
  run = trained.run
  return {
    "stage": trained.name,
    "seed": run.config.seed,
    "config": _public(strict.plain(run.config)),
    "dataset": {"name": trained.left.dataset, "fingerprint": _dataset(trained)},
    "tokenizer": trained.tokenizer.fingerprint,
    "first_weights": _first_weights(trained),
    "imported": {
      name: _file(trained, name, path)
      for name, path in imported(trained).items()
    },
    "stages": [_stage(trained, stage) for stage in upstream(trained)],
    "files": {
      str(path.relative_to(folder)): packaged.sha256(path)
      for path in sorted(folder.rglob("*"))
      if path.is_file() and path.name != CARD  # it gets filled in
    },
    "card": packaged.sha256(folder / CARD),
    "versions": origin.versions(),
    "git_commit": origin.commit(),
  }


class Written(NamedTuple):
  """What an export put into its folder.

  Attributes:
    files: by their names in it, without card and provenance.
    card: its digest as it was written; None if nobody said.
  """

  files: frozenset[str]
  card: str | None

  def is_own_card(self, path: pathlib.Path) -> bool:
    """Whether a card is as it was written: nobody has filled it in."""
    return self.card == packaged.sha256(path)


def written(provenance: pathlib.Path, remedy: str) -> Written:
  """What a provenance file says that there is.

  Args:
    provenance: the file.
    remedy: what to do where it cannot be read.

  Raises:
    ConfigError: it cannot be read.
  """
  shape = {"files": {str: str}, "card?": str}
  found = json_files.read(provenance, shape, remedy)
  return Written(frozenset(found["files"]), found.get("card"))


def texts_of(folder: pathlib.Path) -> dict[str, Any]:
  """How the run of an export read texts, as keys of `config.Data`.

  {} of a folder that is no export.
  """
  path = folder / PROVENANCE
  lengths = {"query_length": int, "passage_length": int}
  shape = {"config": {"data": {**lengths, "title_join": str}}}
  try:
    data = json_files.read(path, shape, "export it again")["config"]["data"]
  except strict.ConfigError:  # not there, or of another tool
    return {}
  found = {key: data[key] for key in (*lengths, "title_join")}
  return found if min(found[key] for key in lengths) > 0 else {}


def named(weights: str) -> str:
  """Weights as others may read of them: no path of this machine.

  That is a name on a hub, or the last name of a folder.
  """
  if hub.is_name(weights) and not folders.is_here(weights):
    return weights
  return _last(weights)


def _public(value: Any) -> Any:
  """A config without the folders of this machine."""
  if isinstance(value, list):
    return [_public(v) for v in value]
  if not isinstance(value, Mapping):
    return value
  shown = {"weights": named, **dict.fromkeys(_PATHS, _last)}
  return {
    key: shown[key](v) if key in shown and isinstance(v, str) else _public(v)
    for key, v in value.items()
  }


def _last(path: str) -> str:
  return pathlib.Path(path).name


def _as_they_are(trained: Trained, stage: record.Stage) -> dict[str, str]:
  """The models that a stage took with their own weights, by role."""
  return sources.own_models(stages.job_of(trained.run, stage.name))


def _dataset(trained: Trained) -> Any:
  """Of the set's content when the stage read it; None of one that read none.

  By now there may be another state of it, or none on this machine.
  """
  return next(iter(sets_of(trained.run, trained.name)), None)


def _first_weights(trained: Trained) -> dict[str, Any]:
  """What models began with, as the run wrote it down.

  Folders of weights may be gone by now, or hold something else.
  """
  noted: dict[str, Mapping[str, Any]] = {}
  for stage in upstream(trained):
    fingerprint = recorded(trained.run, stage.name)
    if stage.kind == "train":
      noted[stage.model] = fingerprint
    for role, model in _as_they_are(trained, stage).items():
      noted[model] = fingerprint.get(role) or {}
  return {name: _begun(trained, name, noted[name]) for name in sorted(noted)}


def _begun(
  trained: Trained, name: str, noted: Mapping[str, Any]
) -> dict[str, Any]:
  weights = trained.run.model_config(name).weights
  if not weights:
    return {"name": "random", "sha256": ""}
  found = {"name": named(weights), "sha256": noted.get("weights")}
  if "commit" in noted:
    found["commit"] = noted["commit"]
  if found["sha256"] is None:
    found["reason"] = "the run has not written it down"
  return found


def _file(trained: Trained, name: str, path: pathlib.Path) -> dict[str, Any]:
  """A file that was imported: its hash, where it is still the same."""
  then = recorded(trained.run, name).get("file")
  found = {"name": path.name, "fingerprint": then, "sha256": None}
  if not path.is_file():
    return found | {"reason": "the file is not there any more"}
  if then != published.fingerprint([path], ""):
    return found | {"reason": "the file has changed since the run"}
  return found | {"sha256": packaged.sha256(path)}


def _stage(trained: Trained, stage: record.Stage) -> dict[str, Any]:
  """What is known of a stage without running it again."""
  params = stage.folder / PARAMS
  done = run_files.done(trained.run.processes.remote(stage.folder))
  return {
    "name": stage.name,
    "kind": stage.kind,
    "hash": done.get("hash"),
    "inputs": dict(stage.inputs),
    "params": packaged.sha256(params) if params.is_file() else None,
  }
