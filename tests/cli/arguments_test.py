"""Every command has its line in one form, and says what it takes."""

import argparse
import importlib
import json
import pathlib
import re
import shlex

import pytest

from prod_jax import strict
from prod_jax.cli import arguments, command
from tests.commands import REPO, run

# What a line needs besides a config.
TAKE_CONFIG = {
  "prod_jax.main": ["--workdir=nowhere", "--dry_run"],
  "prod_jax.cli.run": ["--workdir=nowhere", "--dry_run"],
  "prod_jax.cli.plan": ["--topology=v5e:2x4"],
  "prod_jax.cli.prepare": ["--workdir=nowhere"],
}
RUN = ["--config=c.py", "--workdir=w"]


def parser_of(name: str) -> arguments.Parser:
  return arguments.parser_of(importlib.import_module(command.module_of(name)))


def flags_of(name: str) -> list[argparse.Action]:
  return [a for a in parser_of(name)._actions if a.help != argparse.SUPPRESS]


@pytest.mark.parametrize("name", TAKE_CONFIG)
def test_an_error_is_a_line(name):
  config = "--config=configs/quickstart.py:runlocal"
  wrong = {
    "--config.models.student.widht=3": "did you mean config.models.student.wid",
    "--confg=x.py": "there is no flag --confg; did you mean --config?",
    "runlocal": "unknown arguments: runlocal",
  }
  for argument, message in wrong.items():
    done = run(name, config, *TAKE_CONFIG[name], argument)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert message in line
    assert done.stdout == ""


@pytest.mark.parametrize(
  ("name", "line", "message"),
  [
    ("run", ["--config=c.py"], "--workdir is missing; --help shows the flags"),
    ("run", ["--cofnig=c.py"], "no flag --cofnig; did you mean --config?"),
    ("run", [*RUN, "--processes=x"], "--processes: invalid int value: 'x'"),
    ("run", [*RUN, "--workdi=x"], "there is no flag --workdi; did you"),
    ("evaluate", ["bm25", "--depth=0"], "--depth: 0 is below 1"),
    ("evaluate", [], "SYSTEM… is missing"),
    ("export", ["--dtype=f"], "--dtype: invalid choice: 'f' (choose from"),
    ("export", ["--to=x"], "--workdir, --stage are missing"),
    ("export", ["--config.a=3"], "--config.a=3: there is no config to"),
  ],
)
def test_what_a_line_lacks_is_named(name, line, message, capsys):
  with pytest.raises(SystemExit) as ended:
    parser_of(name).parse(line)
  assert ended.value.code == 2
  (said,) = capsys.readouterr().err.splitlines()
  assert message in said


def test_json_is_what_a_dry_run_shows():
  args = parser_of("run").parse([*RUN, "--json"])
  with pytest.raises(strict.ConfigError, match="--json is of --dry_run"):
    importlib.import_module("prod_jax.cli.run").run(args)


def test_json_means_the_same_of_each_command():
  """But of those that leave nothing for a machine."""
  said = {
    name: flag.help
    for name in command.COMMANDS
    for flag in flags_of(name)
    if flag.dest == "json"
  }
  for_people = {"mpnet", "completion", "replay"}
  assert said.keys() == {*command.COMMANDS} - for_people
  for text in said.values():
    assert re.fullmatch("Print .+ as JSON, and nothing else.", text)


def test_converted_files_are_told_as_json(monkeypatch, capsys):
  from prod_jax.cli import convert
  from prod_jax.models import pickled

  paths = [pathlib.Path("old/a.bin")]
  monkeypatch.setattr(pickled, "convert", lambda *_: paths)
  convert.run(parser_of("convert").parse(["old", "--to=new", "--json"]))
  found = json.loads(capsys.readouterr().out)
  assert found == {"folder": "new", "files": ["old/a.bin"]}


EVIL = "\x1b]0;evil\x07\x1b[2J\x9b2J\u202e"


def test_a_line_has_nothing_that_a_terminal_would_obey(capsys):
  arguments.say(f"a{EVIL}\nb", "çé \u200d क")
  first, second = capsys.readouterr().out.splitlines()
  assert first == "a ]0;evil  [2J 2J  b" and second == "çé \u200d क"


