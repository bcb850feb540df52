"""What stages would do here: how often, and what bounds it."""

import dataclasses
import types

import pytest

from prod_jax import kinds
from prod_jax.plan import clock, here
from prod_jax.plan.clock import Took
from prod_jax.plan.sample import Sample, Split
from prod_jax.stages import job_of
from tests.plan.programs_test import run_of

ROWS = Sample(
  split="train",
  queries=None,
  passages=None,
  positives=None,
  total=400,
  splits={"train": Split(60, 50), "dev": Split(8, 8), "test": Split(32, 32)},
)


class Clock(clock.Clock):
  """All takes a tenth of a second, and a second more for the first time."""

  def __init__(self):
    pass

  def step(self, job):
    return Took(0.1, 1.0, 2**20)

  def texts(self, job, role, what, count):
    return Took(0.1, 1.0, None)

  def search(self, kind, width, rows, queries, k):
    assert width == 64 and rows == 400
    return Took(0.1, 1.0, None)


def row_of(run, name):
  return here._row(Clock(), job_of(run, name), ROWS)


def work(row):
  return [(part["unit"], part["count"]) for part in row["parts"]]


@pytest.fixture(scope="module")
def run():
  return run_of(
    "quickstart",
    "stages.mine_2.depth=16",
    "stages.gate_ce_1.depth=16",
    "stages.evaluate_ce_1.rerank_depth=16",
  )


@pytest.mark.parametrize(
  ("stage", "parts"),
  [
    ("student_warm", [("steps", 3)]),
    (
      "encode_student_warm",
      [("passages", 400), ("queries", 60), ("queries", 8), ("queries", 32)],
    ),
    ("mine_1", [("searches", 50)]),
    ("score_1", [("pairs", 50 * 17)]),
    ("gate_de", [("searches", 8)]),
    ("gate_ce_1", [("searches", 8), ("pairs", 8 * 16)]),
    ("accept_student_de", [("searches", 8)] * 2),
    ("evaluate_student_warm", [("searches", 32)] * 2),
    ("evaluate_ce_1", [("pairs", 32 * 16), ("searches", 32)]),
  ],
)
def test_a_stage_does_so_much(run, stage, parts):
  row = row_of(run, stage)
  assert work(row) == parts
  count = sum(count for _, count in parts)
  assert row["seconds"] == pytest.approx(0.1 * count + len(parts))
  assert row["once_seconds"] == len(parts)


@pytest.mark.parametrize(
  ("places", "chips"),
  [
    # tpu7x has two devices at each place; two slices begin to count anew.
    ([dict(coords=(x, 0, 0), slice_index=0) for x in (0, 0, 1, 1)], 2),
    ([dict(coords=(0, 0, 0), slice_index=n) for n in (0, 1)], 2),
    ([dict(id=n) for n in range(3)], 3),  # of a GPU
  ],
)
def test_devices_at_one_place_are_a_chip(monkeypatch, places, chips):
  devices = [types.SimpleNamespace(platform="x", **said) for said in places]
  monkeypatch.setattr(here.jax, "devices", lambda: devices)
  assert here.chips() == chips
  monkeypatch.setattr(devices[0], "platform", "cpu")
  assert here.chips() == 1


def test_what_is_not_measured_says_so(run):
  row = row_of(run, "divide")
  assert row["seconds"] is None and not row["parts"]
  assert row["why"] == "the host's work on what is not there yet"
  score = dataclasses.replace(run.stage("score_1"), candidates="mined")
  stages = {**run.config.stages}
  stages["mined"] = kinds.Imported("imported", path="a.jsonl")
  before = {name: stages[name] for name in ("ce_1", "mined")}
  config = dataclasses.replace(
    run.config, stages={**run.config.stages, **before, "scored": score}
  )
  row = row_of(dataclasses.replace(run, config=config), "scored")
  assert row["why"] == "how many lists mined has is not known"


def test_what_may_be_less_says_why():
  run = run_of("quickstart")
  assert row_of(run, "score_1")["at_most"] == [
    "mine_2 may have fewer or shorter lists"
  ]
  assert row_of(run, "student_ce_1")["at_most"] == []
  gated = {
    name: dataclasses.replace(run.stage(name), gate=gate)
    for name, gate in (("mine_2", "gate_ce_1"), ("student_de", "gate_de"))
  }
  config = dataclasses.replace(
    run.config, stages={**run.config.stages, **gated}
  )
  run = dataclasses.replace(run, config=config)
  # What an accept stage has chosen is there in any case.
  assert row_of(run, "student_ce_1")["at_most"] == ["unless gate_ce_1 skips it"]
  assert row_of(run, "encode_student_de")["at_most"] == [
    "unless gate_de skips it"
  ]
  assert row_of(run, "score_1")["at_most"] == [
    "unless gate_ce_1 skips it",
    "mine_2 may have fewer or shorter lists",
  ]
