"""Arrays in .npy files: numbers and bytes, and no objects."""

import pathlib

import numpy as np

from prod_jax.strict import ConfigError


def read(path: pathlib.Path, *, mapped: bool = False) -> np.ndarray:
  """An array of a file; no object, which would have to be unpickled.

  Args:
    path: of the file.
    mapped: it stays on the disk, and what is asked for is read.

  Raises:
    ConfigError: it is not there, or damaged.
  """
  try:
    # A map is as long as the file, whatever the header says.
    array = np.load(path, mmap_mode="r", allow_pickle=False)
  except FileNotFoundError as error:
    raise ConfigError(
      f"{path} is not there; the stage of its folder makes it, where the run's "
      "command has come to that"
    ) from error
  except Exception as error:  # of many classes, for a header of any bytes
    raise ConfigError(
      f"{path}: cannot be read as an array ({error}); delete its folder, and "
      "the run's command makes it again"
    ) from error
  if not isinstance(array, np.memmap):
    raise ConfigError(f"{path}: is an archive of arrays, not one; delete it")
  return array if mapped else np.array(array)
