"""What becomes of files of a finished or an unfinished run."""

import pathlib
import shutil
from collections.abc import Callable

import numpy as np

# Takes a file, and what is drawn from.
Damage = Callable[[pathlib.Path, np.random.Generator], None]


def truncated(path: pathlib.Path, rng: np.random.Generator) -> None:
  """Cuts it somewhere."""
  content = path.read_bytes()
  path.write_bytes(content[: int(rng.integers(len(content)))])


def flipped(path: pathlib.Path, rng: np.random.Generator) -> None:
  """Changes one bit of one byte."""
  content = bytearray(path.read_bytes())
  content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
  path.write_bytes(content)


def emptied(path: pathlib.Path, rng: np.random.Generator) -> None:
  """Leaves a file of no bytes."""
  path.write_bytes(b"")


def removed(path: pathlib.Path, rng: np.random.Generator) -> None:
  """Deletes the file."""
  path.unlink()


def folder_removed(path: pathlib.Path, rng: np.random.Generator) -> None:
  """Deletes the folder that it is in: a block, lists, a checkpoint."""
  shutil.rmtree(path.parent)


KINDS: dict[str, Damage] = {
  "file cut": truncated,
  "byte flipped": flipped,
  "file emptied": emptied,
  "file removed": removed,
  "folder removed": folder_removed,
}
