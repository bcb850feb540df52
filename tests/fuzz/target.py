"""One reader before libFuzzer, which ends its process.

It ends after so many seconds of its processor and leaves result.json in its
folder, and beside it one input of each kind that broke the reader:
libFuzzer goes on behind it.
"""

import hashlib
import json
import logging
import os
import pathlib
import time
import traceback
from typing import NoReturn

import atheris

with atheris.instrument_imports(include=["prod_jax"]):
  from tests.fuzz.reader import Reader, attempt, prepare
  from tests.fuzz.readers import READERS

_LONGEST = 8192  # bytes of an input
_HANGS = 60  # seconds
_MEGABYTES = 4096


class Target:
  """Counts what it is given, and keeps what breaks the reader."""

  def __init__(self, reader: Reader, folder: pathlib.Path, seconds: float):
    self._reader, self._folder, self._seconds = reader, folder, seconds
    self._path = prepare(reader, folder / "files")
    self._crashes: dict[str, str] = {}
    self._count = 0
    self._began = time.process_time()

  def __call__(self, content: bytes) -> None:
    self._count += 1
    try:
      attempt(self._reader, self._path, content)
    except Exception as error:  # of any class: that is what is looked for
      self._keep(error, content)
    took = time.process_time() - self._began
    if took >= self._seconds:
      result = {"count": self._count, "seconds": took, "crashes": self._crashes}
      (self._folder / "result.json").write_text(json.dumps(result))
      os._exit(0)  # libFuzzer ends no other way

  def _keep(self, error: Exception, content: bytes) -> None:
    """The first input that fails in a way, by the line of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/prod_jax/" in f.filename] or frames
    where = f"{ours[-1].filename.rpartition('/prod_jax/')[2]}:{ours[-1].lineno}"
    key = f"{type(error).__name__} in {where}"
    if key in self._crashes:
      return
    self._crashes[key] = hashlib.sha256(content).hexdigest()[:12]
    path = self._folder / "crashes" / self._crashes[key]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def run(
  name: str, seconds: float, place: pathlib.Path, corpus: pathlib.Path
) -> NoReturn:
  """Fuzzes one reader in this process, from the inputs of a corpus on."""
  logging.disable(logging.CRITICAL)
  reader = READERS[name]
  corpus.mkdir(exist_ok=True)
  for number, seed in enumerate(reader.seeds):
    (corpus / f"seed-{number}").write_bytes(seed)
  flags = [
    f"-artifact_prefix={place}/",
    f"-dict={pathlib.Path(__file__).parent / 'words.dict'}",
    f"-max_len={_LONGEST}",
    f"-rss_limit_mb={_MEGABYTES}",
    f"-timeout={_HANGS}",
  ]
  target = Target(reader, place, seconds)
  atheris.Setup(["fuzz", *flags, str(corpus)], target)
  atheris.Fuzz()
  os._exit(1)
