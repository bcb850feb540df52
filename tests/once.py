"""What several workers of one run of pytest need, made by one of them."""

import os
import pathlib
from collections.abc import Callable

import filelock
import pytest


def folder(
  factory: pytest.TempPathFactory,
  name: str,
  make: Callable[[pathlib.Path], object],
) -> pathlib.Path:
  """The folder of a name, which `make` fills unless another worker has."""
  root = factory.getbasetemp()
  if "PYTEST_XDIST_WORKER" in os.environ:
    root = root.parent
  made = root / name
  with filelock.FileLock(root / f"{name}.lock"):
    if not (made / "made").exists():
      made.mkdir(exist_ok=True)
      make(made)
      (made / "made").touch()
  return made
