"""A forked command is what `python -m` would be."""

import subprocess
import sys

import pytest

from tests import commands

MODULE = """
import os, pathlib, sys
print(__name__, sys.argv, sys.path[0], pathlib.Path.cwd(), sys.stdin.read())
print(pathlib.Path(__file__).name, os.environ.get("MINE"), file=sys.stderr)
{end}
"""


@pytest.mark.parametrize(
  ("end", "code"),
  [
    ("", 0),
    ("sys.exit(3)", 3),
    ("os.kill(os.getpid(), 9)", -9),
    ("import atexit; atexit.register(print, 'at the end')", 0),
  ],
)
def test_it_says_and_ends_as_a_process_of_its_own(tmp_path, end, code):
  (tmp_path / "module.py").write_text(MODULE.format(end=end))
  words, env = ["module", "--a=b c"], commands.environment(MINE="here")
  forked = commands.run(*words, cwd=tmp_path, env=env)
  fresh = subprocess.run(
    [sys.executable, "-m", *words],
    cwd=tmp_path,
    env=env,
    stdin=subprocess.DEVNULL,
    capture_output=True,
    text=True,
  )
  assert forked.returncode == fresh.returncode == code
  assert (forked.stdout, forked.stderr) == (fresh.stdout, fresh.stderr)
  assert code < 0 or ("here" in forked.stderr and "b c" in forked.stdout)


def test_each_one_begins_with_the_libraries_and_nothing_else(tmp_path):
  (tmp_path / "module.py").write_text(
    "import sys\n"
    "print('module' in sys.modules, 'prod_jax' in sys.modules)\n"
    "sys.modules['module'] = sys\n"
    "from jax._src import xla_bridge\n"
    "print(xla_bridge.backends_are_initialized())\n"
  )
  for _ in range(2):
    done = commands.run("module", cwd=tmp_path)
    assert done.stdout.split() == ["False"] * 3, done.stderr


@pytest.mark.parametrize("fast", [True, False])
def test_fast_is_how_xla_compiles(tmp_path, fast):
  (tmp_path / "module.py").write_text(
    "import os, jax\n"
    "print(jax.config.read('jax_disable_most_optimizations'))\n"
    "print('XLA_FLAGS' in os.environ)\n"
  )
  env = commands.environment(fast)
  done = commands.run("module", cwd=tmp_path, env=env)
  said = [str(fast), str("XLA_FLAGS" in commands.FAST and fast)]
  assert done.stdout.split() == said, done.stderr
