"""prod_jax.main, which sends itself a signal when a certain line is logged.

    python -m tests.stopped LINE SIGNAL --config=… --workdir=…

It shows and keeps all that it has at once, and a tracker of its own looks on,
which leaves `told.jsonl` in its folder.
"""

import json
import logging
import os
import re
import runpy
import signal
import sys

from prod_jax import progress, trackers
from prod_jax.retrieval import pieces


class Stop(logging.Handler):
  """Sends the signal."""

  def __init__(self, line, number):
    super().__init__()
    self.line, self.number = line, number

  def emit(self, record):
    if self.line and re.search(self.line, record.getMessage()):
      os.kill(os.getpid(), self.number)


class TensorBoard:
  """Writes down what a tracker is told."""

  def __init__(self, folder):
    self.path = folder / "told.jsonl"

  def log(self, *words):
    with self.path.open("a") as file:
      file.write(json.dumps(words) + "\n")

  def close(self):
    pass


if __name__ == "__main__":
  line, number = sys.argv[1:3]
  del sys.argv[1:3]
  logging.getLogger("absl").addHandler(Stop(line, int(number)))
  # Of a shell's background job it would be ignored.
  signal.signal(signal.SIGINT, signal.default_int_handler)
  trackers._TensorBoard, trackers.check = TensorBoard, lambda names: None
  progress.SECONDS = progress._FIRST = pieces.SECONDS = pieces._LOOK = 0
  runpy.run_module("prod_jax.main", run_name="__main__", alter_sys=True)