def test_nor_has_json_and_its_numbers_are_some(capsys):
  inf = float("inf")
  value = {"a": [f"é{EVIL}", {"b": inf, "c": (-inf, float("nan"), 0.5)}]}
  arguments.say_json(value)
  said = capsys.readouterr().out
  assert not strict.OBEYED.search(said.replace("\n", ""))
  found = json.loads(said, parse_constant=pytest.fail)
  assert found == {"a": [f"é{EVIL}", {"b": None, "c": [None, None, 0.5]}]}


def test_words_and_flags_come_in_any_order():
  line = "a --depth 3 --compare b=c --config.data.path=p=q --nocompare"
  args = parser_of("evaluate").parse(line.split())
  assert args.systems == ["a", "b=c"] and args.overrides == ["data.path=p=q"]
  assert args.depth == 3 and args.compare is False
  args = parser_of("plan").parse(
    [
      "--config",
      "c.py",
      "--topology=v5e:2x4, v4:2x2",
      "--nolargest",
      "--stage=",
    ]
  )
  assert args.topology == ["v5e:2x4", "v4:2x2"] and args.stage == []
  assert (args.largest, args.json) == (False, False)


@pytest.mark.parametrize("name", command.COMMANDS)
def test_help_is_short_and_its_example_parses(name):
  parser = parser_of(name)
  lines = parser.format_help().splitlines()
  assert len(lines) <= 60 and max(map(len, lines)) <= 80
  assert lines[0].startswith(f"usage: prod_jax {name} ")
  summary = parser.description.splitlines()[0]
  assert summary.endswith(".") and len(summary) <= 66
  examples = [line for line in lines if line.startswith("  prod_jax ")]
  assert examples
  for example in examples:
    _, word, *rest = shlex.split(example.partition(" > ")[0])
    assert word == name
    parser.parse(rest)
  for flag in flags_of(name):
    assert flag.help[0].isupper() or flag.dest == "help"


@pytest.mark.parametrize("name", TAKE_CONFIG)
def test_a_config_is_taken_in_one_form(name):
  name = name.rpartition(".")[2].replace("main", "run")
  words = " ".join(parser_of(name).format_help().split())
  assert "--config=FILE Config file. Behind a colon" in words
  assert "--config.section.key=VALUE Overrides a key of the config" in words


def test_the_help_of_a_flag_stands_by_itself():
  said = {}
  for name in command.COMMANDS:
    for flag in flags_of(name):
      if not flag.option_strings or flag.dest == "help":
        continue
      where = f"{name}: --{flag.dest}: {flag.help}"
      assert flag.help.endswith(".") and len(flag.help.split()) > 3, where
      vague = {"same", "as of", "as taken"}
      assert not vague & {*flag.help.lower().split()}, where
      assert said.setdefault(flag.help, flag.dest) == flag.dest, where
  assert len(said) > 30


# An import of what takes long is an error.
QUICK = """
import runpy, sys
for name in [*sys.modules]:
  if name.partition('.')[0] in ('jax', 'numpy', 'ml_collections'):
    sys.modules[name] = None
"""


def test_what_a_command_takes_long_for_is_imported_where_it_runs(tmp_path):
  """Help and completion are there at once."""
  (tmp_path / "module.py").write_text(
    f"{QUICK}from prod_jax.cli import command\ncommand.entry()\n"
  )
  (tmp_path / "main.py").write_text(
    f"{QUICK}runpy.run_module('prod_jax.main', run_name='__main__')\n"
  )
  done = run("main", "--help", cwd=tmp_path)
  assert done.stdout.startswith("usage: prod_jax run --config"), done.stderr
  done = run("module", "--help", cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  listed = re.findall(r"^  ([a-z]+) {2,}\S", done.stdout, flags=re.M)
  assert listed == [*command.COMMANDS]
  for code in ("75", "76", "134"):
    assert re.search(rf"^  {code} +run: ", done.stdout, flags=re.M)


def test_each_command_is_named():
  folder = REPO / "prod_jax" / "cli"
  built = {
    p.stem for p in folder.glob("*.py") if "\ndef build(" in p.read_text()
  }
  assert built == {*command.COMMANDS}
