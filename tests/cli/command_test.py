"""The console script: which command a line is for; what a shell completes."""

import subprocess

import pytest

from prod_jax.cli import arguments, command, completion


@pytest.mark.parametrize(
  ("line", "module", "rest"),
  [
    (["export", "--to=x"], "prod_jax.cli.export", ["--to=x"]),
    (["--config=x"], "prod_jax.cli.run", ["--config=x"]),
    (["run", "--help"], "prod_jax.cli.run", ["--help"]),
  ],
)
def test_the_first_word_names_the_command(monkeypatch, line, module, rest):
  started = []
  monkeypatch.setattr(
    command.arguments, "start", lambda *what: started.append(what)
  )
  monkeypatch.setattr(command.sys, "argv", ["prod_jax", *line])
  command.entry()
  assert started == [(module, rest)]


@pytest.mark.parametrize(
  ("line", "message"),
  [
    (["exprot"], "there is no command 'exprot'; known: run, "),
    ([], "name a command; known: run, "),
  ],
)
def test_an_unknown_command_is_a_line(monkeypatch, capsys, line, message):
  monkeypatch.setattr(command.sys, "argv", ["prod_jax", *line])
  with pytest.raises(SystemExit) as ended:
    command.entry()
  assert ended.value.code == 2
  (said,) = capsys.readouterr().err.splitlines()
  assert said.startswith(message)


def test_the_version_is_that_of_setup(monkeypatch, capsys):
  monkeypatch.setattr(command.importlib.metadata, "version", "{} 1.2".format)
  monkeypatch.setattr(command.sys, "argv", ["prod_jax", "--version"])
  command.entry()
  assert capsys.readouterr().out == "prod_jax prod_jax 1.2\n"


@pytest.fixture
def script(capsys):
  """What a shell is to source."""
  pytest.importorskip("shtab")

  def of(shell: str) -> str:
    completion.run(arguments.parser_of(completion).parse([shell]))
    return capsys.readouterr().out

  return of


@pytest.mark.parametrize(
  ("line", "found"),
  [
    ("prod_jax e", "evaluate export embed"),
    ("prod_jax export --dt", "--dtype"),
    ("prod_jax export --dtype fl", "float32 float16"),
    ("prod_jax run --config config", "config.py"),
    ("prod_jax run --workdir fold", "folder"),
    ("prod_jax run --config = config", "config.py"),
    ("prod_jax run --config =", "config.py folder"),
    ("prod_jax run --config = config.py --work", "--workdir"),
    ("prod_jax run --workdir = fold", "folder"),
    ("prod_jax export --dtype = fl", "float32 float16"),
    ("prod_jax run --nodry", ""),
  ],
)
def test_bash_completes(script, tmp_path, line, found):
  """Words are as bash has them: an equals sign is one of its own."""
  (tmp_path / "config.py").touch()
  (tmp_path / "folder").mkdir()
  words = " ".join(map(repr, line.split()))
  asked = (
    f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n"
    '_prod_jax prod_jax "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"\n'
    'echo "${COMPREPLY[*]}"\n'
  )
  done = subprocess.run(
    ["bash", "--norc"],
    input=script("bash") + asked,
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  assert done.stdout.split() == found.split(), done.stderr


def test_fish_has_a_script_too(script):
  text = script("fish")
  for name in command.COMMANDS:
    assert f" -a {name} -d " in text


def test_zsh_has_a_script_too(script):
  text = script("zsh")
  assert text.startswith("#compdef prod_jax")
  for name in command.COMMANDS:
    assert f"    {name}:'" in text
