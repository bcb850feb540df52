"""A run found in its working folder, and a train stage of it with its model.

The folder's curriculum.json has the whole config, so that nobody needs to name
it again.
"""

import dataclasses
import functools
import os
import pathlib
from typing import Any

import jax
import numpy as np
from absl import logging

from prod_jax import (
  artefacts,
  kinds,
  model_kinds,
  packaged,
  run_files,
  storage,
  strict,
)
from prod_jax.batches import rows, tokens
from prod_jax.config import Config
from prod_jax.curriculum import DONE, SKIPPED
from prod_jax.models import Encoder, build, cross
from prod_jax.processes import Processes
from prod_jax.report import record
from prod_jax.retrieval.forward import FrozenModel
from prod_jax.stages import accepted, folders
from prod_jax.stages import tokenizer as tokenizers
from prod_jax.stages.run import PARAMS, Run

BATCH_TOKENS = 8192  # as of an encode stage
CURRICULUM, RESULTS = storage.CURRICULUM, storage.RESULTS


@dataclasses.dataclass(frozen=True)
class Trained:
  """A finished train stage.

  Attributes:
    run: that it is a stage of.
    name: of the stage.
    left: what the run left, for figures and their order.
  """

  run: Run
  name: str
  left: record.Run

  @property
  def stage(self) -> kinds.Train:
    return self.run.stage(self.name)

  @property
  def model(self) -> model_kinds.Model:
    """The model, with what its first weights' folder says filled in."""
    return self.run.settled(self.stage.model).model

  @property
  def encoder(self) -> Encoder:
    return self._as_one_score[0]

  @property
  def tokenizer(self) -> tokens.Tokenizer:
    return self.run.tokenizer_of(self.stage.model)

  @property
  def tokenizer_folder(self) -> pathlib.Path:
    """Where the model's tokenizer came from."""
    _, source = tokenizers.source_of(self.run.config, self.stage.model)
    packed = source == tokenizers.PACKAGED
    return packaged.model_folder() if packed else pathlib.Path(source)

  @property
  def prompts(self) -> dict[str, str]:
    """What stands in front of a "query" and of a "passage"."""
    said = getattr(self.model, "prompts", {})  # a cross-encoder has none
    return {tower: said.get(tower, "") for tower in model_kinds.PROMPTS}

  @property
  def params(self) -> Any:
    return self._as_one_score[1]

  @functools.cached_property
  def _as_one_score(self) -> tuple[Encoder, Any]:
    """Encoder and parameters; two labels of a head become their difference."""
    encoder = self.run.model(self.stage.model)
    folder = self.run.folder(self.name)
    params = self.run.trained_params(folder)
    shapes = build.shapes_of(encoder)
    if jax.tree.map(np.shape, params) != jax.tree.map(np.shape, shapes):
      raise strict.ConfigError(
        f"{folder / PARAMS} holds weights of another model than "
        f"{self.stage.model} of the run's config; put it back, or run the "
        "stage again"
      )
    if isinstance(encoder, cross.CrossEncoder):
      head, of_head = cross.of_one_label(encoder.head, params["head"])
      encoder = dataclasses.replace(encoder, head=head)
      params = {**params, "head": of_head}
    return encoder, params

  def frozen(self, batch_tokens: int = BATCH_TOKENS) -> FrozenModel:
    """The model with its weights, on each device."""
    return FrozenModel.of(
      self.encoder,
      self.params,
      special=self.tokenizer.special,
      data=self.run.config.data,
      batch_tokens=batch_tokens,
    )

  @property
  def longest(self) -> int:
    """Tokens of the longest text that the model was trained to read."""
    data = self.run.config.data
    if self.model.kind == "cross":
      return rows.pair_length(data)
    return max(data.query_length, data.passage_length)


