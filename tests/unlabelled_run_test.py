"""The curriculum where few of the queries have labels."""

import json

import numpy as np
import pytest

from prod_jax.batches.lists import Candidates, load_lists
from tests.main_test import QUICKSTART, run

FEW = (
  f"{QUICKSTART},data.labelled=40,stages.mine_1.queries=all,"
  "stages.mine_2.queries=all,stages.mine_2.limit=0,"
  "stages.mine_4.queries=unlabelled"
)


@pytest.mark.long
def test_a_student_learns_from_queries_that_nobody_labelled(tmp_path):
  run(tmp_path, config=FEW)
  record = json.loads((tmp_path / "curriculum.json").read_text())
  summary = {stage["name"]: stage["summary"] for stage in record["stages"]}
  # Labels alone, then the dual encoder's vectors, scores, and the divided ones.
  for name, queries, bare in (
    ("student_warm", 40, 0),
    ("ce_1", 40, 0),
    ("student_de", 128, 88),
    ("student_ce_1", 128, 88),
  ):
    found = summary[name]
    assert (found["queries"], found["unlabelled"]) == (queries, bare), name
  divided = summary["divide"]
  assert divided["kept"] == divided["kept_unlabelled"] > 0
  assert summary["student_final"]["unlabelled"] == divided["kept"]
  assert summary["mine_4"]["unlabelled"] == summary["mine_4"]["queries"] == 88
  assert "found" not in summary["mine_4"]
  (folder,) = tmp_path.glob("*-mine_2/candidates")
  lists = load_lists(Candidates, folder)
  labelled = lists.label.any(axis=1)
  assert labelled.sum() == 40
  assert (lists.rank[~labelled] >= 0).any(axis=1).all()
  (scores,) = tmp_path.glob("*-score_1/scores.npy")
  assert (np.isnan(np.load(scores)) == (lists.ids < 0)).all()


@pytest.mark.parametrize(
  ("lists", "changes"),
  [
    ("mine_2_wide", "stages.ce_1.steps=1"),
    ("mine_2", "stages.student_ce_1.settings.kd=dkd"),
  ],
)
def test_what_needs_labels_is_not_given_lists_without(tmp_path, lists, changes):
  config = f"{QUICKSTART},stages.{lists}.queries=unlabelled,{changes}"
  done = run(tmp_path, config=config, code=2)
  wanted = f"{lists} has lists of queries without labels, and method "
  assert wanted in done.stderr and "Traceback" not in done.stderr
