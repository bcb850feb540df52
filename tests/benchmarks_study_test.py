"""The figures of a study and their page, on values that are made up."""

import json
import xml.etree.ElementTree

import numpy as np
import pytest

from benchmarks import study
from prod_jax.report.markup import render

ARMS = {"mined": 0.4, "ce": 0.45, "prod": 0.6}


def values(mean, seed):
  rng = np.random.default_rng(seed)
  found = np.clip(mean + rng.normal(0, 0.1, 60), 0, 1)
  by_query = {f"q{i}": float(x) for i, x in enumerate(found)}
  return dict.fromkeys(study.METRICS, by_query)


@pytest.fixture
def draws():
  return {
    arm: {str(d): values(mean, 10 * d + i) for d in (1, 2)}
    for i, (arm, mean) in enumerate(ARMS.items())
  }


@pytest.fixture
def made(draws):
  return {
    "data": "toy",
    "split": "test",
    "queries": 60,
    "passages": 1000,
    "settings": {
      "labelled": 30,
      "query_length": 20,
      "passage_length": 32,
      "max_passages": 0,
      "train_queries": 100,
      "batch_size": 8,
      "layers": [0, 5],
    },
    "beside": {"start": dict.fromkeys(study.METRICS, 0.35)},
    "divided": {"prod_1": 12},
    "arms": {arm: study._arm(of) for arm, of in draws.items()},
    "compared": {one: study._compared(draws, one) for one in study.AGAINST},
  }


def test_arms_are_compared_by_the_mean_of_their_draws(draws):
  found = study._compared(draws, "mined")["prod"]
  first, second = (
    np.mean([[*draws[arm][d]["mrr@10"].values()] for d in ("1", "2")], axis=0)
    for arm in ("mined", "prod")
  )
  assert found["difference"] == pytest.approx((second - first).mean())
  assert found["p"] <= found["p_holm"] < 0.01
  assert (found["better_in"], found["draws"]) == (2, 2)
  assert "mined" not in study._compared(draws, "mined")


def test_a_study_that_is_under_way_compares_what_both_have(draws):
  del draws["prod"]["2"]
  found = study._compared(draws, "mined")["prod"]
  assert found["draws"] == found["better_in"] == 1
  first, second = (
    np.mean([*draws[arm]["1"]["mrr@10"].values()]) for arm in ("mined", "prod")
  )
  assert found["difference"] == pytest.approx(second - first)


def test_the_page_says_what_was_found(made):
  text = study.page({"toy-30": made})
  assert "30 of 100 training queries have labels" in text
  assert "| `prod` | **0." in text and "study-toy-30.svg" in text
  assert "`prod` is above `mined`: +0." in text
  assert "higher in 2 of 2 draws" in text
  made["compared"]["ce"]["prod"].update(p_holm=0.2)
  assert "`prod` is not above `ce`" in study.page({"toy-30": made})
  assert "No study has been run" in study.page({})


def test_the_picture_has_a_dot_a_draw_within_its_frame(made):
  root = xml.etree.ElementTree.fromstring(render(study.picture("toy", made)))
  dots = [x for x in root if x.tag.endswith("circle")]
  assert len(dots) == 6
  width = float(root.get("width"))
  assert all(0 < float(dot.get("cx")) < width for dot in dots)


def test_page_and_plots_are_those_of_the_kept_results():
  for path, text in study.files().items():
    assert path.read_text() == text, path
  for path in study.FOLDER.glob("*.json"):
    json.loads(path.read_text())
