"""Files that a process locks: the kernel lets go however the process ends."""

import contextlib
import errno
import fcntl
import os
import pathlib
from collections.abc import Iterator

from absl import logging

from prod_jax.strict import ConfigError


def open_own(path: pathlib.Path) -> int:
  """Opens a file that is made once, for a lock and what stands in it.

  Raises:
    ConfigError: it is a link, which may lead to any file.
  """
  try:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
  except OSError as error:
    if error.errno != errno.ELOOP:
      raise
    raise ConfigError(f"{path} is a link; delete it") from error


@contextlib.contextmanager
def alone(folder: pathlib.Path, name: str) -> Iterator[None]:
  """Waits until no other process makes what has this name in a folder.

  Raises:
    ConfigError: the file of the lock, `.NAME.lock`, is a link.
  """
  with os.fdopen(open_own(folder / f".{name}.lock")) as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      logging.info("%s: another process makes it; waiting", folder / name)
      fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
      logging.warning(
        "%s: its disk has no locks (%s): nothing keeps another process from "
        "making %s, too",
        folder,
        error.strerror,
        name,
      )
    yield
