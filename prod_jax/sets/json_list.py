"""Long JSON lists, one item at a time.

DPR's training file is eight gigabytes of text in one list, and `json.load`
makes many times that of it.
"""

import codecs
import json
from collections.abc import Iterator
from typing import Any, NoReturn

from prod_jax.sets.lines import Source, open_bytes
from prod_jax.sets.records import DataError

_CHUNK = 4 << 20  # bytes
_LARGEST = 64 << 20  # characters of an item; longer ones are taken for damage


def read(source: Source) -> Iterator[tuple[int, Any]]:
  """Yields (line that the item begins at, item).

  Raises:
    DataError: the file cannot be read, or is no JSON list.
  """
  text = _Text(source)
  with open_bytes(source) as file:
    text.chunks = _decoded(source, file)
    text.expect("[")
    while text.sign() != "]":
      text.skip()
      line = text.line
      yield line, text.item()
      if text.sign() not in (",", "]"):
        text.fail("expected a comma or the end of the list")
      if text.sign() == ",":
        text.expect(",")


class _Text:
  """The part of a file that has been read and not yet understood."""

  def __init__(self, source: Source):
    self.chunks: Iterator[str] = iter(())
    self.line = 1
    self._source = source
    self._buffer = ""
    self._decoder = json.JSONDecoder()

  def skip(self) -> None:
    """Passes over white space."""
    while True:
      rest = self._buffer.lstrip()
      self._drop(len(self._buffer) - len(rest))
      if rest or not self._fill():
        return

  def sign(self) -> str:
    """The next character that is no white space, "" at the end."""
    self.skip()
    return self._buffer[:1]

  def expect(self, sign: str) -> None:
    if self.sign() != sign:
      self.fail(f"expected {sign!r}")
    self._drop(1)

  def item(self) -> Any:
    """Takes the next value off."""
    while True:
      try:
        value, end = self._decoder.raw_decode(self._buffer)
      except RecursionError as error:
        self.fail(str(error))
      except ValueError as error:
        if len(self._buffer) > _LARGEST or not self._fill():
          self.fail(str(error))
        continue
      self._drop(end)
      return value

  def fail(self, what: str) -> NoReturn:
    raise DataError(
      f"{self._source}:{self.line}: no JSON list of objects ({what}); take the "
      "file as it was published"
    )

  def _fill(self) -> bool:
    chunk = next(self.chunks, "")
    self._buffer += chunk
    return bool(chunk)

  def _drop(self, count: int) -> None:
    self.line += self._buffer.count("\n", 0, count)
    self._buffer = self._buffer[count:]


def _decoded(source: Source, file: Any) -> Iterator[str]:
  decoder = codecs.getincrementaldecoder("utf-8-sig")()
  try:
    while chunk := file.read(_CHUNK):
      if text := decoder.decode(chunk):
        yield text
    decoder.decode(b"", final=True)
  except UnicodeDecodeError as error:
    raise DataError(f"{source}: is not UTF-8 ({error})") from error
