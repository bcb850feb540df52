"""A zip that came in several files, and safely out of it.

Nothing is written but what is asked for, and nothing outside of its folder.
"""

import bisect
import io
import itertools
import lzma
import os
import pathlib
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

from prod_jax.strict import Refused

_MOST_FILES, _MOST_BYTES = 1000, 4 << 30
# What zipfile and its decompressors raise, and names that no disk takes.
_UNREADABLE = (
  zipfile.BadZipFile,
  zlib.error,
  lzma.LZMAError,
  struct.error,
  EOFError,
  OSError,
  RuntimeError,
  ValueError,
)


class Joined(io.RawIOBase):
  """Files one behind the other, read as one; none is copied.

  Args:
    paths: in order.
  """

  def __init__(self, paths: Sequence[pathlib.Path]):
    self._files = [path.open("rb") for path in paths]
    sizes = [path.stat().st_size for path in paths]
    self._starts = [0, *itertools.accumulate(sizes)]
    self._at = 0

  def readable(self) -> bool:
    return True

  def seekable(self) -> bool:
    return True

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    base = {
      os.SEEK_SET: 0,
      os.SEEK_CUR: self._at,
      os.SEEK_END: self._starts[-1],
    }
    self._at = max(0, base[whence] + offset)
    return self._at

  def tell(self) -> int:
    return self._at

  def readinto(self, buffer: Any) -> int:
    if self._at >= self._starts[-1]:
      return 0
    part = bisect.bisect_right(self._starts, self._at) - 1
    file = self._files[part]
    file.seek(self._at - self._starts[part])
    count = file.readinto(buffer)
    self._at += count
    return count

  def close(self) -> None:
    for file in self._files:
      file.close()
    super().close()


def unpack(
  parts: Sequence[pathlib.Path], top: str, target: pathlib.Path
) -> None:
  """Writes what is in a zip's folder `top` as `target`, whole or not at all.

  Args:
    parts: of the zip, in order.
    top: all that is in the zip is in it.
    target: is not there yet.

  Raises:
    Refused: this is no zip, one of its files is damaged, or something in it is
      a link or not in `top`, or larger than any model; naming it.
  """
  part = target.with_name(f"{target.name}.part")
  shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
  part.mkdir(parents=True)
  try:
    with (
      io.BufferedReader(Joined(parts), 1 << 20) as file,
      zipfile.ZipFile(file) as whole,
    ):
      _check_size(whole.infolist())
      for member in whole.infolist():
        _write(whole, member, top, part)
    os.replace(part, target)
  except _UNREADABLE as error:
    behind = " and those behind it" if len(parts) > 1 else ""
    raise Refused(f"{parts[0]}{behind}: {error}; fetch it again") from error
  finally:
    shutil.rmtree(part, ignore_errors=True)


def _check_size(members: Sequence[zipfile.ZipInfo]) -> None:
  """Before anything is written; no member gives more than it has declared."""
  total = sum(member.file_size for member in members)
  if len(members) > _MOST_FILES or total > _MOST_BYTES:
    raise Refused(
      f"{len(members)} files of {total >> 20} MiB are in the zip; it takes "
      f"{_MOST_FILES} of {_MOST_BYTES >> 20} MiB"
    )


def _write(
  whole: zipfile.ZipFile,
  member: zipfile.ZipInfo,
  top: str,
  folder: pathlib.Path,
) -> None:
  path = pathlib.PurePosixPath(member.filename)
  inside = path.parts[:1] == (top,) and ".." not in path.parts
  if not inside or "\\" in member.filename or ":" in member.filename:
    raise Refused(f"{member.filename!r} in the zip is not in {top}")
  if stat.S_ISLNK(member.external_attr >> 16):
    raise Refused(f"{member.filename!r} in the zip is a link")
  target = folder.joinpath(*path.parts[1:])
  if member.is_dir():
    target.mkdir(parents=True, exist_ok=True)
    return
  target.parent.mkdir(parents=True, exist_ok=True)
  with whole.open(member) as source, open(target, "wb") as file:
    shutil.copyfileobj(source, file, 1 << 20)
