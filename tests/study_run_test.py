"""The config of the study, whose arms share a start and teachers."""

import pytest

from benchmarks import study
from tests.main_test import run

CONFIG = "configs/study.py:runlocal"


def test_its_small_variant_can_run(tmp_path):
  done = run(tmp_path, "--dry_run", config=CONFIG)
  assert "prod_no_lwf_1 " in done.stdout and "labels_2" not in done.stdout


@pytest.mark.long
def test_every_arm_is_trained_measured_and_collected(tmp_path):
  run(tmp_path, config=CONFIG)
  found = study.collect(str(tmp_path))
  assert list(found["arms"]) == [
    *("labels", "mined", "de", "ce", "margin", "cl_drd"),
    *("teachers", "data", "prod", "prod_no_lwf"),
  ]
  assert found["divided"].keys() == {"data_1", "prod_1", "prod_no_lwf_1"}
  assert set(found["compared"]) == set(study.AGAINST)
