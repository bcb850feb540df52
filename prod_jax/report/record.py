"""What a run left in its workdir, read and nothing more.

Numbers are picked and put in order here; tables, figures and words are made
elsewhere in this room. A file that is absent is an empty answer, except for
curriculum.json, without which there is no run.
"""

import dataclasses
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prod_jax import forecast, json_files, run_files, storage, strict

STUDENT = "student"
HEADLINE = "mrr@10"
# The kinds of index whose rows are quoted; others approximate the first.
_QUOTED = ("exact", "rerank")
# Roles that lead to the model that a stage runs.
_UPSTREAM = ("params", "encoded", "candidates")


@dataclasses.dataclass(frozen=True)
class Stage:
  """A stage of curriculum.json.

  Attributes:
    folder: of its artefacts; may be absent.
    ran: False while it is pending, and where it was skipped.
    skipped: why it was, or "".
    said: by a gate, an accept or a filter stage: what it has found and
      decided, or "".
    chose: the encode stage that an accept stage has taken on, or "".
    model: that a train stage trains, else "".
    taught_by: "labels", or a train stage, a model as it is or an imported
      stage with scores; else "".
    settings: of this stage in the config.
    origin: what it was run with; empty where no run has written it down.
  """

  name: str
  kind: str
  folder: pathlib.Path
  ran: bool
  skipped: str
  said: str
  chose: str
  seconds: float
  model: str
  taught_by: str
  inputs: Mapping[str, str]
  settings: Mapping[str, Any]
  origin: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Measured:
  """What one evaluate stage found out about a train stage or a model as it is.

  Attributes:
    stage: the evaluate stage.
    index: "exact", or "rerank" for a cross-encoder.
    values: by metric name.
  """

  stage: str
  index: str
  split: str
  queries: int
  values: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Run:
  """A workdir.

  Attributes:
    stages: by name, in the order in which they run.
    measured: by train stage, or model as it is, all of the split in `split`.
    split: "test" where that was measured, else the first that was, else "".
    results: every row of results.json.
    expected: by stage, what a forecast of this config said of it.
  """

  workdir: pathlib.Path
  dataset: str
  config: Mapping[str, Any]
  stages: Mapping[str, Stage]
  measured: Mapping[str, Measured]
  split: str
  results: Sequence[Mapping[str, Any]]
  expected: Mapping[str, forecast.Expected] = dataclasses.field(
    default_factory=dict
  )

  def trained(self, model: str | None = None) -> Iterator[Stage]:
    """The train stages, of one model or of all."""
    for stage in self.stages.values():
      if stage.kind == "train" and model in (None, stage.model):
        yield stage

  @property
  def as_they_are(self) -> list[str]:
    """The models that were measured with their own weights."""
    models = self.config.get("models") or {}
    return [n for n in self.measured if n in models and n not in self.stages]

  def measured_name(self, encode_stage: str) -> str:
    """What an encode stage embeds with: a train stage, or a model as it is."""
    trainer, stage = self.trainer(encode_stage), self.stages.get(encode_stage)
    if trainer:
      return trainer.name
    return str(stage.settings.get("params", "")) if stage else ""

  def value(self, train_stage: str, metric: str) -> float | None:
    """A metric of a train stage; None where it was not measured."""
    found = self.measured.get(train_stage)
    return found.values.get(metric) if found else None

  def cut(self, train_stage: str, metric: str) -> dict[int, float]:
    """A metric of the first coordinates alone, by how many they are."""
    found = self.measured.get(train_stage)
    return {
      row["width"]: row["value"]
      for row in self.results
      if found
      and row["stage"] == found.stage
      and row["metric"] == metric
      and row.get("width")
      and is_number(row.get("value"))
    }

  @property
  def refused(self) -> set[str]:
    """The train stages whose student an accept stage has not taken on."""
    return {
      trainer.name
      for stage in self.stages.values()
      if stage.chose not in ("", stage.inputs.get("encoded"))
      and (trainer := self.trainer(stage.inputs["encoded"]))
    }

  def began(self, stage: Stage) -> str:
    """Where a train stage began: another one, or its model as it is.

    "" where a stage has that model's name, which then means the stage.
    """
    before = self.trainer(stage.inputs.get("init", ""))
    if before:
      return before.name
    return "" if stage.model in self.stages else stage.model

  def model_behind(self, stage: Stage) -> str:
    """The model that a stage trains or runs, as it is or not; "" for none."""
    trained, at = self.trainer(stage.name), stage
    if trained:
      return trained.model
    while at.settings.get("params", "") not in (
      self.config.get("models") or {}
    ):
      role = next((role for role in _UPSTREAM if role in at.inputs), "")
      if at.inputs.get(role, "") not in self.stages:
        return ""
      at = self.stages[at.inputs[role]]
    return str(at.settings["params"])

  def trainer(self, name: str) -> Stage | None:
    """The train stage whose model a stage runs, found through its inputs."""
    while name in self.stages:
      stage = self.stages[name]
      if stage.kind == "train":
        return stage
      roles = (role for role in _UPSTREAM if role in stage.inputs)
      name = stage.chose or stage.inputs.get(next(roles, ""), "")
    return None


