"""docs/ADD_A_STAGE_KIND.md does what it says."""

import json

import numpy as np
import pytest

from tests import pages
from tests.main_test import SCORED

PAGE = "ADD_A_STAGE_KIND.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A repository with the page's kind of stage."""
  return pages.done(PAGE, tmp_path_factory.mktemp("repository"))


@pytest.mark.long
def test_the_example_runs_and_is_learnt_from(folder):
  *less, stages = SCORED
  own = f"{stages},shift,shifted"
  run = pages.run(folder, *pages.command(PAGE), *less, own)
  assert run.returncode == 0, run.stderr[-4000:]
  workdir = folder / "runs" / "shifted"
  ids = {}
  for kind in ("mine_lists", "shift"):
    (stage,) = workdir.glob(f"*-{kind}")
    ids[kind] = np.load(stage / "candidates" / "ids.npy")
  kept = [(rows >= 0).sum() for rows in ids.values()]
  assert 0 < kept[1] < kept[0]
  (trained,) = workdir.glob("*-shifted")
  assert (trained / "params.safetensors").exists()
  record = json.loads((workdir / "curriculum.json").read_text())
  summary = {s["name"]: s["summary"] for s in record["stages"]}["shift"]
  assert summary["negatives"] < summary["of"]


def test_the_tests_of_the_example_pass(folder):
  run = pages.run(folder, "-m", "pytest", "-q", "tests/stages/shift_test.py")
  assert run.returncode == 0, run.stdout[-4000:]
  assert "1 passed" in run.stdout


REFUSED = {
  "skp=1": "did you mean config.stages.shift.skip",
  "skip=-1": "config.stages.shift.skip is -1; it is 0 or more",
  "candidates=mine_wide": "score_lists scored the lists of 'mine_lists'",
  "scores=ce": "a stage of kind train; it takes one of kind score",
  "scores=shifted": "is no stage before it",
}


def test_what_the_page_promises_is_refused_is_refused(folder):
  overrides = [f"stages.shift.{override}" for override in REFUSED]
  said = pages.refusals(folder, "configs/shifted.py:runlocal", *overrides)
  for (override, message), text in zip(REFUSED.items(), said, strict=True):
    assert message in text, override
