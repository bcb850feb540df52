"""Lines of UTF-8 files, plain, gzipped or inside a tar archive, and faults.

A byte order mark, Windows line ends and wholly empty lines are passed over;
what else is odd raises `DataError` with file and line, or is counted. A plain
file can be cut into blocks that are read on their own, by any process. What
the lines mean is formats.py.
"""

import codecs
import collections
import contextlib
import errno
import functools
import gzip
import lzma
import pathlib
import tarfile
import uuid
import zlib
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Literal, NamedTuple, NoReturn

from absl import logging

from prod_jax import progress
from prod_jax.sets.records import DataError

OnError = Literal["raise", "skip"]

_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError)
_UTF_16 = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SCANNED_BYTES = 8 << 20
_UNPACKED_BYTES = 16 << 20
_LONGEST = 64 << 20  # bytes of a line
# No text is packed so well: gzip makes a hundredth of it at best.
_RATIO, _SMALL = 200, 1 << 30
_UNPACKED = "unpacked-"
# What first and last columns are called where somebody has written a header.
_ID_NAMES = frozenset(
  (
    "id",
    "_id",
    "pid",
    "qid",
    "docid",
    "doc_id",
    "docno",
    "passage_id",
    "passage-id",
    "query_id",
    "query-id",
    "document_id",
    "corpus_id",
  )
)
_TEXT_NAMES = frozenset(
  ("text", "passage", "query", "body", "content", "contents")
)
_LONGEST_ID = 1000  # each id of a table takes as much as its longest one
_GZIP = b"\x1f\x8b"  # begins a file that gzip has made


class Member(NamedTuple):
  """A file inside a tar archive, whichever folder of it that is in."""

  archive: pathlib.Path
  name: str

  def __str__(self) -> str:
    return f"{self.archive}/{self.name}"


Source = pathlib.Path | Member


class Block(NamedTuple):
  """Whole lines of a plain file.

  Attributes:
    path: of the file.
    line: number of the first line, from 1.
    start, stop: bytes.
  """

  path: pathlib.Path
  line: int
  start: int
  stop: int


class Faults:
  """Faults in the lines of one file: the first raises, or all are counted.

  Args:
    source: the file.
    on_error: None of lines that cannot be left out, so that nobody is told to.
    skipped: what is counted already.
  """

  def __init__(
    self,
    source: Source,
    on_error: OnError | None,
    skipped: collections.Counter[str] | None = None,
  ):
    if on_error not in ("raise", "skip", None):
      raise ValueError(f"on_error is {on_error!r}; it takes 'raise' or 'skip'")
    self.skipped = collections.Counter() if skipped is None else skipped
    self._source = source
    self._on_error = on_error

  def add(self, number: int, reason: str, what: str, remedy: str) -> None:
    if self._on_error == "skip":
      self.skipped[reason] += 1
      return
    where = f"{self._source}:{number}"
    if self._on_error is None:
      raise DataError(f"{where}: {what}; {remedy}")
    raise DataError(
      f"{where}: {what}; {remedy}, or let such lines be left out with "
      "on_error='skip'"
    )

  def is_utf16(self) -> NoReturn:
    """Says so of the whole file, of which no line can be left out."""
    raise DataError(
      f"{self._source}:1: the file is UTF-16, not UTF-8; convert it, as by "
      "iconv -f UTF-16 -t UTF-8"
    )

  def columns(
    self, number: int, count: int, wanted: str, usual: int = 0
  ) -> None:
    most = f"; most of the first lines have {usual}" if usual else ""
    self.add(
      number,
      "wrong number of columns",
      f"{count} columns, expected {wanted}{most}",
      "take out tabs and line breaks inside a text and any header line",
    )

  def duplicate(self, number: int, name: str) -> None:
    self.add(
      number, "duplicate id", f"{name} occurs again", "keep one of the lines"
    )

  def unknown(self, number: int, kind: str, name: str) -> None:
    home = "queries" if kind == "query" else "collection"
    self.add(
      number,
      f"unknown {kind}",
      f"{kind} {name} is not in the {home} file",
      "add it there or remove this line",
    )

  def header(self, name: str, text: str) -> bool:
    """Whether a first line names its columns, which is a fault."""
    if name.casefold() not in _ID_NAMES or text.casefold() not in _TEXT_NAMES:
      return False
    what = f"a header, {name} … {text}, and no text"
    self.add(1, "header", what, "remove it")
    return True

  def in_text(
    self, number: int, name: str, text: str, seen: Collection[str] = ()
  ) -> bool:
    """Whether a line of an id and a text has a fault."""
    # A table of ids ends each at its first NUL.
    if name.split() != [name] or "\0" in name:
      what = f"id {name!r} is empty or has white space or a NUL in it"
      self.add(number, "bad id", what, "rename it")
    elif len(name) > _LONGEST_ID:
      what = f"id {name[:20]!r}… has {len(name):,} letters"
      remedy = f"rename it, to {_LONGEST_ID:,} at most"
      self.add(number, "long id", what, remedy)
    elif not text:
      self.add(
        number, "empty text", f"{name} has no text", "give it one or remove it"
      )
    elif name in seen:
      self.duplicate(number, name)
    else:
      return False
    return True

  def log(self) -> None:
    """One line about all that was skipped, if anything was."""
    if self.skipped:
      reasons = ", ".join(f"{n} {r}" for r, n in self.skipped.most_common())
      total = self.skipped.total()
      logging.warning("%s: skipped %d lines: %s", self._source, total, reasons)


