"""The files that a stage has left, and whether they are what they were.

A record holds size, time of the last change and sha256 of each. A file of that
size and time counts as the same; one of another time is read again, so that a
copied working folder costs one reading. In a bucket, which keeps neither times
nor half of a file, the size alone is compared.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from absl import logging

from prod_jax import storage

Record = Mapping[str, Mapping[str, Any]]
SEAL = "FILES.json"  # the record of a folder, in it


def record(folder: storage.Path, but: Collection[str]) -> Record:
  """What a folder holds, by the files' paths within it.

  On a disk it outlasts a power cut then.

  Args:
    folder: of a stage.
    but: names of files and folders in it that are left out.
  """
  found = {}
  for name, path in _files(folder, but):
    found[name] = _facts(path)
    if isinstance(path, pathlib.Path):
      storage.to_disk(path)
  if isinstance(folder, pathlib.Path):
    storage.to_disk(folder)
  return found


def seal(folder: pathlib.Path, but: Collection[str] = ()) -> None:
  """Leaves the record of a folder in it, for `is_whole`."""
  found = record(folder, (*but, SEAL))
  (folder / SEAL).write_text(json.dumps(found), encoding="utf-8")


def broken(folder: pathlib.Path) -> dict[str, str]:
  """What has become of files of a sealed folder, as of `damage`.

  One that was made without a seal is taken as it is.
  """
  if not (folder / SEAL).exists():
    return {}
  recorded = storage.read_object(folder / SEAL)
  try:
    found = damage(folder, recorded)
  except (AttributeError, KeyError, TypeError):
    recorded = {}
  if not recorded:
    return {SEAL: "cannot be read"}
  if not found:
    restamp(folder, recorded)
  return found


def is_whole(folder: pathlib.Path) -> bool:
  """Whether a folder is there, with its files as they were when it was sealed.

  One with others is deleted, to be made again.
  """
  if not folder.exists():
    return False
  for name, wrong in broken(folder).items():
    logging.warning("%s %s: it is made again", folder / name, wrong)
    shutil.rmtree(folder)
    return False
  return True


def damage(
  folder: storage.Path, recorded: Record, *, by_content: bool = True
) -> dict[str, str]:
  """What has become of files that were recorded, where they are not as then.

  Args:
    folder: of a stage.
    recorded: as `record` has it.
    by_content: a file of another time is read; else its size alone counts.

  Returns:
    "is gone", or what else is wrong, by path within the folder.
  """
  found = {}
  for name, facts in recorded.items():
    if wrong := _wrong(folder / name, facts, by_content):
      found[name] = wrong
  return found


def restamp(folder: pathlib.Path, recorded: Record) -> None:
  """Gives files that are as recorded the recorded time: a copy has another.

  They are not read again after that.
  """
  for name, facts in recorded.items():
    path = folder / name
    if "mtime_ns" in facts and path.stat().st_mtime_ns != facts["mtime_ns"]:
      with contextlib.suppress(OSError):  # a folder of somebody else's
        os.utime(path, ns=(facts["mtime_ns"], facts["mtime_ns"]))


def _wrong(
  path: storage.Path, facts: Mapping[str, Any], by_content: bool
) -> str:
  if not path.exists() or path.is_dir():
    return "is gone"
  size = storage.size(path)
  if size != facts["bytes"]:
    return f"has {size} bytes, not {facts['bytes']}"
  known = by_content and "sha256" in facts
  if not (known and isinstance(path, pathlib.Path)):
    return ""
  if path.stat().st_mtime_ns == facts.get("mtime_ns"):
    return ""
  return "" if _digest(path) == facts["sha256"] else "has changed"


def _facts(path: storage.Path) -> dict[str, Any]:
  facts: dict[str, Any] = {"bytes": storage.size(path)}
  if isinstance(path, pathlib.Path):
    facts["mtime_ns"] = path.stat().st_mtime_ns
    facts["sha256"] = _digest(path)
  return facts


def _digest(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _files(
  folder: storage.Path, but: Collection[str], within: str = ""
) -> Iterator[tuple[str, storage.Path]]:
  for path in sorted(folder.iterdir()):
    if path.name in but or storage.is_part(path):
      continue
    if path.is_dir():
      yield from _files(path, but, f"{within}{path.name}/")
    else:
      yield f"{within}{path.name}", path
