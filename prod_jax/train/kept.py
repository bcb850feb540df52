"""Texts that came to no finite number, on disk, to be looked at again.

  FOLDER/STEP/batch-PROCESS.npz    the arrays, by their place in the batch
  FOLDER/STEP/record-PROCESS.json   what was computed of them, and of what ids

Arrays are numpy's, without pickle; each process of a run keeps its part.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prod_jax import json_files, storage, strict
from prod_jax.batch import Batch, Packed, TeacherTexts, Tokens
from prod_jax.processes import Processes

FOLDER = "not_finite"
# What is known of each: ids in lists, by query; figures as strings.
_RECORD = {
  "stage": str,
  "step": int,
  "metrics": {str: str},
  "queries": [str],
  "passages": list,
  "processes": int,
}
_IDS = ("queries", "passages")
_MAPS = (Batch, TeacherTexts, Packed, Tokens)


class NotFinite(FloatingPointError):
  """A number that is none; what it was made of is kept, and the message says
  where.
  """


def keep(
  folder: pathlib.Path,
  step: int,
  batch: Any,
  record: Mapping[str, Any],
  processes: Processes,
) -> pathlib.Path:
  """Writes this process's part of a batch, and what is known of it.

  Args:
    folder: of the stage.
    step: that it belongs to.
    batch: of arrays.
    record: goes into the JSON as it is; what is not finite there is a string.
    processes: of the run.

  Returns:
    The folder of the step.
  """
  to = folder / FOLDER / str(step)
  to.mkdir(parents=True, exist_ok=True)
  path = to / f"batch-{processes.index}.npz"
  arrays: Any = _flat(batch)
  with storage.whole_file(path) as part, open(part, "wb") as file:
    np.savez(file, **arrays)
  storage.write_text(
    to / f"record-{processes.index}.json",
    json.dumps({**record, "processes": processes.count}, indent=1),
  )
  processes.publish(to)
  return to


def steps(folder: pathlib.Path) -> list[int]:
  """The steps that a stage has kept something of, in order."""
  found = (folder / FOLDER).glob("*")
  return sorted(int(path.name) for path in found if path.name.isdecimal())


def load(folder: pathlib.Path, step: int) -> tuple[Any, dict[str, Any]]:
  """What all processes have kept of a step: the whole batch, and of what ids.

  Lists of ids of the processes follow each other as their queries do.

  Raises:
    ConfigError: it is not whole.
  """
  at = folder / FOLDER / str(step)
  try:
    records = _records(at)
    parts = [_arrays(at / f"batch-{number}.npz") for number in records]
    batch = _nested(_joined(parts))
    said = [*records.values()]
    ids = {k: [x for each in said for x in each[k]] for k in _IDS}
    if isinstance(batch, Batch):
      _check(batch, [*records], said[0]["processes"], ids)
    elif len(records) > 1:
      raise ValueError("texts that a model reads are of one process")
  except (OSError, ValueError, TypeError, LookupError) as error:
    raise strict.ConfigError(
      f"{at} can't be read ({error}); let the stage run again, and it keeps "
      "another"
    ) from error
  return batch, {**said[0], **ids}


def _records(at: pathlib.Path) -> dict[int, dict[str, Any]]:
  """What is known of the parts of one try, by process."""
  paths = at.glob("batch-*.npz")
  numbers = sorted(int(path.stem.removeprefix("batch-")) for path in paths)
  if not numbers:
    raise ValueError("it has no batch")
  found = {number: _record(at / f"record-{number}.json") for number in numbers}
  count = found[numbers[0]]["processes"]
  # What a try of more processes has left is of another batch.
  return {k: v for k, v in found.items() if v["processes"] == count}


def _record(path: pathlib.Path) -> dict[str, Any]:
  record: dict[str, Any] = json_files.parse(path.read_text(encoding="utf-8"))
  if wrong := json_files.mismatch(record, _RECORD):
    raise ValueError(f"{path.name}: {wrong}")
  return record


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    with np.load(path, allow_pickle=False) as arrays:
      return {name: arrays[name] for name in arrays.files}
  except Exception as error:  # of many classes, for an archive of any bytes
    raise ValueError(f"{path.name}: {error}") from error


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
  """The arrays of all processes, one behind the other."""
  names = {frozenset(part) for part in parts}
  if len(names) > 1 or not parts[0]:
    raise ValueError("its parts lack arrays")
  return {
    name: np.concatenate([part[name] for part in parts]) for name in parts[0]
  }


def _check(
  batch: Batch,
  numbers: Sequence[int],
  count: int,
  ids: Mapping[str, Sequence[Any]],
) -> None:
  """Whether a step has the parts of all processes, and the ids of its batch.

  Raises:
    ValueError: it has not.
  """
  if len(numbers) != count or [*numbers] != [*range(len(numbers))]:
    there = ", ".join(map(str, numbers))
    raise ValueError(f"of {count} processes it has the part of {there}")
  queries, passages = ids["queries"], ids["passages"]
  shape = batch.where_BN.shape
  if len(queries) != len(passages) or np.shape(passages) != shape:
    raise ValueError("its ids are not those of its arrays")


def _flat(tree: Any, at: str = "") -> dict[str, np.ndarray]:
  """Arrays by the names of their fields, joined by dots."""
  if tree is None:
    return {}
  if not isinstance(tree, _MAPS):
    return {at: np.asarray(tree)}
  found: dict[str, np.ndarray] = {}
  for name, value in tree._asdict().items():
    found |= _flat(value, f"{at}.{name}" if at else name)
  return found


def _nested(flat: Mapping[str, np.ndarray]) -> Any:
  """What `_flat` was of, which its fields tell."""
  grouped: dict[str, dict[str, np.ndarray]] = {}
  for name, array in flat.items():
    first, _, rest = name.partition(".")
    grouped.setdefault(first, {})[rest] = array
  fields: dict[str, Any] = {
    name: of[""] if "" in of else _nested(of) for name, of in grouped.items()
  }
  if "where_BN" in fields:
    missing = dict.fromkeys({*Batch._fields} - {*Batch._field_defaults})
    return Batch(**{**missing, **fields})
  if "segment" in fields:
    return Tokens(**fields)
  return Packed(**fields) if "place" in fields else TeacherTexts(**fields)
