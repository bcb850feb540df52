"""A bucket without a network; `gs://` paths lead here.

etils keeps the file system that it first found behind a scheme, so that a
process can have only one.
"""

from typing import ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from prod_jax import storage


class Bucket(MemoryFileSystem):
  protocol = ("gcs", "gs")
  store: ClassVar = {}
  pseudo_dirs: ClassVar = [""]

  def __init__(self, *args, finalize_on_close=True, **kwargs):
    super().__init__(*args, **kwargs)

  @classmethod
  def _strip_protocol(cls, path):
    return MemoryFileSystem._strip_protocol(path.replace("gs://", "memory://"))


def empty(path):
  """The path of a folder in a bucket in which nothing is."""
  fsspec.register_implementation("gcs", Bucket, clobber=True)
  Bucket.store.clear()
  Bucket.pseudo_dirs[:] = [""]
  return storage.open_path(path)
