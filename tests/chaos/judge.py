"""Whether a working folder holds what the undisturbed one does.

Times differ, and where a run went on from; nothing else may.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from prod_jax import artefacts, curriculum, run_files, storage
from prod_jax.retrieval import blocks

# Of a stage: they lead to the result, or say when it was made.
_ASIDE = ("checkpoints", "checkpoints-damaged", blocks.FOLDER)
_BOOKS = (storage.STARTED, storage.DONE, artefacts.SEAL, "metrics.jsonl")
# What is not whole, and what says in a bucket that a block is.
_MARKS = (".part", ".whole")
_OF_TIMES = ("train_seconds", "resumed_from", "seconds", "commit")


def differences(reference: pathlib.Path, found: pathlib.Path) -> list[str]:
  """What is not as in the reference; [] where the results are the same."""
  wanted, there = (_content(folder) for folder in (reference, found))
  return _other(wanted, there)


def exported(reference: pathlib.Path, found: pathlib.Path) -> list[str]:
  """The same of two exports."""
  wanted, there = (_files(folder) for folder in (reference, found))
  return _other(wanted, there)


def _other(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
  """Names of what only one has, or both have otherwise."""
  return sorted(
    name
    for name in wanted.keys() | there.keys()
    if wanted.get(name) != there.get(name)
  )


def _content(workdir: pathlib.Path) -> dict[str, Any]:
  """By name: digests of artefacts, and what the books say."""
  found: dict[str, Any] = {}
  for folder in sorted(workdir.glob("[0-9][0-9]-*")):
    for name, digest in _files(folder).items():
      found[f"{folder.name}/{name}"] = digest
    done = _read(folder / storage.DONE)
    found[f"{folder.name}/DONE"] = {
      "hash": done.get("hash"),
      "fingerprint": done.get("fingerprint"),
      "summary": _timeless(done.get("summary", {})),
    }
    found[f"{folder.name}/metrics"] = [
      {k: v for k, v in row.items() if k != "queries_per_second"}
      for row in run_files.metrics(folder)
    ]
  found["results.json"] = _timeless(_read(workdir / storage.RESULTS))
  record = _read(workdir / storage.CURRICULUM) or {}
  found["curriculum.json"] = [
    (s["name"], s["hash"], s["status"] != curriculum.PENDING)
    for s in record.get("stages", ())
  ]
  return found


def _files(folder: pathlib.Path) -> dict[str, str]:
  found = {}
  for path in folder.rglob("*"):
    within = path.relative_to(folder)
    if (
      path.is_file()
      and not set(within.parts) & {*_ASIDE, *_BOOKS}
      and not any(part.endswith(_MARKS) for part in within.parts)
    ):
      found[str(within)] = hashlib.sha256(path.read_bytes()).hexdigest()
  return found


def _timeless(value: Any) -> Any:
  """Without what the time decides, however deep it stands."""
  if isinstance(value, dict):
    return {k: _timeless(v) for k, v in value.items() if k not in _OF_TIMES}
  if isinstance(value, list):
    return [_timeless(item) for item in value]
  return value


def _read(path: pathlib.Path) -> Any:
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError):
    return {}
