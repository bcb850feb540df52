"""Every command that takes a config takes it in one form."""

import ast

import pytest

from tests.commands import REPO, run

COMMANDS = {
  "prod_jax.main": ["--workdir=nowhere", "--dry_run"],
  "prod_jax.cli.plan": ["--topology=v5e:2x4"],
  "prod_jax.cli.prepare": ["--workdir=nowhere"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_an_error_is_a_line(name):
  config = "--config=configs/quickstart.py:runlocal"
  wrong = {
    "--config.models.student.widht=3": "did you mean config.models.student.wid",
    "--confg=x.py": "Did you mean: config",
    "runlocal": "unknown arguments: runlocal",
  }
  for argument, message in wrong.items():
    done = run(name, config, *COMMANDS[name], argument)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert message in line
    assert done.stdout == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_the_flags_of_the_command(name):
  done = run(name, "--help")
  words = " ".join(done.stdout.split())
  for argument in ["--config", *COMMANDS[name]]:
    flag = argument.partition("=")[0].removeprefix("--")
    assert f"--{flag}: " in words or f"--[no]{flag}: " in words
  assert "--config.section.key=value overrides one more key" in words


def helps() -> list[tuple[str, str, str]]:
  """File, flag and help of what is defined with absl in the package."""
  found = []
  for path in sorted((REPO / "prod_jax").rglob("*.py")):
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Call) and ".DEFINE_" in ast.unparse(node.func):
        name, text = (ast.literal_eval(node.args[i]) for i in (0, -1))
        found.append((path.name, name, text))
  return found


def test_the_help_of_a_flag_stands_by_itself():
  assert len(helps()) > 15
  said = {}
  for file, name, text in helps():
    where = f"{file}: --{name}: {text}"
    assert text[0].isupper() and text.endswith("."), where
    assert len(text.split()) > 3, where
    assert not {"same", "as of", "as taken"} & {*text.lower().split()}, where
    assert said.setdefault(text, where) == where
