"""The command line, as all commands share it.

A command is a module of this room. Its docstring is its `--help`: what it does,
and an example. `build` adds flags to a parser, and `run` does the work with
what was parsed. Only `run` imports what takes long, so that help and completion
are there at once.

`--config=FILE` names a config, and each `--config.section.key=value` overrides
one of its keys. What is wrong with the line, the config or the data is told in
one line on standard error, with exit code 2. With `--json` the result is JSON,
and nothing else goes to standard output.
"""

import argparse
import codecs
import contextlib
import difflib
import faulthandler
import importlib
import io
import json
import logging as stdlib_logging
import math
import os
import pathlib
import re
import select
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from absl import logging

from prod_jax.config import Config
from prod_jax.strict import OBEYED, Refused, printable, without_passwords

INTERRUPTED, UNREAD = 130, 141  # exit codes: Ctrl-C; nobody reads the output

_OVERRIDE = "--config."
# What a shell completes for a metavar.
_COMPLETED = {
  "FILE": "file",
  "TEXTS": "file",
  "DIR": "directory",
  "FOLDER": "directory",
  "WORKDIR": "directory",
  "WORKDIR…": "directory",
}


class Parser(argparse.ArgumentParser):
  """A command's parser, with the arguments that several commands take."""

  def __init__(self, prog: str, **settings: Any):
    super().__init__(
      prog, formatter_class=_Formatter, allow_abbrev=False, **settings
    )
    self._takes_overrides = False

  def add_argument(self, *names: str, **settings: Any) -> argparse.Action:
    """As ever; files and folders are completed, which their metavar says."""
    action = super().add_argument(*names, **settings)
    if completed := _COMPLETED.get(settings.get("metavar", "")):
      action.complete = completed  # type: ignore[attr-defined]  # shtab's
    return action

  def add_config(self) -> None:
    """Adds --config and what overrides its keys."""
    self.add_argument(
      "--config",
      metavar="FILE",
      required=True,
      help="Config file. Behind a colon: a variant and key=value overrides, "
      "separated by commas.",
    )
    self.add_overrides("of the config")

  def add_overrides(self, of: str) -> None:
    """Adds --config.section.key=value, as `overrides`.

    Args:
      of: what the keys are of, for --help.
    """
    self._takes_overrides = True
    self.add_argument(
      "--config.section.key",
      metavar="VALUE",
      action="append",
      dest="overrides",
      help=f"Overrides a key {of}; for as many keys as you like.",
    )

  def add_workdir(self, *, written: bool = False) -> None:
    """Adds --workdir of a run.

    Args:
      written: the command is the one that makes it.
    """
    self.add_argument(
      "--workdir",
      metavar="DIR",
      type=place,
      required=True,
      help="Folder for all artefacts, on a disk or in a bucket (gs://…); a "
      "second run continues there. All processes of a run need to see the same."
      if written
      else "Working folder that a run has left its artefacts in.",
    )

  def add_switch(self, name: str, help: str, *, default: bool = False) -> None:
    """Adds --NAME and --noNAME; the help shows the one that changes a thing."""
    for prefix, value in (("", True), ("no", False)):
      self.add_argument(
        f"--{prefix}{name}",
        dest=name,
        action="store_const",
        const=value,
        default=default,
        help=argparse.SUPPRESS if value == default else help,
      )

  def add_json(self, what: str) -> None:
    """Adds --json.

    Args:
      what: is printed.
    """
    self.add_switch("json", f"Print {what} as JSON, and nothing else.")

  def parse(self, line: Sequence[str]) -> argparse.Namespace:
    """What a command line says; ends the process where that is nonsense."""
    overrides = [word for word in line if word.startswith(_OVERRIDE)]
    rest = [word for word in line if not word.startswith(_OVERRIDE)]
    if overrides and not self._takes_overrides:
      self.error(f"{overrides[0]}: there is no config to override here")
    self._check_flags(rest)
    args, others = self.parse_known_intermixed_args(rest)
    if others:
      self.error(f"unknown arguments: {' '.join(others)}")
    args.overrides = [word.removeprefix(_OVERRIDE) for word in overrides]
    return args

  def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
    """Ends the process, with its output out."""
    sys.stdout.flush()
    super().exit(status, message)

  def error(self, message: str) -> NoReturn:
    """Ends the process for what its line says."""
    said = message.removeprefix("argument ")
    required = re.fullmatch("the following arguments are required: (.*)", said)
    if required:
      missing = required[1].split(", ")
      said = f"{', '.join(missing)} {'are' if missing[1:] else 'is'} missing"
    sys.stderr.write(f"{said}; --help shows the flags\n")
    sys.exit(2)

  def format_help(self) -> str:
    needed = [
      _shown(action)
      for action in self._actions
      if action.required or not action.option_strings
    ]
    self.usage = " ".join([self.prog, *needed, "[flags]"])
    return super().format_help()

  def _check_flags(self, line: Sequence[str]) -> None:
    """Names an unknown flag, and not first what is missing for that reason."""
    known = [name for name in self._option_string_actions if name[1:2] == "-"]
    for word in line:
      name = word.partition("=")[0]
      if name == "--":
        return
      if name.startswith("--") and name not in known:
        near = difflib.get_close_matches(name, known, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        self.error(f"there is no flag {name}{meant}")


class _Formatter(argparse.RawDescriptionHelpFormatter):
  """A docstring as it is, and flags as they are written."""

  def __init__(self, prog: str):
    super().__init__(prog, max_help_position=24, width=80)

  def _format_action_invocation(self, action: argparse.Action) -> str:
    return ", ".join([*action.option_strings[1:], _shown(action)])


def _shown(action: argparse.Action) -> str:
  """An argument as a line has it."""
  metavar = str(action.metavar or action.dest.upper())
  if action.choices and not action.metavar:
    metavar = "|".join(map(str, action.choices))
  if not action.option_strings:
    return metavar
  name = action.option_strings[0]
  return name if action.nargs == 0 else f"{name}={metavar}"


def names(text: str) -> list[str]:
  """The names of a flag's value, which commas separate."""
  return [name.strip() for name in text.split(",") if name.strip()]


def at_least(lowest: int) -> Callable[[str], int]:
  """Reads a number that is not lower."""

  def number(text: str) -> int:
    if (value := int(text)) < lowest:
      raise argparse.ArgumentTypeError(f"{value} is below {lowest}")
    return value

  return number


def place(text: str) -> str:
  """Reads a path; without one it would be the folder that one is in."""
  if not text:
    raise argparse.ArgumentTypeError("it is empty; name a place")
  return text


def share(text: str) -> float:
  """Reads a number within 0 and 1."""
  if not 0 <= (value := float(text)) <= 1:
    raise argparse.ArgumentTypeError(f"{value} is not within 0 and 1")
  return value


def config_of(args: argparse.Namespace) -> Config:
  """The config that a command line describes."""
  from prod_jax import config_file

  return config_file.load(args.config, args.overrides)


def parser_of(command: types.ModuleType) -> Parser:
  """The parser of a command, whose help is its docstring."""
  name = pathlib.Path(command.__file__ or "").stem
  parser = Parser(f"prod_jax {name}", description=said_of(command))
  command.build(parser)
  return parser


def said_of(command: types.ModuleType) -> str:
  """A command's docstring."""
  return (command.__doc__ or "").strip()


def say(*lines: str) -> None:
  """Prints lines, and nothing that a terminal would obey."""
  for line in lines:
    sys.stdout.write(f"{printable(line)}\n")


def say_json(value: Any, indent: int | None = 1) -> None:
  """Prints a result for a machine, in any locale.

  What a terminal would obey is written out, and what is no number is null:
  JSON has no other word for it.
  """
  encoding = codecs.lookup(sys.stdout.encoding or "ascii").name
  text = json.dumps(
    _finite(value),
    indent=indent,
    ensure_ascii=encoding != "utf-8",
    allow_nan=False,
  )
  text = OBEYED.sub(
    lambda c: c[0] if c[0] == "\n" else json.dumps(c[0])[1:-1], text
  )
  sys.stdout.write(f"{text}\n")
  sys.stdout.flush()


def _finite(value: Any) -> Any:
  if isinstance(value, dict):
    return {key: _finite(of) for key, of in value.items()}
  if isinstance(value, list | tuple):
    return [*map(_finite, value)]
  odd = isinstance(value, float) and not math.isfinite(value)
  return None if odd else value


def start(name: str, line: Sequence[str] | None = None) -> None:
  """Runs a command.

  Args:
    name: of its module; of the one that Python was started with `__main__`.
    line: its arguments; this process's where none are given.
  """
  _set_up_tracebacks()
  command = importlib.import_module(name)
  with ending():
    args = parser_of(command).parse(sys.argv[1:] if line is None else line)
    _set_up_logging()
    faulthandler.enable()
    command.run(args)


@contextlib.contextmanager
def ending() -> Iterator[None]:
  """Ends the process with the code and the line of what has gone wrong."""
  if isinstance(sys.stdout, io.TextIOWrapper):
    # A locale may lack a letter, and a name of a file may be no text.
    sys.stdout.reconfigure(errors="backslashreplace")
  try:
    yield
    sys.stdout.flush()
  except Refused as error:
    logging.error("%s", error)
    sys.exit(2)
  except (KeyboardInterrupt, BrokenPipeError) as error:
    code = code_of(error)
    if code == INTERRUPTED:
      logging.error("interrupted")
    elif code != UNREAD:
      raise
    sys.exit(code)
  except Exception as error:
    from prod_jax import storage

    if not (said := storage.trouble(error)):
      raise
    logging.error("%s", said)
    sys.exit(2)


def code_of(error: BaseException) -> int:
  """The exit code of an error that is nobody's fault, 1 of all others.

  Where nobody reads standard output any more, nothing is written there again.
  """
  if isinstance(error, KeyboardInterrupt):
    return INTERRUPTED
  if not (isinstance(error, BrokenPipeError) and _unread(1)):
    return 1
  os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
  return UNREAD


def _unread(number: int) -> bool:
  """Whether a file is a pipe that nobody reads any more."""
  poll = select.poll()
  poll.register(number, 0)
  return any(event & select.POLLERR for _, event in poll.poll(0))


class LogFormat(stdlib_logging.Formatter):
  """A line with the time, and with no password; the same of its traceback."""

  def __init__(self) -> None:
    super().__init__("%(asctime)s %(message)s", "%H:%M:%S")

  def format(self, record: stdlib_logging.LogRecord) -> str:
    return without_passwords(super().format(record))

  def formatException(self, ei: Any) -> str:
    """A traceback; of what a disk refuses a line, which says what to do."""
    from prod_jax import storage

    return storage.trouble(ei[1]) or super().formatException(ei)


def _set_up_tracebacks() -> None:
  """Shows no password in the traceback of an error that nobody catches."""

  def write(error: BaseException, head: str = "") -> None:
    lines = [head, *traceback.format_exception(error)]
    sys.stderr.write(without_passwords("".join(lines)))

  def write_of_thread(of: threading.ExceptHookArgs) -> None:
    if of.exc_value is not None and of.exc_type is not SystemExit:
      name = of.thread.name if of.thread else "a thread"
      write(of.exc_value, f"Exception in thread {name}:\n")

  sys.excepthook = lambda kind, error, where: write(error)
  threading.excepthook = write_of_thread


def _set_up_logging() -> None:
  """Our own lines with the time; of the libraries' only the warnings.

  Orbax and TFDS narrate through the same logger.
  """
  from prod_jax import progress

  logging.set_verbosity(logging.INFO)
  ours = str(pathlib.Path(__file__).parents[1])
  handler = progress.Lines()
  handler.setFormatter(LogFormat())
  handler.addFilter(
    lambda r: r.levelno >= stdlib_logging.WARNING or r.pathname.startswith(ours)
  )
  # In the place of any that an import has left.
  stdlib_logging.basicConfig(handlers=[handler], force=True)
