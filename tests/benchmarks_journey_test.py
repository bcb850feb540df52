"""The page of a newcomer's way, and how it is made."""

import json

import pytest

from benchmarks import journey

STEP = {
  "title": "One",
  "command": "prod_jax status x",
  "first": 0.4,
  "seconds": 75.0,
  "said": ["a", "b"],
  "before": 3,
}


def test_the_page_is_that_of_the_file():
  made = json.loads(journey.MADE.read_text(encoding="utf-8"))
  assert journey.page(made) == journey.PAGE.read_text(encoding="utf-8")
  for file in made["pictures"].values():
    assert (journey.PICTURES / file).exists()


def test_a_page_has_each_step_and_what_it_took():
  made = {"steps": [STEP], "pictures": {"search-dark": "x.png"}}
  made |= {"commit": "a" * 40, "processor": "a CPU", "python": "3.13.1"}
  page = journey.page(made)
  assert "| One | 0.4 s | 1 min 15 s |" in page
  assert "$ prod_jax status x\n… 3 lines\na\nb\n```" in page
  assert "![search, dark](_static/journey/x.png)" in page


def test_a_step_keeps_its_last_lines():
  taken = journey._taken(journey.Step("Count", "seq 5", 2))
  assert (taken["said"], taken["before"]) == (["4", "5"], 3)
  assert 0 <= taken["first"] <= taken["seconds"]


def test_a_step_that_fails_ends_the_way():
  with pytest.raises(RuntimeError, match="exit 3: ended with 3"):
    journey._taken(journey.Step("Fail", "exit 3"))
