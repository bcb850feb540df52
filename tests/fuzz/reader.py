"""A reader of one file, and what may come of any bytes in it."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from prod_jax.strict import Refused


class Reader(NamedTuple):
  """A way to read one file.

  Attributes:
    name: of the reader.
    file: name of the file, in a folder of its own.
    read: takes the file's path.
    seeds: bytes of files that can be read, to begin with.
    beside: what else is in the folder.
    named: what an error says of the file; "" is its name.
  """

  name: str
  file: str
  read: Callable[[pathlib.Path], Any]
  seeds: tuple[bytes, ...]
  beside: Mapping[str, bytes] = {}
  named: str = ""


def prepare(reader: Reader, folder: pathlib.Path) -> pathlib.Path:
  """Writes what is beside the file; returns the path of that."""
  for name, content in reader.beside.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
  path = folder / reader.file
  path.parent.mkdir(parents=True, exist_ok=True)
  return path


def attempt(reader: Reader, path: pathlib.Path, content: bytes) -> Any:
  """What is read of a file with this content; None where it is refused.

  Raises:
    AssertionError: a refusal does not say which file it is of, or takes more
      than a few lines.
  """
  path.write_bytes(content)
  try:
    return reader.read(path)
  except Refused as error:
    said = str(error)
    assert (reader.named or path.name) in said, f"no name of a file: {said}"
    assert len(said) < 5000, f"{len(said)} characters: {said[:200]}"
    return None
