"""A working folder on a disk or in a bucket, and its twin on this machine.

Artefacts are memory-mapped, which a bucket cannot do. So all work goes on in
local folders: for a folder on a disk that is the folder itself, for a bucket
a twin under $PROD_JAX_CACHE (or ~/.cache/prod_jax), which is filled from the
bucket and copied to it file by file. Who copies what, and when, is
processes.py.
"""

import hashlib
import os
import pathlib
import shutil
from collections.abc import Collection

from etils import epath

Path = pathlib.Path | epath.Path

_SMALL = 1 << 20  # bytes; a smaller file is copied again each time
_PART = ".part"  # ends the name of a file that is not whole yet


def open_path(text: str) -> Path:
  """A path on a disk, or one with a scheme such as gs:// or s3://."""
  return epath.Path(text) if "://" in text else pathlib.Path(text)


def twin(path: Path) -> pathlib.Path:
  """The local folder that stands for `path`: itself where it is local."""
  if isinstance(path, pathlib.Path):
    return path
  cache = os.environ.get("PROD_JAX_CACHE", "~/.cache/prod_jax")
  digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
  return pathlib.Path(cache).expanduser() / f"{path.name}-{digest}"


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
    but: names in a folder to leave out.
    anew: copies large files too, whatever is there.
  """
  if source.is_dir():
    for child in source.iterdir():
      if child.name not in but and not child.name.endswith(_PART):
        copy(child, to / child.name, anew=anew)
  elif source.exists() and (anew or not _same(source, to)):
    to.parent.mkdir(parents=True, exist_ok=True)
    # An object of a bucket appears whole, a file of a disk does not.
    local = isinstance(to, pathlib.Path)
    part = to.with_name(f"{to.name}{_PART}") if local else to
    with source.open("rb") as old, part.open("wb") as new:
      shutil.copyfileobj(old, new, 1 << 24)
    if local:
      part.replace(to)


def write_text(path: Path, text: str) -> None:
  """Writes a file that is there whole or not at all."""
  if not isinstance(path, pathlib.Path):
    path.write_text(text)  # as an object of a bucket is anyway
    return
  part = path.with_name(f"{path.name}{_PART}")
  part.write_text(text, encoding="utf-8")
  part.replace(path)


def _same(source: Path, to: Path) -> bool:
  size = _size(source)
  return size > _SMALL and to.exists() and size == _size(to)


def _size(path: Path) -> int:
  stat = path.stat()
  return stat.st_size if isinstance(path, pathlib.Path) else stat.length
