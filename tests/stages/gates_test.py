"""Which teacher teaches, and which student goes on, by held-out queries."""

import dataclasses
import json
import pathlib
import types

import numpy as np
import pytest

from prod_jax import config_file, kinds, strict
from prod_jax.processes import Processes
from prod_jax.retrieval import encode
from prod_jax.sets.dataset import Dataset
from prod_jax.sets.records import Query
from prod_jax.stages import accept, accepted, gate, splits
from prod_jax.stages.run import Job, Run

REPO = pathlib.Path(__file__).parents[2]
QUERIES, PASSAGES = 40, 60


class Passages(list):
  """Passages by row, whose id is the row's."""

  def id(self, row):
    return f"p{row:02d}"


@pytest.fixture
def run(tmp_path):
  """A run with stages by name, whose vectors `write` makes.

  Query q is answered by passage q.
  """
  config = config_file.load(str(REPO / "configs" / "quickstart.py"))
  config.stages.clear()
  for name in ("first", "second", "third"):
    config.stages[name] = kinds.Encode(kind="encode", params="student")
  made = Run(config, Processes(tmp_path))
  queries = [types.SimpleNamespace(id=f"q{i}") for i in range(QUERIES)]
  made.__dict__["dataset"] = types.SimpleNamespace(
    own_rows=lambda split: None,
    passages=Passages(range(PASSAGES)),
    queries={"dev": queries},
    qrels=lambda split: {f"q{i}": {f"p{i:02d}": 1} for i in range(QUERIES)},
  )
  return made


def write(run, name, right):
  """Vectors with which the first `right` queries find their passage first.

  The others find passage 59 first and theirs second.
  """
  folder = run.folder(name)
  vectors = np.eye(PASSAGES, dtype=np.float32)
  encode.encode_passages(
    folder / "passages",
    lambda start, stop, pieces: vectors[start:stop],
    PASSAGES,
    PASSAGES,
    processes=run.processes,
    name="toy",
  )
  query = vectors[:QUERIES] + 0
  query[right:, 59] = 2
  np.save(folder / "queries-dev.npy", query)


def job(run, name, stage):
  run.config.stages[name] = stage
  folder = run.folder(name)
  folder.mkdir(exist_ok=True)
  roles = {
    role: value
    for role in ("encoded", "teacher", "before", "base")
    if (value := getattr(stage, role, ""))
  }
  return Job(run, name, stage, accepted.Folders(run, roles), folder)


def asked(run, teacher, **settings):
  stage = kinds.Gate(
    kind="gate", encoded="first", teacher=teacher, depth=5, **settings
  )
  return gate.run(job(run, "gate", stage))


def test_a_teacher_that_ranks_better_teaches(run):
  write(run, "first", right=10)
  write(run, "second", right=30)
  found = asked(run, "second")
  assert found["passed"] is True
  assert found["student"] == pytest.approx((10 + 30 / 2) / 40, abs=1e-4)
  assert found["teacher"] == pytest.approx((30 + 10 / 2) / 40, abs=1e-4)
  assert (found["difference"], found["queries"]) == (0.25, 40)
  assert 0 < found["low"] < 0.25 < found["high"] and found["p"] < 0.01
  said = json.loads((run.folder("gate") / "gate.json").read_text())
  assert said == found
  assert (
    "second teaches: of the first 5 of first it makes mrr@10" in said["why"]
  )


def test_one_that_is_better_by_chance_or_worse_does_not(run):
  write(run, "first", right=10)
  write(run, "second", right=12)
  found = asked(run, "second")
  assert found["difference"] > 0 and found["passed"] is False
  assert asked(run, "second", level=0.9)["passed"] is True
  write(run, "third", right=0)
  assert asked(run, "third", level=1.0)["passed"] is False


def test_a_teacher_orders_what_the_student_found_and_no_more(run):
  """With one passage a list there is nothing to put in another order."""
  write(run, "first", right=10)
  write(run, "second", right=40)
  stage = kinds.Gate(kind="gate", encoded="first", teacher="second", depth=1)
  found = gate.run(job(run, "gate", stage))
  assert found["student"] == found["teacher"] == 0.25
  assert (found["passed"], found["p"]) == (False, 1.0)


def chosen(run, **settings):
  stage = kinds.Accept(
    kind="accept", encoded="second", before="first", **settings
  )
  return accept.run(job(run, "accept", stage))


def test_a_student_goes_on_where_it_is_no_worse(run):
  write(run, "first", right=10)
  write(run, "second", right=10)
  found = chosen(run)
  assert (found["accepted"], found["refused"]) == ("second", False)
  assert accepted.chosen(run, "accept") == "second"
  assert accepted.trained(run, "accept") == "student"


def test_else_the_one_before_does(run):
  write(run, "first", right=12)
  write(run, "second", right=10)
  found = chosen(run)
  assert (found["accepted"], found["refused"]) == ("first", True)
  assert found["before_difference"] == -0.025
  assert chosen(run, tolerance=0.03)["accepted"] == "second"


