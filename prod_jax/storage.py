"""A working folder on a disk or in a bucket, and its twin on this machine.

Artefacts are memory-mapped, which a bucket cannot do. So all work goes on in
local folders: for a folder on a disk that is the folder itself, for a bucket
a twin under $PROD_JAX_CACHE (or ~/.cache/prod_jax), which is filled from the
bucket and copied to it file by file. Who copies what, and when, is
processes.py.

Also how a file or a folder comes to be there whole or not at all.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
import traceback
import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeAlias

from etils import epath

from prod_jax.strict import ConfigError, without_passwords

Path: TypeAlias = pathlib.Path | epath.Path

# Of a run: its stages, and its figures.
CURRICULUM, RESULTS = "curriculum.json", "results.json"
STARTED = "STARTED.json"  # of a stage: its hash, and an id of this start of it
DONE = "DONE.json"  # of a stage: its hash, what it took and found
_LONGEST_NAME, _LONGEST_PATH = 255, 1024  # bytes
_SMALL = 1 << 20  # bytes; a smaller file is copied again each time
_PART = ".part"  # ends the name of a file that is not whole yet
_DIGEST = "digest"  # of all else in an object
_ROOM = "make room; the same command goes on from what is saved"
_RIGHTS = "let this user read and write there, or name another place"
_HARDWARE = "the disk fails; once it works the same command goes on"
_UNREACHED = "the bucket does not answer; the same command goes on"
# Modules of libraries that speak to buckets; all our paths there are etils'.
_BUCKETS = re.compile(
  r"(aiohttp|botocore|etils\.epath|fsspec|gcsfs|s3fs"
  r"|google\.(api_core|auth|cloud))(\..*)?"
)
_REMEDIES = {
  errno.ENOSPC: _ROOM,
  errno.EDQUOT: _ROOM,
  errno.EFBIG: _ROOM,
  errno.EROFS: _RIGHTS,
  errno.EACCES: _RIGHTS,
  errno.EPERM: _RIGHTS,
  errno.EIO: _HARDWARE,
  errno.ESTALE: _HARDWARE,
}
# What is wrong with a path that cannot be what it has to be.
_WRONG_PATHS = {
  errno.EEXIST: "is there, and no folder",
  errno.EISDIR: "is a folder, and a file is needed",
  errno.ELOOP: "is a link that leads to itself",
  errno.ENAMETOOLONG: "has too long a name",
  errno.ENOTDIR: "is no folder, or lies below what is none",
}
_POINTER = b"version https://git-lfs"


def _mode_of_new_files() -> int:
  """What this process gives to a file: 0666 less its umask."""
  mask = os.umask(0o077)  # no call reads it without setting it
  os.umask(mask)
  return 0o666 & ~mask


_MODE = _mode_of_new_files()


def open_path(text: str) -> Path:
  """A path on a disk, or one with a scheme such as gs:// or s3://.

  Raises:
    ConfigError: there are no paths of that scheme, or the path has a password
      in it, which would be in the log and in what is left behind.
  """
  scheme, there, _ = text.partition("://")
  if not there:
    return pathlib.Path(text)
  if without_passwords(text) != text:
    raise ConfigError(
      f"{scheme}://…: a path has no password in it; give it to the library of "
      f"{scheme}:// by its own files or environment"
    )
  try:
    return epath.Path(text)
  except KeyError as error:
    raise ConfigError(
      f"{text}: nothing is kept at {scheme}://; a path is on a disk or in a "
      "bucket, such as gs://BUCKET/FOLDER"
    ) from error


def cache() -> pathlib.Path:
  """The user's own folder on this machine, for what can be made again.

  Raises:
    ConfigError: the user has no home, and names no other place.
  """
  named = os.environ.get("PROD_JAX_CACHE", "~/.cache/prod_jax")
  try:
    return pathlib.Path(named).expanduser()
  except RuntimeError as error:
    raise ConfigError(
      f"{named}: there is no home here; name a folder for compiled programs "
      "and copies in PROD_JAX_CACHE"
    ) from error


def twin(path: Path) -> pathlib.Path:
  """The local folder that stands for `path`: itself where it is local."""
  if isinstance(path, pathlib.Path):
    return path
  digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
  return cache() / f"{path.name}-{digest}"


def absolute(path: Path) -> Path:
  """The path from the root; one in a bucket is that already."""
  return path.resolve() if isinstance(path, pathlib.Path) else path


def copy(
  source: Path, to: Path, but: Collection[str] = (), *, anew: bool = False
) -> None:
  """Copies a file, or what is new in a folder.

  A large file whose size is the same is taken for the same: artefacts are
  written once, and a folder of other content is cleared first.

  Args:
    source: a file or a folder; nothing happens where it is not there.
    to: its copy. A file appears there whole.
    but: names to leave out, in a folder and all within.
    anew: copies large files too, whatever is there.
  """
  if source.is_dir():
    for child in source.iterdir():
      if child.name not in but and not is_part(child):
        copy(child, to / child.name, but, anew=anew)
  elif source.exists() and (anew or not _same(source, to)):
    to.parent.mkdir(parents=True, exist_ok=True)
    # Both are closed before the copy gets its name.
    with (
      whole_file(to) as part,
      source.open("rb") as old,
      part.open("wb") as new,
    ):
      shutil.copyfileobj(old, new, 1 << 24)


def is_inside(name: str) -> bool:
  """Whether a path is one of a file within a folder, as disks take it."""
  path = pathlib.PurePosixPath(name)
  try:
    long = any(len(os.fsencode(p)) > _LONGEST_NAME for p in path.parts)
    long |= len(os.fsencode(name)) > _LONGEST_PATH
  except UnicodeEncodeError:  # half of a surrogate pair
    return False
  plain = str(path) == name and ".." not in path.parts and "\0" not in name
  return plain and bool(path.parts) and not path.is_absolute() and not long


def check_links(folder: pathlib.Path, but: str = "") -> None:
  """Finds links that lead out of a folder in which much will be written.

  Args:
    folder: to look through. What cannot be listed, such as the `lost+found` of
      a disk of its own, cannot be written by name.
    but: a path within it that is left out.

  Raises:
    ConfigError: there is one. What it leads to would be written over.
  """
  root, left, out = os.path.realpath(folder), [str(folder)], str(folder / but)
  while left:
    try:
      with os.scandir(left.pop()) as found:
        entries = [entry for entry in found if entry.path != out]
    except (FileNotFoundError, PermissionError):  # the one is moved since
      continue
    left += [e.path for e in entries if e.is_dir(follow_symlinks=False)]
    for entry in filter(os.DirEntry.is_symlink, entries):
      to = os.path.realpath(entry.path)
      if to != root and not to.startswith(f"{root}/"):
        raise ConfigError(
          f"{entry.path} is a link to {to}, out of {folder}, and what is there "
          "would be written over; delete the link, or put in its place what it "
          "leads to"
        )


def is_part(path: Path) -> bool:
  """Whether a name is that of a file or folder that is not whole yet."""
  return path.name.endswith(_PART)


def free(folder: Path, name: str) -> Path:
  """Where in a folder, made now, nothing is yet: NAME, or NAME-1, NAME-2, …"""
  folder.mkdir(parents=True, exist_ok=True)
  # In a bucket an empty folder may be none.
  there = folder.iterdir() if folder.exists() else ()
  taken = {path.name for path in there}
  names = (f"{name}-{n}" if n else name for n in itertools.count())
  return folder / next(found for found in names if found not in taken)


def size(path: Path) -> int:
  """Bytes of a file."""
  stat: Any = path.stat()
  return stat.st_size if isinstance(path, pathlib.Path) else stat.length


def is_pointer(path: pathlib.Path) -> bool:
  """Whether Git-LFS has left a name where a file should be."""
  with path.open("rb") as file:
    return file.read(len(_POINTER)) == _POINTER


def write_text(path: Path, text: str) -> None:
  """Writes a file that is there whole or not at all."""
  with whole_file(path) as part:
    part.write_text(text, encoding="utf-8")


def read_object(path: Path) -> dict[str, Any]:
  """The JSON object in a file; {} where there is none, or half of one.

  Or where it was sealed and has changed. A disk or a bucket that fails is an
  error: what could not be read may well be there.
  """
  try:
    found = json.loads(path.read_text(encoding="utf-8"))
  except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
    return {}
  return found if isinstance(found, dict) and is_intact(found) else {}


def sealed(said: Mapping[str, Any]) -> dict[str, Any]:
  """A JSON object with a digest of all else in it."""
  return {**said, _DIGEST: _digest_of(said)}


def is_intact(record: Mapping[str, Any]) -> bool:
  """Whether an object is as it was sealed; one that was not is as it is."""
  rest = {key: value for key, value in record.items() if key != _DIGEST}
  return record.get(_DIGEST, _digest_of(rest)) == _digest_of(rest)


def trouble(error: BaseException) -> str:
  """What a path, a disk or a bucket refuses, and what to do, in a line.

  "" for other errors.
  """
  if isinstance(error, OSError) and error.filename and error.errno:
    named = error.filename
    if wrong := _WRONG_PATHS.get(error.errno):
      return f"{named} {wrong}; put it right, or name another place"
  text = " ".join(str(error).split())
  if isinstance(error, ImportError) and " to access " in text:  # as of etils
    return text.replace("gcsfs", "gcsfs (pip install 'prod_jax[gcs]')")
  for code, remedy in _REMEDIES.items():
    # Libraries in other languages have errors of their own, with this text.
    if getattr(error, "errno", None) == code or os.strerror(code) in text:
      return f"{text:.400}: {remedy}"
  if _is_of_a_bucket(error):
    return f"{type(error).__name__}: {text:.400}: {_UNREACHED}"
  # A disk that is behind a network.
  if isinstance(error, ConnectionError | TimeoutError) and error.filename:
    return f"{text:.400}: {_HARDWARE}"
  return ""


def _is_of_a_bucket(error: BaseException) -> bool:
  """Whether a bucket's library raised it, or heard of it first."""
  modules = [type(error).__module__]
  # A broken pipe is whoever no longer reads what a command says.
  if isinstance(error, ConnectionError | TimeoutError) and not isinstance(
    error, BrokenPipeError
  ):
    frames = traceback.walk_tb(error.__traceback__)
    modules += [frame.f_globals.get("__name__", "") for frame, _ in frames]
  return any(map(_BUCKETS.fullmatch, modules))


