"""What a run was expected to take, as it lies in its working folder.

`plan` writes it, `status` and `report` set it beside what the run takes. A
forecast is of a config: a stage whose settings are no longer the same has none,
and where data, models or mesh are others nobody has.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import logging

from prod_jax import json_files, storage

FILE = "forecast.json"
_COMMON = ("data", "models", "mesh")  # sections that all stages depend on
_SHAPE = {
  "machine": str,
  "config": dict,
  "stages": {str: {"settings": dict, "seconds": float, "at_most": [str]}},
}


class Expected(NamedTuple):
  """What is expected of a stage.

  Attributes:
    seconds: with what is compiled.
    at_most: why it may be less; () where nothing says so.
  """

  seconds: float
  at_most: Sequence[str]


def write(
  folder: storage.Path,
  config: Mapping[str, Any],
  machine: str,
  rows: Sequence[Mapping[str, Any]],
) -> None:
  """Leaves a forecast in a working folder.

  What one of the same config and machine said of other stages stays.

  Args:
    folder: of the run.
    config: that it is of, as JSON.
    machine: on which it was measured.
    rows: of stages; those whose `seconds` are None are left out.
  """
  stages = {
    row["stage"]: {
      "settings": config["stages"][row["stage"]],
      "seconds": row["seconds"],
      "at_most": row["at_most"],
    }
    for row in rows
    if row["seconds"] is not None
  }
  common = {name: config[name] for name in _COMMON}
  said = {"machine": machine, "config": common, "stages": stages}
  before = _said(folder)
  if before and all(before[key] == said[key] for key in ("machine", "config")):
    asked = {row["stage"] for row in rows}
    said["stages"] = stages | {
      name: stage
      for name, stage in before["stages"].items()
      if name not in asked and stage["settings"] == config["stages"].get(name)
    }
  folder.mkdir(parents=True, exist_ok=True)
  storage.write_text(folder / FILE, json.dumps(said, indent=1))


def read(
  folder: storage.Path, config: Mapping[str, Any]
) -> dict[str, Expected]:
  """What is expected of the stages of a config, by name."""
  found = _said(folder)
  common = {name: config.get(name) for name in _COMMON}
  if found.get("config") != common:
    return {}
  settings = config.get("stages", {})
  return {
    name: Expected(float(stage["seconds"]), stage["at_most"])
    for name, stage in found["stages"].items()
    if stage["settings"] == settings.get(name)
  }


def _said(folder: storage.Path) -> dict[str, Any]:
  """What the file says; {} where there is none, or it is damaged."""
  path = folder / FILE
  found = storage.read_object(path)
  if found and not json_files.mismatch(found, _SHAPE):
    return found
  if path.exists():
    logging.warning("%s is not as it was written, and does not count", path)
  return {}