def open_run(workdir: storage.Path) -> Run:
  """Opens the run that a working folder is of.

  Raises:
    ConfigError: there is none.
  """
  run_files.check_folder(workdir)
  processes = Processes(workdir)
  path = processes.local_folder / CURRICULUM
  processes.fetch(path)
  left = run_files.curriculum(processes.local_folder)
  said = left.get("config")
  if said is None:
    raise strict.ConfigError(
      f"there is no {path}; name the working folder of a run"
    )
  config = strict.section(Config, said, f"{path}: config")
  if base := left.get(run_files.RUN_FROM):
    config = _from(pathlib.Path(base), config)
  return Run(config, processes, may_fetch=False)


def _from(base: pathlib.Path, config: Config) -> Config:
  """A config whose relative paths lead to what lies where it was run from.

  What lies in the current folder comes first: a project may be a copy.
  """
  taken: list[str] = []
  twice: list[str] = []

  def paths(of: Any, *keys: str) -> Any:
    return dataclasses.replace(of, **{k: there(getattr(of, k)) for k in keys})

  def sources(of: Any, *keys: str) -> Any:
    return paths(of, *(k for k in keys if getattr(of, k) != folders.PACKAGED))

  def there(path: str) -> str:
    if not path or pathlib.Path(path).is_absolute():
      return path
    found = base / path
    if os.path.exists(path):
      if os.path.exists(found) and not os.path.samefile(path, found):
        twice.append(path)
      return path
    # False, too, of a place that may not be entered.
    if not os.path.exists(found):
      return path
    taken.append(path)
    return str(found)

  moved = dataclasses.replace(
    config,
    data=sources(paths(config.data, "path", "data_dir"), "tokenizer"),
    models={
      name: sources(model, "weights", "tokenizer")
      for name, model in config.models.items()
    },
    stages={
      name: paths(stage, "path") if isinstance(stage, kinds.Imported) else stage
      for name, stage in config.stages.items()
    },
  )
  if taken:
    logging.info(
      "%s: not here, so it is read in %s, where the run was started",
      ", ".join(dict.fromkeys(taken)),
      base,
    )
  if twice:
    logging.warning(
      "%s: here, and also in %s, where the run was started; the one here is "
      "read",
      ", ".join(dict.fromkeys(twice)),
      base,
    )
  return moved


def check_has_model(run: Run, name: str) -> None:
  """Raises ConfigError where no model of a run has this name."""
  if name not in run.config.models:
    raise strict.ConfigError(
      f"{name!r} is no stage and no model; train stages are: "
      f"{', '.join(_train_stages(run))}; models are: "
      f"{', '.join(run.config.models)}"
    )


def _train_stages(run: Run) -> list[str]:
  stages = run.config.stages.items()
  return [name for name, stage in stages if isinstance(stage, kinds.Train)]


def folder_of(run: Run, name: str, *files: str) -> pathlib.Path:
  """What a stage has left, on this machine.

  Args:
    run: of the stage.
    name: of the stage, which there is.
    files: that it has to hold.

  Raises:
    ConfigError: the stage has not ended, or was skipped, or a file of it is
      gone, cut or changed.
  """
  folder = run.folder(name)
  run.processes.fetch(folder, but=("checkpoints", "blocks"))
  done = run_files.done(folder)
  if why := (done.get("summary") or {}).get(SKIPPED):
    goes_on = "".join(
      f"; --stage={accept} is the student that went on instead"
      for accept in _acceptors(run, name)
    )
    raise strict.ConfigError(f"--stage: {name!r} was skipped, {why}{goes_on}")
  missing = [n for n in files if not (folder / n).is_file()]
  if missing or not done:
    raise strict.ConfigError(
      f"--stage: {name!r} has not ended, there is no whole "
      f"{folder / [*missing, DONE][0]}; run it first"
    )
  left = done.get("files") or {}
  for file, what in artefacts.damage(folder, left).items():
    raise strict.ConfigError(
      f"--stage: {name!r}: {folder / file} {what}; start the run again, which "
      "makes it anew"
    )
  artefacts.restamp(folder, left)
  return folder