def test_a_student_below_the_untrained_one_does_not_go_on(run):
  write(run, "first", right=8)
  write(run, "second", right=10)
  write(run, "third", right=20)
  assert chosen(run)["accepted"] == "second"
  found = chosen(run, base="third")
  assert (found["accepted"], found["base"]) == ("first", 0.75)


def test_after_a_skipped_student_the_one_before_goes_on(run):
  write(run, "first", right=8)
  run.folder("second").mkdir()
  found = chosen(run)
  assert found == {"accepted": "first", "why": "second was skipped"}


def test_a_chain_of_choices_ends_at_an_encode_stage(run):
  write(run, "first", right=12)
  write(run, "second", right=10)
  write(run, "third", right=9)
  chosen(run)
  stage = kinds.Accept(kind="accept", encoded="third", before="accept")
  found = accept.run(job(run, "again", stage))
  assert found["accepted"] == accepted.chosen(run, "again") == "first"
  assert accepted.alternatives(run, "again") == ["third", "second", "first"]
  assert run.model_name("again") == "student"
  folders = accepted.Folders(run, {"encoded": "again", "params": "first"})
  assert folders["encoded"] == run.folder("first")
  assert list(folders) == ["encoded", "params"] and "before" not in folders


def test_nothing_is_read_before_it_is_chosen(run):
  job(run, "accept", kinds.Accept(kind="accept", encoded="a", before="b"))
  with pytest.raises(strict.ConfigError, match="has not chosen yet"):
    accepted.chosen(run, "accept")


@pytest.mark.parametrize("kind", [kinds.Gate, kinds.Accept])
def test_a_metric_that_is_none(run, kind):
  roles = (
    dict(teacher="second") if kind is kinds.Gate else dict(before="second")
  )
  name = kind.__name__.lower()
  settings = dict(kind=name, encoded="first", depth=3, metric="mrp", **roles)
  module = gate if kind is kinds.Gate else accept
  with pytest.raises(
    strict.ConfigError, match=f"stages.{name}.metric: unknown"
  ):
    module.check(job(run, name, kind(**settings)))


@pytest.mark.parametrize(
  ("kind", "settings", "message"),
  [
    (kinds.Gate, dict(depth=5, metric="mrr@10"), "mrr@10 looks further"),
    (kinds.Gate, dict(depth=5, metric="recall@5"), "no order of the same 5"),
    (kinds.Accept, dict(metric="recall@1000"), "further; set .*depth=1000"),
  ],
)
def test_numbers_that_measure_nothing(run, kind, settings, message):
  gates = kind is kinds.Gate
  roles = {"encoded": "first", "teacher" if gates else "before": "second"}
  stage = kind(kind=kind.__name__.lower(), **roles, **settings)
  with pytest.raises(strict.ConfigError, match=message):
    (gate if gates else accept).check(job(run, "asked", stage))


def test_an_equal_student_is_not_refused_by_rounding(run, monkeypatch):
  """The same reciprocal ranks in another order have a mean of -2e-17 less."""
  ranks = {"first": [0.5, 1.0, 1 / 3], "second": [1.0, 1 / 3, 0.5]}

  def values(job, role):
    return {f"q{i}": x for i, x in enumerate(ranks[job.inputs[role].name[3:]])}

  monkeypatch.setattr(accept, "_values", values)
  for name in ("first", "second"):
    write(run, name, right=1)
  assert chosen(run)["accepted"] == "second"


def test_a_split_that_is_not_encoded(run):
  run.config.stages["second"] = kinds.Encode(
    kind="encode", params="student", splits=("train",)
  )
  stage = kinds.Accept(kind="accept", encoded="first", before="second")
  with pytest.raises(strict.ConfigError, match="but second encodes train"):
    accept.check(job(run, "accept", stage))
  stage = kinds.Gate(kind="gate", encoded="first", teacher="second", depth=3)
  with pytest.raises(strict.ConfigError, match="but second encodes train"):
    gate.check(job(run, "gate", stage))


def test_students_of_two_models(run):
  run.config.stages["second"] = kinds.Encode(kind="encode", params="teacher_de")
  stage = kinds.Accept(kind="accept", encoded="first", before="second")
  with pytest.raises(strict.ConfigError, match="models student and teacher_de"):
    accept.check(job(run, "accept", stage))


@pytest.mark.parametrize("kind", [kinds.Gate, kinds.Accept])
def test_a_split_without_labels_stops_before_the_first_stage(run, kind):
  """All processes look: one that stopped alone would leave others waiting."""
  gates = kind is kinds.Gate
  roles = {"encoded": "first", "teacher" if gates else "before": "second"}
  depth = dict(depth=10)
  name = kind.__name__.lower()
  stages = {name: kind(kind=name, **roles, **depth)}
  config = dataclasses.replace(run.config, stages=stages)
  dataset = object.__new__(Dataset)  # no more of it is looked at
  dataset.__dict__.update(name="toy", queries={"dev": [Query("q", "a", ())]})
  with pytest.raises(
    strict.ConfigError, match=f"{name}.split is 'dev', and none of its 1"
  ):
    splits.check(config, dataset)
  dataset.queries["dev"].append(Query("r", "b", (("p", 1),)))
  splits.check(config, dataset)