@contextlib.contextmanager
def whole_file(path: Path, *, concurrent: bool = False) -> Iterator[Path]:
  """Yields a path to write to; in the end the file is renamed to `path`.

  A file that is there is replaced. Where the work fails it stays, and what was
  written lies beside it as `NAME.part`, for the next try to overwrite or to go
  on with.

  Args:
    path: of the file. In a bucket it is written under this name, since an
      object appears there whole.
    concurrent: several processes may write it at once. Each has a part of its
      own, which is deleted where the work fails.
  """
  if not isinstance(path, pathlib.Path):
    yield path
    return
  part = _part(path, concurrent)
  if part.is_symlink() or not part.is_file():
    part.unlink(missing_ok=True)  # a link may lead to any file, a pipe waits
  try:
    yield part
    part.chmod(_MODE)  # safetensors makes files of mode 0600
    to_disk(part)
    part.replace(path)
    to_disk(path.parent)
  finally:
    if concurrent:
      part.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(
  path: pathlib.Path, *, concurrent: bool = False
) -> Iterator[pathlib.Path]:
  """The same of a folder, which is empty when it is yielded.

  Args:
    path: of the folder.
    concurrent: as of `whole_file`; and where another process was first, its
      folder stays, which is as good.
  """
  part = _part(path, concurrent)
  shutil.rmtree(part, ignore_errors=True)  # what a killed run has left
  part.mkdir(parents=True)
  try:
    yield part
    for written in (*part.rglob("*"), part):
      if not written.is_symlink():  # which may lead nowhere
        to_disk(written)
    old = _part(path.with_name(f"{path.name}.old"), concurrent)
    if not concurrent and path.is_dir():
      # No rename replaces a full one, and to delete it takes a while.
      shutil.rmtree(old, ignore_errors=True)
      path.rename(old)
    _rename(part, path, concurrent)
    to_disk(path.parent)
    shutil.rmtree(old, ignore_errors=True)
  finally:
    if concurrent:
      shutil.rmtree(part, ignore_errors=True)


def _part(path: pathlib.Path, concurrent: bool) -> pathlib.Path:
  own = f".{uuid.uuid4().hex[:8]}" if concurrent else ""
  return path.with_name(f"{path.name}{own}{_PART}")


def to_disk(path: pathlib.Path) -> None:
  """Waits until a file's content, or a folder's names, outlast a power cut."""
  number = os.open(path, os.O_RDONLY)
  try:
    os.fsync(number)
  finally:
    os.close(number)


def _rename(
  partial: pathlib.Path, path: pathlib.Path, concurrent: bool
) -> None:
  try:
    partial.rename(path)
  except OSError:
    if not (concurrent and path.is_dir()):
      raise


def _digest_of(said: Mapping[str, Any]) -> str:
  # As it comes back from a file, where a tuple is a list.
  plain = json.loads(json.dumps(said))
  return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _same(source: Path, to: Path) -> bool:
  there = size(source)
  return there > _SMALL and to.exists() and there == size(to)
