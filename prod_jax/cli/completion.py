"""What a shell completes of these commands, as a script for it.

  prod_jax completion bash > ~/.local/share/bash-completion/completions/prod_jax

For zsh, into a file `_prod_jax` in a folder of its $fpath; for fish, into one
of the command's name with .fish behind it in ~/.config/fish/completions.
"""

import argparse
import importlib
import sys

from prod_jax.cli import arguments

# Of `--flag=value` bash makes three words, and shtab knows two.
_EQUALS = """
_prod_jax() {
  local words=() at=0 i
  for i in "${!COMP_WORDS[@]}"; do
    if [[ ${COMP_WORDS[i]} != = ]]; then
      words+=("${COMP_WORDS[i]}")
    elif ((i == COMP_CWORD)); then
      words+=("")
    fi
    ((i == COMP_CWORD)) && at=$((${#words[@]} - 1))
  done
  local COMP_WORDS=("${words[@]}") COMP_CWORD=$at
  _shtab_prod_jax "$@"
}
complete -o bashdefault -F _prod_jax prod_jax
"""


def build(parser: arguments.Parser) -> None:
  parser.add_argument(
    "shell",
    metavar="bash|zsh|fish",
    choices=["bash", "zsh", "fish"],
    help="Your shell.",
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
  if args.shell == "bash":
    sys.stdout.write(_EQUALS)


if __name__ == "__main__":
  arguments.start(__name__)
