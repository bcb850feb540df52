"""docs/ADD_A_METHOD.md does what it says."""

import json
import shlex

import numpy as np
import pytest

from prod_jax import packaged
from tests import commands, pages
from tests.commands import CACHE, REPO, environment
from tests.main_test import SCORED

PAGE = "ADD_A_METHOD.md"


def texts(language: str) -> list[str]:
  """The page's fenced blocks of a language."""
  return [block.text for block in pages.blocks(PAGE, language)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A folder with the method and the config of the page."""
  try:
    packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))
  folder = tmp_path_factory.mktemp("mine")
  method, config, _ = texts("python")
  (folder / "my_methods").mkdir()
  (folder / "my_methods" / "jeffreys.py").write_text(method)
  (folder / "my_config.py").write_text(config)
  (folder / "configs").symlink_to(REPO / "configs")
  return folder


def run(folder, line, *more):
  """Runs a command of the page in the folder."""
  words = shlex.split(line.replace("\\\n", " "))
  path = words.pop(0).removeprefix("PYTHONPATH=")
  assert words.pop(0) == "python"
  assert words.pop(0) == "-m"
  paths = [*(str(folder / entry) for entry in path.split(":")), str(REPO)]
  return commands.run(
    *words,
    f"--config.data.data_dir={CACHE / 'data'}",
    *more,
    cwd=folder,
    env=environment(fast=True, PYTHONPATH=":".join(paths)),
  )


def test_the_example_trains_and_is_measured(folder):
  (line,) = (b for b in texts("") if "prod_jax.main" in b)
  *less, stages = SCORED
  own = "jeffreys,encode_jeffreys,evaluate_jeffreys"
  done = run(folder, line, *less, f"{stages},{own}")
  assert done.returncode == 0, done.stderr[-4000:]
  stage = next((folder / "runs" / "jeffreys").glob("*-jeffreys"))
  rows = [
    json.loads(row)
    for row in (stage / "metrics.jsonl").read_text().splitlines()
  ]
  for row in rows:
    np.testing.assert_allclose(
      row["loss"], 0.1 * row["ce"] + 0.9 * row["kd"], rtol=1e-5
    )
  results = json.loads(
    (folder / "runs" / "jeffreys" / "results.json").read_text()
  )
  assert "evaluate_jeffreys" in {row["stage"] for row in results}


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("settings.hrd=0.2", "did you mean config.stages.jeffreys.settings.hard"),
    ("scores=", "method jeffreys: it needs a teacher"),
    ("method=my_methods.jeffries", "no module my_methods.jeffries"),
    ("method=scoring", "is no method"),
    ("model=ce", "trains a model of kind dual or late"),
    ("anchor=start", "has no use for the stage's anchor"),
  ],
)
def test_what_the_page_promises_is_refused_is_refused(
  folder, argument, message
):
  (line,) = (b for b in texts("") if "prod_jax.main" in b)
  more = [f"--config.stages.jeffreys.{argument}", "--dry_run"]
  if argument.startswith("model"):
    more.insert(1, "--config.stages.jeffreys.init=")
  done = run(folder, line, *more)
  assert done.returncode == 2, done.stderr[-4000:]
  assert message in done.stderr
