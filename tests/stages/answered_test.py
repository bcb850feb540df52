"""Judging by answers: what is relevant, and what is refused."""

import pathlib
import types

import numpy as np
import pytest

from prod_jax import config_file, metrics, strict
from prod_jax.data.records import Passage
from prod_jax.group import Group
from prod_jax.stages import answered
from prod_jax.stages.inputs import Inputs

REPO = pathlib.Path(__file__).parents[2]
TEXTS = ("Paris is a city.", "Rome, a city", "A town", "The city of Rome")


class Passages:
  """Those texts by row, p0 to p3."""

  def __getitem__(self, row):
    assert row >= 0
    return Passage(f"p{row}", "Rome", TEXTS[row])

  def id(self, row):
    return f"p{row}"


@pytest.fixture
def shared(tmp_path):
  """Two questions, of which the second one is never answered."""
  queries = [types.SimpleNamespace(id=name) for name in ("q0", "q1")]
  path = str(REPO / "configs" / "prod_nq.py")
  inputs = Inputs(config_file.load(path), Group(tmp_path))
  inputs.__dict__["dataset"] = types.SimpleNamespace(
    queries={"test": queries},
    passages=Passages(),
    answers=lambda split: {"test": [("rome",), ("Berlin", "Bonn")]}[split],
  )
  return inputs


def test_a_passage_with_an_answer_is_relevant_and_titles_are_not_read(shared):
  ids_QK = np.array([[2, 3, 0], [1, 0, -1]], np.int32)
  found = answered.found_in(shared, "test", np.array([0, 1]), ids_QK)
  assert found.tolist() == [[False, True, False], [False, False, False]]
  other = answered.found_in(shared, "test", np.array([1, 0]), ids_QK)
  assert other.tolist() == [[False] * 3, [True, False, False]]


def test_a_query_without_any_answer_found_counts_as_missed(shared):
  ids_QK = np.array([[2, 3, 0], [1, 0, -1]], np.int32)
  qrels = answered.qrels(shared, "test", ids_QK)
  run = {"q0": {"p2": 3.0, "p3": 2.0, "p0": 1.0}, "q1": {"p1": 2.0}}
  values = metrics.evaluate(run, qrels, ("mrr", "hit@1", "hit@2"))
  assert values == {
    "mrr": {"q0": 0.5, "q1": 0},
    "hit@1": {"q0": 0, "q1": 0},
    "hit@2": {"q0": 1, "q1": 0},
  }


def test_other_sets_and_other_metrics_are_refused(shared, tmp_path):
  answered.check(shared, "evaluate_a", ("mrr@10", "hit@20"))
  with pytest.raises(strict.ConfigError, match=r"a\.metrics: recall@20 asks"):
    answered.check(shared, "a", ("mrr@10", "recall@20"))
  path = str(REPO / "configs" / "quickstart.py")
  other = Inputs(config_file.load(path), Group(tmp_path))
  with pytest.raises(strict.ConfigError, match="'pydocs' has none"):
    answered.check(other, "a")
