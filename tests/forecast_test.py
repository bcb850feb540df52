"""A forecast in a working folder, and of whom it is believed."""

import copy

import pytest

from prod_jax import forecast

CONFIG = {
  "data": {"path": "here"},
  "models": {"student": {"width": 32}},
  "mesh": {"data": -1},
  "stages": {"warm": {"steps": 3}, "mine": {"depth": 8}, "divide": {}},
}
ROWS = [
  {"stage": "warm", "seconds": 3.5, "at_most": []},
  {"stage": "mine", "seconds": 0.5, "at_most": ["unless gate skips it"]},
  {"stage": "divide", "seconds": None, "at_most": []},
]


@pytest.fixture
def folder(tmp_path):
  to = tmp_path / "not" / "there"
  forecast.write(to, CONFIG, "a CPU", ROWS)
  return to


def test_what_was_written_is_read(folder):
  assert forecast.read(folder, CONFIG) == {
    "warm": (3.5, []),
    "mine": (0.5, ["unless gate skips it"]),
  }
  assert forecast.read(folder.parent, CONFIG) == {}


def test_a_stage_of_other_settings_has_none(folder):
  other = copy.deepcopy(CONFIG)
  other["stages"]["warm"]["steps"] = 4
  assert {*forecast.read(folder, other)} == {"mine"}
  del other["stages"]["mine"]
  assert not forecast.read(folder, other)


@pytest.mark.parametrize("section", ["data", "models", "mesh"])
def test_where_what_all_depend_on_is_another_nobody_has(folder, section):
  other = copy.deepcopy(CONFIG)
  other[section]["new"] = 1
  assert forecast.read(folder, other) == {}
