"""The console script: prod_jax COMMAND …

`prod_jax export …` is `python -m prod_jax.cli.export …`, for each command of
this room, and `prod_jax --config=…` is `prod_jax run --config=…`.
"""

import importlib.metadata
import sys

from prod_jax.cli import arguments

# In the order in which one needs them.
COMMANDS = (
  "run",
  "status",
  "replay",
  "prepare",
  "plan",
  "report",
  "search",
  "evaluate",
  "export",
  "embed",
  "lists",
  "convert",
  "mpnet",
  "completion",
)
_HELP = """\
usage: prod_jax COMMAND [flags]

Distils a large ranker into a small dense retriever, step by step.

  prod_jax run --config=configs/quickstart.py --workdir=runs/quickstart

commands; without one it is run:
{commands}

`prod_jax COMMAND --help` has the flags and an example; `prod_jax --version` is
what is installed.

exit codes:
  0    done
  1    failed, with a traceback, or for a number that is none: see replay
  2    the line, the config or the data is wrong, or a disk refuses to write:
       one line says what
  130  interrupted by Ctrl-C; a run goes on when it is started again
  141  nobody reads the output any more, as behind `| head`
  75   run: stopped by SIGTERM, all is saved; start it again
  76   run: another of its processes is lost; start it again
  134  run: its process 0 is lost, by JAX's own watch; start it again
"""


def entry() -> None:
  """Runs the command that the first word names."""
  word, *line = sys.argv[1:] or [""]
  if word in COMMANDS:
    arguments.start(module_of(word), line)
  elif word in ("-h", "--help"):
    with arguments.ending():
      _say_help()
  elif word == "--version":
    with arguments.ending():
      version = importlib.metadata.version("prod_jax")
      sys.stdout.write(f"prod_jax {version}\n")
  elif word.startswith("-"):
    arguments.start(module_of("run"), sys.argv[1:])
  else:
    what = f"there is no command {word!r}" if word else "name a command"
    sys.stderr.write(f"{what}; known: {', '.join(COMMANDS)}\n")
    sys.exit(2)


def module_of(command: str) -> str:
  """The module of a command."""
  return f"prod_jax.cli.{command}"


def _say_help() -> None:
  lines = []
  for name in COMMANDS:
    said = arguments.said_of(importlib.import_module(module_of(name)))
    lines.append(f"  {name:<12}{said.splitlines()[0]}")
  sys.stdout.write(_HELP.format(commands="\n".join(lines)))
