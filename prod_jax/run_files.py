"""What a run writes of itself, as whoever reads it may rely on.

A working folder can be somebody else's, and its files damaged: they are held
against their shape, and no name in them leads out of the folder.
"""

import hashlib
import json
import pathlib
import re
import shutil
from collections.abc import Collection
from typing import Any

from absl import logging

from prod_jax import artefacts, json_files, storage
from prod_jax.strict import ConfigError

# Of a run's record: the folder that relative paths of its config are of.
RUN_FROM = "run_from"
ANY_FOLDER = "a folder"  # in a hash, in place of where one lies
METRICS = "metrics.jsonl"  # of a train stage, in its folder

_REMEDY = "is it a run's? the run writes it anew when it is started again"


def _is_folder(name: Any) -> bool:
  """Whether it is the name of a stage's folder."""
  fits = isinstance(name, str) and re.fullmatch(r"\d+-[^/\\]+", name)
  return bool(fits) and storage.is_inside(name)


_STAGE = {
  "name": str,
  "kind": str,
  "dir": _is_folder,
  "hash?": str,
  "status": str,
  "seconds?": float,
  "inputs": {str: str},
  "summary?": {"skipped?": str, "resumed_from?": float},
  "model?": str,
  "taught_by?": str,
  "origin?": dict,
}
_CURRICULUM = {
  "stages": [_STAGE],
  "dataset?": str,
  f"{RUN_FROM}?": str,
  "config?": {
    "models?": {str: dict},
    "stages?": {str: {"steps?": int, "batch_size?": int, "method?": str}},
  },
}
_ROW = {
  "stage": str,
  "model_stage": str,
  "index": str,
  "split": str,
  "metric": str,
  "queries": int,
  "width?": int,
}
_DONE = {
  "hash": str,
  "seconds?": float,
  "summary?": {"skipped?": str},
  "origin?": dict,
  "fingerprint?": Any,
  "files?": artefacts.is_record,
}


def check_folder(path: storage.Path) -> None:
  """Raises ConfigError where a working folder is wanted, and a file is named.

  A bucket is not asked: its folders are what names of files begin with.
  """
  if not (isinstance(path, pathlib.Path) and path.is_file()):
    return
  runs = [of for of in path.parents if (of / storage.CURRICULUM).is_file()]
  inside = f"; it lies in that of a run, {runs[0]}" if runs else ""
  raise ConfigError(
    f"{path} is a file, where the working folder of a run is wanted{inside}"
  )


def run_from() -> dict[str, str]:
  """What a run's record says of the current folder; {} where that is gone."""
  try:
    return {RUN_FROM: str(pathlib.Path.cwd())}
  except FileNotFoundError:
    return {}


def curriculum(folder: storage.Path) -> dict[str, Any]:
  """A run's config and stages; {} where there are none.

  Raises:
    ConfigError: the file is damaged.
  """
  path = folder / storage.CURRICULUM
  if not path.exists():
    return {}
  return json_files.read(path, _CURRICULUM, _REMEDY)


def results(folder: storage.Path) -> list[dict[str, Any]]:
  """The figures of a run; none where there are none.

  Raises:
    ConfigError: the file is damaged.
  """
  path = folder / storage.RESULTS
  return json_files.read(path, [_ROW], _REMEDY) if path.exists() else []


def metrics(folder: storage.Path) -> list[dict[str, Any]]:
  """What a train stage has logged by step; of two lines the later counts.

  A line that a kill left torn is passed over.
  """
  path, rows = folder / METRICS, {}
  for line in path.open("rb") if path.exists() else ():
    try:
      row = json_files.parse(line)
    except ValueError:
      continue
    if not json_files.mismatch(row, {"step": int}):
      rows[row["step"]] = row
  return [rows[step] for step in sorted(rows)]


def done(folder: storage.Path) -> dict[str, Any]:
  """What the DONE file of a stage says; {} where it is none, or damaged."""
  path = folder / storage.DONE
  found = storage.read_object(path)
  if found and not json_files.mismatch(found, _DONE):
    return found
  if path.exists():
    logging.warning("%s is not as it was written, and does not count", path)
  return {}


def hash_of(value: Any) -> str:
  """The sha256 of a value as JSON, its keys in order."""
  text = json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def started(folder: storage.Path) -> Any:
  """The hash of the work that a stage's folder was begun with."""
  return storage.read_object(folder / storage.STARTED).get("hash")


def set_aside(folder: storage.Path) -> storage.Path:
  """Moves a folder of other work to `stale`; returns where it is now."""
  begun = started(folder)
  known = isinstance(begun, str) and begun.isalnum()
  name = f"{folder.name}-{begun[:8] if known else 'unknown'}"
  stale = storage.free(folder.parent / "stale", name)
  folder.rename(stale)
  return stale


def other_number(
  folder: storage.Path, beside: Collection[str], digest: str
) -> str:
  """The folder of a stage's work, where that was counted otherwise.

  A bucket gives a folder another name file by file: where a run was killed
  meanwhile, what is whole counts before what is not.

  Args:
    folder: `<nn>-<name>`, where the config has it now.
    beside: names of all that is in the working folder.
    digest: the hash of the work.

  Returns:
    Its name; "" where there is none, or `folder` has the work.
  """
  own = re.compile(r"\d+-" + re.escape(folder.name.partition("-")[2]))
  others = [n for n in sorted(beside) if own.fullmatch(n) and n != folder.name]
  if not others or done(folder).get("hash") == digest:
    return ""
  whole = [n for n in others if done(folder.with_name(n)).get("hash") == digest]
  if whole or folder.name in beside:
    return (*whole, "")[0]
  begun = [n for n in others if started(folder.with_name(n)) == digest]
  return (*begun, "")[0]


def fetch(
  shared: storage.Path, to: pathlib.Path, but: Collection[str] = ()
) -> None:
  """Copies a file or a folder of a shared working folder to this machine.

  What another run of a stage has left here goes first: its weights are as large
  as those that are there now, and would be taken for them. What the stage that
  is at work has left stays.

  Args:
    shared: in a bucket; nothing happens where it is this machine's own.
    to: its twin here.
    but: names to leave out.
  """
  if shared == to:
    return
  if shared.is_dir():
    for there in (shared, *(x for x in shared.iterdir() if x.is_dir())):
      here = to if there == shared else to / there.name
      name = storage.DONE if (here / storage.DONE).exists() else storage.STARTED
      own = storage.read_object(here / name)
      if own and own != storage.read_object(there / name):
        shutil.rmtree(here, ignore_errors=True)
  storage.copy(shared, to, but)