def load(workdir: pathlib.Path) -> Run:
  """Reads curriculum.json and results.json.

  Raises:
    ConfigError: `workdir` holds no curriculum.json, or one of the two is
      damaged.
  """
  record = run_files.curriculum(workdir)
  if not record:
    raise strict.ConfigError(
      f"{workdir / storage.CURRICULUM}: not there; a working folder gets it "
      f"from prod_jax run --config=FILE --workdir={workdir}"
    )
  config = record.get("config") or {}
  stages = [
    _stage(workdir, raw, (config.get("stages") or {}).get(raw["name"]) or {})
    for raw in record["stages"]
  ]
  results = run_files.results(workdir)
  splits = list(dict.fromkeys(row["split"] for row in results))
  split = "test" if "test" in splits else "".join(splits[:1])
  return Run(
    workdir=workdir,
    dataset=record.get("dataset") or "unnamed dataset",
    config=config,
    stages={stage.name: stage for stage in stages},
    measured=_measured(results, split),
    split=split,
    results=results,
    expected=forecast.read(workdir, config),
  )


def logged(stage: Stage) -> list[dict[str, Any]]:
  """What a train stage has logged, by step."""
  return run_files.metrics(stage.folder)


def scorecard(stage: Stage) -> dict[str, Any] | None:
  """What a train stage wrote of its teacher's scores, None where it has not.

  What an older config left in the folder of a pending stage does not count.
  """
  path = stage.folder / "scores.json"
  if not (stage.ran and path.exists()):
    return None
  found: dict[str, Any] = json_files.read(path, dict, "run its stage again")
  return found


def is_number(value: Any) -> bool:
  """Whether a value of a JSON file is a finite number."""
  return isinstance(value, int | float) and math.isfinite(value)


def _stage(
  workdir: pathlib.Path, raw: Mapping[str, Any], settings: Mapping[str, Any]
) -> Stage:
  summary = raw.get("summary") or {}
  return Stage(
    name=raw["name"],
    kind=raw["kind"],
    folder=workdir / raw["dir"],
    ran=raw["status"] not in ("pending", "skipped"),
    skipped=summary.get("skipped", ""),
    said=summary.get("why", ""),
    chose=summary.get("accepted", ""),
    seconds=float(raw.get("seconds") or 0),
    model=raw.get("model") or "",
    taught_by=raw.get("taught_by") or "",
    inputs=raw.get("inputs") or {},
    settings=settings,
    origin=raw.get("origin") or {},
  )


def _measured(
  results: Sequence[Mapping[str, Any]], split: str
) -> dict[str, Measured]:
  """The quoted rows of a split; the last evaluate stage of a model counts."""
  found: dict[str, Measured] = {}
  for row in results:
    if row["index"] not in _QUOTED or row["split"] != split:
      continue
    if row.get("width"):
      continue
    if not is_number(row.get("value")):
      continue
    before = found.get(row["model_stage"])
    if before is None or before.stage != row["stage"]:
      before = None
    found[row["model_stage"]] = Measured(
      stage=row["stage"],
      index=row["index"],
      split=split,
      queries=int(row["queries"]),
      values={
        **(before.values if before else {}),
        row["metric"]: float(row["value"]),
      },
    )
  return found
