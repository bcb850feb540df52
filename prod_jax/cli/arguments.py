"""The command line of every command that takes a config.

`--config=FILE` names it, and each `--config.section.key=value` overrides one
of its keys. What is wrong with the line, the config or the data is told in one
line on standard error, with exit code 2.
"""

import functools
import logging as stdlib_logging
import pathlib
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from prod_jax import config_file, strict
from prod_jax.config import Config
from prod_jax.sets.records import DataError

flags.disclaim_key_flags()  # --help shows them as those of the command
_OVERRIDE = "--config."


def config_flag() -> flags.FlagHolder[str]:
  """Defines --config for a command."""
  return flags.DEFINE_string(
    "config",
    None,
    "Config file. Behind a colon: a variant and key=value overrides, separated "
    "by commas. Each --config.section.key=value overrides one more key.",
    required=True,
  )


def workdir_flag() -> flags.FlagHolder[str]:
  """Defines --workdir for a command."""
  return flags.DEFINE_string(
    "workdir",
    None,
    "Folder for all artefacts, on a disk or in a bucket (gs://…); a second run "
    "continues there. All processes of a run need to see the same.",
    required=True,
  )


def overrides(argv: list[str]) -> list[str]:
  """The `section.key=value` of a command line."""
  return [
    a.removeprefix(_OVERRIDE) for a in argv[1:] if a.startswith(_OVERRIDE)
  ]


def start(command: Callable[[Config], None]) -> None:
  """Runs a command with the config that its command line describes."""
  _start(
    lambda argv: command(config_file.load(flags.FLAGS.config, overrides(argv)))
  )


def start_alone(command: Callable[..., None], *names: str) -> None:
  """Runs a command that takes no config.

  Args:
    command: takes as many strings as there are names.
    names: of what its line has besides flags, such as TEXTS. Of one that ends
      with … there may be several.
  """
  _start(lambda argv: command(*(argv[1:] if names else ())), *names)


def _start(command: Callable[[list[str]], None], *names: str) -> None:
  _set_up_logging()
  app.run(
    functools.partial(_run, command),
    flags_parser=functools.partial(_parse, names),
  )


def _run(command: Callable[[list[str]], None], argv: list[str]) -> None:
  try:
    command(argv)
  except (strict.ConfigError, DataError) as error:
    logging.error("%s", error)
    sys.exit(2)


def _parse(names: Sequence[str], argv: list[str]) -> list[str]:
  """absl's parser, with `--config.section.key=value` left for `_run`."""
  try:
    rest = flags.FLAGS([a for a in argv if not a.startswith(_OVERRIDE)])
  except flags.Error as error:
    _refuse(str(error))
  if len(rest) < 1 + len(names):
    _refuse(f"{' '.join(names)} is missing")
  several = any(name.endswith("…") for name in names)
  if (more := rest[1 + len(names) :]) and not several:
    _refuse(f"unknown arguments: {' '.join(more)}")
  return argv if not names else rest


def _refuse(what: str) -> None:
  """Ends the command for what its line says."""
  line = " ".join(what.split()).rstrip(".")
  sys.stderr.write(f"{line}; --help shows the flags\n")
  sys.exit(2)


def _set_up_logging() -> None:
  """Our own lines with the time; of the libraries' only the warnings.

  Orbax and TFDS narrate through the same logger.
  """
  logging.set_verbosity(logging.INFO)
  ours = str(pathlib.Path(__file__).parents[1])
  handler = logging.get_absl_handler()
  handler.setFormatter(
    stdlib_logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
  )
  handler.addFilter(
    lambda r: r.levelno >= stdlib_logging.WARNING or r.pathname.startswith(ours)
  )
