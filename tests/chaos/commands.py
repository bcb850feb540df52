"""Commands of prod_jax in forks of this process, which has used no device.

The process imports all that a command imports, once, and a fork of it begins
with the command itself. What a fault needs is put in place in the fork.
"""

import contextlib
import gc
import importlib
import os
import pathlib
import pkgutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax

import prod_jax
from prod_jax.cli import arguments

SECONDS = 1200  # of a command, until it counts as hanging
_LIBRARIES = ("grain", "orbax.checkpoint", "tensorflow_datasets", "tokenizers")
_ROOMS = ("batches", "losses", "methods", "models", "report", "retrieval")
_MORE = ("sets", "stages", "train", "export", "cli.run", "cli.export", "main")


class Ended(NamedTuple):
  """How a command has ended.

  Attributes:
    code: of its exit; below 0 the signal that ended it, None where it hung.
    said: its standard error.
    work: seconds of processors that it took.
    sent: whether the signal that was asked for came before the end.
  """

  code: int | None
  said: str
  work: float
  sent: bool = False

  @property
  def is_clear(self) -> bool:
    """Whether it has said in a line what is wrong, and nothing but that."""
    return self.code in (2, 75) and "Traceback" not in self.said


def warm_up() -> None:
  """Imports what commands need, so that forks do not."""
  for name in _LIBRARIES:
    importlib.import_module(name)
  for room in (*_ROOMS, *_MORE):
    module = importlib.import_module(f"{prod_jax.__name__}.{room}")
    for found in pkgutil.iter_modules(getattr(module, "__path__", ())):
      with contextlib.suppress(ImportError):  # of extras that are not here
        importlib.import_module(f"{module.__name__}.{found.name}")
  gc.freeze()


class Shot(NamedTuple):
  """A signal that is sent to one of some forks.

  Attributes:
    victim: which of them.
    after: seconds of its work until then, however slow the machine is.
    number: of the signal.
  """

  victim: int
  after: float
  number: int


def run(
  command: str,
  words: Sequence[str],
  log: pathlib.Path,
  prepare: Callable[[], None] = lambda: None,
  *,
  after: float | None = None,
  number: int = signal.SIGKILL,
) -> Ended:
  """`prod_jax COMMAND WORDS` in a fork, to its end.

  Args:
    command: its name.
    words: its arguments.
    log: file that takes what it says.
    prepare: is called in the fork before the command.
    after: as of `Shot`; None sends no signal.
    number: of that signal.
  """
  child = start(command, words, log, prepare)
  shot = None if after is None else Shot(0, after, number)
  (ended,) = ends([child], [log], shot)
  return ended


def ends(
  children: Sequence[int],
  logs: Sequence[pathlib.Path],
  shot: Shot | None,
  seconds_alone: float = SECONDS,
) -> list[Ended]:
  """How some forks end, one of which may be sent a signal.

  Args:
    children: their process ids.
    logs: what they say.
    shot: that signal.
    seconds_alone: that the others have when the first one has ended.
  """
  found: dict[int, Ended] = {}
  deadline, sent = time.monotonic() + SECONDS, False
  while len(found) < len(children):
    for i, (child, log) in enumerate(zip(children, logs, strict=True)):
      if i not in found and (ended := _ended(child, log)):
        found[i] = ended
        deadline = min(deadline, time.monotonic() + seconds_alone)
    if shot and not sent and shot.victim not in found:
      victim = children[shot.victim]
      if sent := _work_of(victim) > shot.after:
        os.kill(victim, shot.number)
    if time.monotonic() > deadline:
      for i in {*range(len(children))} - {*found}:
        os.kill(children[i], signal.SIGKILL)
        os.waitpid(children[i], 0)
        _end_workers(children[i])
        found[i] = Ended(None, logs[i].read_text(), 0.0)
    time.sleep(0.01)
  if shot and sent:
    found[shot.victim] = found[shot.victim]._replace(sent=True)
  return [found[i] for i in range(len(children))]


def _ended(child: int, log: pathlib.Path) -> Ended | None:
  """How a fork has ended, None while it is at work."""
  found, status, used = os.wait4(child, os.WNOHANG)
  if not found:
    return None
  _end_workers(child)
  code = os.waitstatus_to_exitcode(status)
  return Ended(code, log.read_text(), used.ru_utime + used.ru_stime)


def _end_workers(child: int) -> None:
  """Ends processes of a fork that it has left, which would go on to write."""
  with contextlib.suppress(ProcessLookupError):
    os.killpg(child, signal.SIGKILL)


def _work_of(process: int) -> float:
  """Seconds of processors that a process has taken, with all its threads."""
  stat = pathlib.Path(f"/proc/{process}/stat").read_text()
  fields = stat.rpartition(")")[2].split()
  return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def start(
  command: str,
  words: Sequence[str],
  log: pathlib.Path,
  prepare: Callable[[], None] = lambda: None,
) -> int:
  """Begins such a fork; returns its process id."""
  sys.stdout.flush()
  sys.stderr.flush()
  child = os.fork()
  if not child:
    _become(command, words, log, prepare)
  return child


def _become(
  command: str,
  words: Sequence[str],
  log: pathlib.Path,
  prepare: Callable[[], None],
) -> None:
  """This fork is the command from here to its end."""
  code = 1
  try:
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    null = os.open(os.devnull, os.O_RDWR)
    for number, to in ((null, 0), (null, 1), (file, 2)):
      os.dup2(number, to)
    sys.argv = [command, *words]
    # Nobody pulls the plug on a fork, and a flush of the disk takes 15 ms.
    os.fsync = lambda number: None
    prepare()
    try:
      arguments.start(f"prod_jax.cli.{command}", list(words))
    finally:
      if jax.distributed.is_initialized():  # as at Python's usual end
        jax.distributed.shutdown()
    code = 0
  except SystemExit as ended:
    code = ended.code if isinstance(ended.code, int) else 1
  except BaseException:
    traceback.print_exc()
  finally:
    sys.stderr.flush()
    os._exit(code)
