"""What a shell completes of these commands, as a script for it.

  prod_jax completion bash > ~/.local/share/bash-completion/completions/prod_jax

For zsh, into a file `_prod_jax` in a folder of its $fpath.
"""

import argparse
import importlib
import sys

from prod_jax.cli import arguments


def build(parser: arguments.Parser) -> None:
  parser.add_argument(
    "shell", metavar="bash|zsh", choices=["bash", "zsh"], help="Your shell."
  )


def run(args: argparse.Namespace) -> None:
  import shtab

  from prod_jax.cli import command

  whole = arguments.Parser("prod_jax")
  commands = whole.add_subparsers()
  for name in command.COMMANDS:
    module = importlib.import_module(command.module_of(name))
    summary = arguments.said_of(module).splitlines()[0]
    module.build(commands.add_parser(name, help=summary))
  sys.stdout.write(shtab.complete(whole, args.shell) + "\n")


if __name__ == "__main__":
  arguments.start(__name__)