@contextlib.contextmanager
def open_bytes(source: Source) -> Iterator[Any]:
  """Opens a file for reading, its compression taken off.

  Raises:
    DataError: it cannot be read, also where that is found out later.
  """
  try:
    if isinstance(source, Member):
      with _open_tar(source.archive) as archive:
        yield _member(archive, source)
    else:
      packed = source.suffix == ".gz"
      with gzip.open(source) if packed else open(source, "rb") as file:
        if not packed and file.peek(2).startswith(_GZIP):
          raise DataError(
            f"{source}: is compressed by gzip, and its name does not say so; "
            "let it end with .gz, or unpack it"
          )
        yield file
  except _UNREADABLE as error:
    if getattr(error, "errno", None) in _OF_WRITING:
      raise  # what was read is written somewhere else
    form = ", compressed by gzip" if str(source).endswith(".gz") else ""
    raise DataError(
      f"{source}: cannot be read ({error}); expected a text file in UTF-8{form}"
    ) from error


def read_lines(source: Source, faults: Faults) -> Iterator[tuple[int, str]]:
  """Yields (line number from 1, line).

  Raises:
    DataError: it cannot be read, or a line is longer than any text.
  """
  with open_bytes(source) as file:
    yield from decoded(_numbered(source, file), faults)


def _numbered(source: Source, file: Any) -> Iterator[tuple[int, bytes]]:
  lines = iter(functools.partial(file.readline, _LONGEST + 1), b"")
  for number, line in enumerate(lines, 1):
    if len(line) > _LONGEST:
      raise _too_long(source, number)
    yield number, line


def _too_long(source: Source, number: int) -> DataError:
  return DataError(
    f"{source}:{number}: a line of more than {_LONGEST >> 20} MiB; expected a "
    "text a line"
  )


def read_block(block: Block, faults: Faults) -> Iterator[tuple[int, str]]:
  """The same of a block."""
  with open_bytes(block.path) as file:
    file.seek(block.start)
    lines = of_bytes(file, block.stop - block.start)
    yield from decoded(enumerate(lines, block.line), faults)


def of_bytes(file: Any, left: int) -> Iterator[bytes]:
  """The lines of so many bytes, which are not read at once: a block has tens of
  megabytes.
  """
  while line := file.readline(left):
    left -= len(line)
    yield line


