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


@pytest.fixture(scope="module")
def line():
  """The page's command."""
  (line,) = (b for b in texts("") if "prod_jax.main" in b)
  return shlex.split(line.replace("\\\n", " "))


@pytest.fixture(scope="module")
def env(folder, line):
  """Where the command finds the method and the configs."""
  path = line[0].removeprefix("PYTHONPATH=")
  paths = [*(str(folder / entry) for entry in path.split(":")), str(REPO)]
  return environment(fast=True, PYTHONPATH=":".join(paths))


@pytest.mark.long
def test_the_example_trains_and_is_measured(folder, line, env):
  python, dash_m, *words = line[1:]
  assert (python, dash_m) == ("python", "-m")
  *less, stages = SCORED
  own = f"{stages},jeffreys,encode_jeffreys,evaluate_jeffreys"
  data = f"--config.data.data_dir={CACHE / 'data'}"
  done = commands.run(*words, data, *less, own, cwd=folder, env=env)
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


REFUSED = {
  "settings.hrd=0.2": "did you mean config.stages.jeffreys.settings.hard",
  "scores=": "method jeffreys: it needs a teacher",
  "method=my_methods.jeffries": "no module my_methods.jeffries",
  "method=scoring": "is no method",
  "init= stages.jeffreys.model=ce": "trains a model of kind dual or late",
  "anchor=start": "has no use for the stage's anchor",
}


def test_what_the_page_promises_is_refused_is_refused(folder, env):
  overrides = [f"stages.jeffreys.{override}" for override in REFUSED]
  config = "my_config.py:runlocal"
  said = pages.refusals(folder, config, *overrides, env=env)
  for (override, message), text in zip(REFUSED.items(), said, strict=True):
    assert message in text, override
