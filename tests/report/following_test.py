"""What comes next: commands that there are, with the folder in them."""

import importlib
import shlex

from prod_jax.cli import arguments, command
from prod_jax.report import following, record


def of(workdir):
  return dict(following.commands(record.load(workdir)))


def test_each_command_is_one_that_can_be_typed(workdir):
  found = of(workdir).values()
  for line in found:
    program, name, *words = shlex.split(line)
    assert program == "prod_jax"
    assert name in command.COMMANDS
    module = importlib.import_module(command.module_of(name))
    arguments.parser_of(module).parse(words)
  assert {line.split()[1] for line in found} == {
    "search",
    "export",
    "embed",
    "evaluate",
    "report",
  }
  for line in found:
    assert str(workdir) in line


def test_the_student_is_the_last_that_ran_or_was_chosen(workdir, refused):
  assert following.last_student(record.load(workdir)) == "accept_de"


def test_without_a_choice_it_is_a_train_stage(workdir):
  assert following.last_student(record.load(workdir)) == "student_de"


def test_a_folder_with_a_blank_is_quoted_and_curves_are_where_they_are(
  workdir,
):
  folder = workdir.rename(workdir.parent / "my run")
  assert "tensorboard" not in " ".join(of(folder).values())
  (folder / "trackers" / "tensorboard").mkdir(parents=True)
  lines = of(folder)
  assert f"prod_jax search '{folder}'" in lines.values()
  assert any(line.startswith("tensorboard") for line in lines.values())