def blocks_of(path: pathlib.Path, lines: int, source: Source) -> list[Block]:
  """Blocks of so many lines that make up a plain file; the last is shorter.

  Args:
    path: of the file.
    lines: of a block.
    source: what it was unpacked from, for errors.

  Raises:
    DataError: a line is longer than any text.
  """
  blocks = []
  line, start, position, pending = 1, 0, 0, 0
  with open_bytes(path) as file:
    since = 0  # bytes without a line end
    while chunk := file.read(_SCANNED_BYTES):
      end = chunk.rfind(b"\n")
      since = len(chunk) - end - 1 if end >= 0 else since + len(chunk)
      if since > _LONGEST:
        raise _too_long(source, line + pending + chunk.count(b"\n"))
      at = 0
      while (count := chunk.count(b"\n", at)) + pending >= lines:
        for _ in range(lines - pending):
          at = chunk.index(b"\n", at) + 1
        blocks.append(Block(path, line, start, position + at))
        line, start, pending = line + lines, position + at, 0
      pending += count
      position += len(chunk)
  if position > start:
    blocks.append(Block(path, line, start, position))
  return blocks


def plain(source: Source, folder: pathlib.Path) -> pathlib.Path:
  """The file itself, or what it is without compression, written to a folder.

  Only the one file is written, under a name of our own: no path that stands in
  an archive is followed.
  """
  if not isinstance(source, Member) and source.suffix != ".gz":
    return source
  path = unpacked(folder)
  try:
    with open_bytes(source) as packed, open(path, "wb") as file:
      chunks = iter(functools.partial(packed.read, _UNPACKED_BYTES), b"")
      name = f"unpacking {source.name}"
      most = max(_SMALL, _RATIO * on_disk(source).stat().st_size)
      for chunk in progress.shown(
        chunks, name, f"x {_UNPACKED_BYTES >> 20} MiB"
      ):
        if file.tell() > most:
          raise DataError(
            f"{source}: more than {_RATIO} times its size came out of it, as "
            "of no text; fetch it again"
          )
        file.write(chunk)
    with open(path, "rb") as file:
      if file.read(2) == _GZIP:
        raise DataError(
          f"{source}: what comes out of it is compressed by gzip as well; "
          "unpack it once"
        )
  except BaseException:
    path.unlink(missing_ok=True)
    raise
  return path


def on_disk(source: Source) -> pathlib.Path:
  """The file that a source is, or is in."""
  return source.archive if isinstance(source, Member) else source


def unpacked(folder: pathlib.Path) -> pathlib.Path:
  """A free name in a folder for a file that `remove_unpacked` deletes."""
  return folder / f"{_UNPACKED}{uuid.uuid4().hex[:8]}"


def remove_unpacked(folder: pathlib.Path) -> None:
  """Deletes what `plain` and others have written under such names."""
  for path in folder.glob(f"{_UNPACKED}*"):
    path.unlink()


def _open_tar(path: pathlib.Path) -> tarfile.TarFile:
  try:
    return tarfile.open(path, "r|*")
  except TypeError as error:  # where a header of gzip is cut
    raise tarfile.ReadError("it is cut") from error


def _member(archive: tarfile.TarFile, source: Member) -> Any:
  for entry in archive:
    if pathlib.PurePosixPath(entry.name).name == source.name:
      file = archive.extractfile(entry) if entry.isfile() else None
      if file:
        return file
  raise DataError(f"{source.archive}: expected a file {source.name} in it")


def decoded(
  lines: Iterable[tuple[int, bytes]], faults: Faults
) -> Iterator[tuple[int, str]]:
  """Numbered lines as text, without empty ones and those at fault."""
  for number, raw in lines:
    if number == 1:
      raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
      line = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
      if number == 1 and raw.startswith(_UTF_16):
        faults.is_utf16()
      what = f"byte {error.start} of the line is not UTF-8"
      faults.add(number, "not UTF-8", what, "convert the file with iconv")
      continue
    if line:
      yield number, line


def half_pair_at(text: str) -> int | None:
  """Where a text cannot be written as UTF-8, which JSON's \\u lets it be."""
  try:
    text.encode("utf-8")
  except UnicodeEncodeError as error:
    return error.start
  return None
