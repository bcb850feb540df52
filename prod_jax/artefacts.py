"""The files that a stage has left, and whether they are what they were.

A record holds size, time of the last change and sha256 of each. A file of that
size and time counts as the same; one of another time is read again, so that a
copied working folder costs one reading. In a bucket, which keeps neither times
nor half of a file, the size alone is compared.

A record may be somebody else's: its names lie in the folder, and what is behind
a link is never what was recorded.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from absl import logging

from prod_jax import json_files, storage

Record = Mapping[str, Mapping[str, Any]]
SEAL = "FILES.json"  # the record of a folder, in it
_SHAPE = {str: {"bytes": int, "mtime_ns?": int, "sha256?": str}}


def is_record(found: Any) -> bool:
  """Whether this is a record, of files that all lie in its folder."""
  fits = not json_files.mismatch(found, _SHAPE)
  return fits and all(map(storage.is_inside, found))


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
  if not (recorded and is_record(recorded)):
    return {SEAL: "cannot be read"}
  found = damage(folder, recorded)
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
    if folder.is_symlink():
      folder.unlink()
    else:
      shutil.rmtree(folder)
    return False
  return True


def damage(
  folder: storage.Path, recorded: Record, *, by_content: bool = True
) -> dict[str, str]:
  """What has become of files that were recorded, where they are not as then.

  Args:
    folder: of a stage.
    recorded: as `record` has it, and `is_record`.
    by_content: a file of another time is read; else its size alone counts.

  Returns:
    "is gone", or what else is wrong, by path within the folder. A link is
    named, and not what is behind it: whoever deletes what is wrong deletes it.
  """
  found = {}
  for name, facts in recorded.items():
    if link := _link_in(folder, name):
      found[link] = "is a link"
    elif wrong := _wrong(folder / name, facts, by_content):
      found[name] = wrong
  return found


def restamp(folder: pathlib.Path, recorded: Record) -> None:
  """Gives files that are as recorded the recorded time: a copy has another.

  They are not read again after that.
  """
  for name, facts in recorded.items():
    path, time = folder / name, facts.get("mtime_ns")
    if time is not None and path.stat().st_mtime_ns != time:
      with contextlib.suppress(OSError):  # a folder of somebody else's
        os.utime(path, ns=(time, time))


def _link_in(folder: storage.Path, name: str) -> str:
  """The first part of a path that is a link on a disk, "" where none is."""
  if not isinstance(folder, pathlib.Path):
    return ""
  parts = name.split("/")
  for end in range(1, len(parts) + 1):
    within = "/".join(parts[:end])
    if os.path.islink(folder / within):
      return within
  return ""


def _wrong(
  path: storage.Path, facts: Mapping[str, Any], by_content: bool
) -> str:
  if not isinstance(path, pathlib.Path):
    there = path.exists() and not path.is_dir()
    return _other_size(storage.size(path), facts) if there else "is gone"
  try:
    found = path.stat()
  except (FileNotFoundError, NotADirectoryError):
    return "is gone"
  if not stat.S_ISREG(found.st_mode):
    return "is no plain file"
  if wrong := _other_size(found.st_size, facts):
    return wrong
  known = facts.get("sha256") if by_content else None
  if known is None or found.st_mtime_ns == facts.get("mtime_ns"):
    return ""
  return "" if _digest(path) == known else "has changed"


def _other_size(size: int, facts: Mapping[str, Any]) -> str:
  wanted = facts["bytes"]
  return "" if size == wanted else f"has {size} bytes, not {wanted}"


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
