"""What a bad input is, how its command is run, and how that ended."""

import contextlib
import faulthandler
import importlib
import logging as stdlib_logging
import pathlib
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from unittest import mock

import jax
from absl import logging

from prod_jax.cli import arguments, command

REFUSED, SKIPPED = "refused", "skipped and counted"
OUTPUT = "output"  # where a row's command is to leave nothing

Line = Callable[[pathlib.Path], Sequence[str]]


class Row(NamedTuple):
  """A bad input.

  Attributes:
    input: what it is, in words.
    line: makes it in an empty folder; returns a command and its arguments.
    says: pieces of what has to be said of it; where it is, and what.
    outcome: REFUSED with exit code 2 and one line, or SKIPPED in a log line.
    long: a stage has to run before it can be found.
  """

  input: str
  line: Line
  says: Sequence[str]
  outcome: str = REFUSED
  long: bool = False


class Ended(NamedTuple):
  """How a command ended: its line, exit code, and what it wrote."""

  command: str
  line: Sequence[str]
  code: int
  stdout: str
  stderr: str

  @property
  def said(self) -> str:
    """The last line of standard error, without the time."""
    last = (self.stderr.rstrip("\n").splitlines() or [""])[-1]
    return re.sub(r"^\d\d:\d\d:\d\d ", "", last)


def run(words: Sequence[str]) -> Ended:
  """Runs a command in this process, as a process of its own would."""
  name, *line = words
  code = 0
  with (
    _file() as stdout,
    _file() as stderr,
  ):
    with (
      _as_it_was(),
      contextlib.redirect_stdout(stdout),
      contextlib.redirect_stderr(stderr),
      mock.patch.object(faulthandler, "enable"),
    ):
      try:
        arguments.start(command.module_of(name), line)
      except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
      except Exception:  # of which Python would print the traceback
        code = 1
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    said = []
    for file in (stdout, stderr):
      file.seek(0)
      said.append(file.read())
  return Ended(name, line, code, *said)


def _file() -> Any:
  """What standard error does with half of a surrogate pair."""
  return tempfile.TemporaryFile(
    "w+", encoding="utf-8", errors="backslashreplace"
  )


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
  """Takes back what a command sets for its whole process."""
  root = stdlib_logging.getLogger()
  handlers, level = [*root.handlers], root.level
  ours = logging.get_absl_logger()
  verbosity, own_level = logging.get_verbosity(), ours.level
  stops = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
  hooks = sys.excepthook, threading.excepthook
  keys = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
  )
  settings = {key: getattr(jax.config, key) for key in keys}
  try:
    yield
  finally:
    for key, value in settings.items():
      jax.config.update(key, value)
    for number, stop in stops.items():
      signal.signal(number, stop)
    sys.excepthook, threading.excepthook = hooks
    logging.set_verbosity(verbosity)
    ours.setLevel(own_level)  # what no verbosity had set before
    root.handlers[:] = handlers
    root.setLevel(level)


def wrong(row: Row, folder: pathlib.Path, ended: Ended) -> list[str]:
  """What of the end of a row's command is not as it should be."""
  found = []
  wanted = 2 if row.outcome == REFUSED else 0
  if ended.code != wanted:
    found.append(f"exit code {ended.code}, not {wanted}")
  if "Traceback" in ended.stderr:
    found.append("a traceback")
  said = ended.said if row.outcome == REFUSED else ended.stderr
  found += [f"nothing of {piece!r}" for piece in row.says if piece not in said]
  found += _not_taken(ended)
  if row.outcome == REFUSED:
    found += [f"{left} is left behind" for left in _left(folder / OUTPUT)]
  return found


def _not_taken(ended: Ended) -> list[str]:
  """Settings that the last line advises, and that the command has not got.

  A flag counts wherever it stands, but for what the user has written; one
  behind `prod_jax COMMAND` is of that command.
  """
  given = {word.partition("=")[0] for word in ended.line}
  advised = []
  for clause in re.split(r"(?=prod_jax \w)|[;,](?= )", ended.said):
    named = re.match(r"prod_jax (\w+)", clause)
    name = named[1] if named else ended.command
    flags = re.findall(r"""(?<![^\s"'(`])--[a-z](?:[\w.-]*\w)?""", clause)
    advised += [(name, flag) for flag in flags if flag not in given]
  _, behind, remedy = ended.said.rpartition("; ")
  if behind and "config.models." in remedy:
    advised.append((ended.command, "--config.models"))
  found = [
    f"{ended.command} is told of {flag!r}, which {name} has not got"
    for name, flag in advised
    if name in command.COMMANDS and not _takes(name, flag)
  ]
  skips = ("--on_error", "--config.data.on_error")
  if "on_error" in remedy and not any(_takes(ended.command, f) for f in skips):
    found.append(f"{ended.command} is told of 'on_error'")
  return found


def _takes(name: str, flag: str) -> bool:
  """Whether a command has a flag; without a config it overrides data alone."""
  parser = arguments.parser_of(importlib.import_module(command.module_of(name)))
  flags = parser._option_string_actions
  if not flag.startswith("--config."):
    return flag in flags
  taken = "--config" in flags or flag.startswith("--config.data")
  return parser._takes_overrides and taken


def _left(output: pathlib.Path) -> list[str]:
  """What lies in the output place, but for prepared data and who ran there.

  A stage that has not ended says so itself, and leaves nothing else.
  """
  names = {
    "RUNNING.json",
    "PROGRESS.json",
    "STARTED.json",
    "metrics.jsonl",
    "curriculum.json",
    "results.json",
  }
  return [
    name
    for path in output.rglob("*")
    if path.is_file() and path.name not in names
    if "checkpoints" not in path.parts
    if "incomplete" in (name := str(path.relative_to(output)))
    or not name.startswith(("data/", "tokens/"))
  ]