def open_stage(workdir: storage.Path, name: str) -> Trained:
  """Opens a train stage by what its run left; of an accept stage its choice.

  Raises:
    ConfigError: there is no run, no such train stage, or it has not ended.
  """
  return stage_of(open_run(workdir), name)


def stage_of(run: Run, name: str) -> Trained:
  """The same of a run that is open.

  Raises:
    ConfigError: there is no such train stage, or it has not ended.
  """
  stages, local = run.config.stages, run.processes.local_folder
  run.processes.fetch(local / RESULTS)
  if isinstance(stages.get(name), kinds.Accept):
    name = _accepted(run, name)
  if name not in _train_stages(run):
    what = (
      f"is of kind {stages[name].kind}" if name in stages else "is no stage"
    )
    raise strict.ConfigError(
      f"--stage: {name!r} {what}; train stages are: "
      f"{', '.join(_train_stages(run))}"
    )
  folder_of(run, name, PARAMS)
  opened = Trained(run, name, record.load(local))
  _check_same(opened)
  return opened


def _accepted(run: Run, name: str) -> str:
  """The train stage of the student that an accept stage has taken on."""
  folder_of(run, name, accepted.ACCEPTED)
  chosen = accepted.trained(run, name)
  if chosen not in run.config.stages:
    raise strict.ConfigError(
      f"--stage: {name!r} has accepted model {chosen} as it is, since nothing "
      "that was trained was better; there is nothing to export, and WORKDIR:"
      f"{chosen} is that model for a command that measures or searches"
    )
  return chosen


def _acceptors(run: Run, name: str) -> list[str]:
  """The accept stages that chose whether a train stage's student goes on."""
  stages = run.config.stages
  return [
    accept
    for accept, stage in stages.items()
    if isinstance(stage, kinds.Accept)
    and run.stage(stage.encoded).params == name
  ]


def recorded(run: Run, stage: str) -> dict[str, Any]:
  """What a stage depended on as it ran, {} where that was not written down."""
  done = run_files.done(run.processes.remote(run.folder(stage)))
  found = done.get("fingerprint")
  return found if isinstance(found, dict) else {}


def sets_of(run: Run, name: str) -> list[Any]:
  """The states of the set that a stage has read, as it wrote them down."""
  done = run_files.done(run.processes.remote(run.folder(name)))
  noted = (
    recorded(run, name).get("dataset"),
    (done.get("origin") or {}).get("data_fingerprint"),
  )
  return [state for state in noted if state is not None]


def check_set(run: Run, name: str) -> None:
  """Raises ConfigError where a stage has read another state of the set.

  Rows of its lists and vectors would be those of other texts.
  """
  now = run.located.fingerprint
  if any(state != now for state in sets_of(run, name)):
    raise strict.ConfigError(
      f"{name} has read another state of the data set than there is now; run "
      "it again, or put the data back"
    )


def _check_same(trained: Trained) -> None:
  """Raises ConfigError where what an export reads is not what the run read.

  The folder of the first weights says pooling, prompts and layers of the
  trained model too.
  """
  run, name = trained.run, trained.stage.model
  before = recorded(run, trained.name)
  if not before:
    logging.warning(
      "%s: its %s does not say what it depended on; whether weights and "
      "tokenizer are those of then is not checked",
      trained.name,
      DONE,
    )
    return
  model = run.model_config(name)
  run.settled(name)  # names the key where the folder is gone
  tokenizers = before.get("tokenizers")
  now = {
    f"the folder of config.models.{name}.weights={model.weights!r}": (
      before.get("weights"),
      run.model_fingerprint(name)["weights"],
    ),
    f"the tokenizer of model {name}": (
      tokenizers[:1] if isinstance(tokenizers, list) else tokenizers,
      [trained.tokenizer.fingerprint],
    ),
  }
  for what, (then, found) in now.items():
    if then != found:
      raise strict.ConfigError(
        f"--stage: {trained.name!r} was trained with {what}, which has changed "
        "since; put it back, or run the stage again"
      )
