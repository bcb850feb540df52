"""prod_jax [COMMAND] …: the console script.

`prod_jax --config=…` is `python -m prod_jax.main`, and `prod_jax export …` is
`python -m prod_jax.cli.export`, for each command of this room.
"""

import pathlib
import runpy
import sys

_OWN = ("__init__", "arguments", "command")
COMMANDS = sorted(
  path.stem
  for path in pathlib.Path(__file__).parent.glob("*.py")
  if path.stem not in _OWN
)


def entry() -> None:
  """Runs the command that the first word names, or else the run itself."""
  word = sys.argv[1] if len(sys.argv) > 1 else ""
  if not word or word.startswith("-"):
    module = "prod_jax.main"
  elif word in COMMANDS:
    module = f"prod_jax.cli.{word}"
    del sys.argv[1]
  else:
    sys.stderr.write(
      f"there is no command {word!r}; known: {', '.join(COMMANDS)}, or none "
      "for a run\n"
    )
    sys.exit(2)
  runpy.run_module(module, run_name="__main__", alter_sys=True)
