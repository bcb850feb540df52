"""A forecast in a working folder, and of whom it is believed."""

import copy
import json

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


def test_a_plan_of_one_stage_leaves_what_is_known_of_others(folder):
  row = {"stage": "warm", "seconds": 9.0, "at_most": []}
  forecast.write(folder, CONFIG, "a CPU", [row])
  assert forecast.read(folder, CONFIG) == {
    "warm": (9.0, []),
    "mine": (0.5, ["unless gate skips it"]),
  }
  forecast.write(folder, CONFIG, "a CPU", [{**row, "seconds": None}])
  assert {*forecast.read(folder, CONFIG)} == {"mine"}, (
    "it is not known any more"
  )
  other = copy.deepcopy(CONFIG)
  other["stages"]["mine"]["depth"] = 9
  forecast.write(folder, other, "a CPU", [row])
  assert {*forecast.read(folder, CONFIG)} == {"warm"}


@pytest.mark.parametrize("machine", ["a CPU", "a GPU"])
def test_of_another_machine_or_config_nothing_is_left(folder, machine):
  other = copy.deepcopy(CONFIG)
  other["data"]["path"] = "there" if machine == "a CPU" else "here"
  row = {"stage": "warm", "seconds": 9.0, "at_most": []}
  forecast.write(folder, other, machine, [row])
  assert {*forecast.read(folder, other)} == {"warm"}


WARM = {"settings": CONFIG["stages"]["warm"], "seconds": 1.0, "at_most": []}


@pytest.mark.parametrize(
  "change",
  [
    {"stages": None},
    {"stages": []},
    {"stages": {"warm": 5}},
    {"stages": {"warm": {}}},
    {"stages": {"warm": {**WARM, "seconds": "x"}}},
    {"stages": {"warm": {**WARM, "seconds": float("nan")}}},
    {"stages": {"warm": {**WARM, "at_most": 5}}},
    {"machine": 3},
  ],
)
def test_a_damaged_one_is_none_and_says_so(folder, caplog, change):
  path = folder / forecast.FILE
  said = json.loads(path.read_text())
  path.write_text(json.dumps({**said, **change}))
  assert forecast.read(folder, CONFIG) == {}
  assert f"{path} is not as it was written" in caplog.text
  forecast.write(folder, CONFIG, "a CPU", ROWS)
  assert {*forecast.read(folder, CONFIG)} == {"warm", "mine"}
