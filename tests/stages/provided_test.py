"""Lists of the negatives that came with a data set."""

import dataclasses
import pathlib
import types

import numpy as np
import pytest

from prod_jax import config, config_file, kinds, strict
from prod_jax.batches import draws
from prod_jax.batches.lists import Candidates, load_lists
from prod_jax.processes import Processes
from prod_jax.sets import dataset
from prod_jax.sets.copies import Copies
from prod_jax.sets.records import DataError
from prod_jax.stages import provided, splits
from prod_jax.stages.run import Job, Run
from tests.sets.folder_test import FILES

REPO = pathlib.Path(__file__).parents[2]
STAGE = kinds.Provided(kind="provided", negatives=3)
POSITIVES = [(7,), (), (4, 2), (1,)]
# Query 1 has no positive and query 3 no negative; 2 is labelled for query 2.
NEGATIVES = [[5, 6, -1], [8, 9, 3], [9, 2, 8], [-1, -1, -1]]


def job(folder, positives=POSITIVES, negatives=NEGATIVES, copies=()):
  """Of a run whose data set holds these rows, and what it was asked for."""
  asked = []

  def negative_rows(split, *, limit, seed, judged, none):
    asked.append((split, limit, seed, judged))
    made = np.array(negatives, np.int32)
    for line, rows in zip(made, none, strict=True):
      line[np.isin(line, rows)] = -1
    return made

  def own_negatives(split, *, judged):
    return (lambda query: np.array(negatives[query])), range(len(negatives))

  found = Copies(*np.array([*copies], int).reshape(-1, 3).T)
  config = config_file.load(str(REPO / "configs" / "quickstart.py"))
  run = Run(config, Processes(folder))
  run.__dict__["located"] = types.SimpleNamespace(
    fingerprint="f", data=run.config.data
  )
  run.__dict__["dataset"] = types.SimpleNamespace(
    positive_rows=lambda split: positives,
    negative_rows=negative_rows,
    own_negatives=own_negatives,
    copies_of=lambda split: found,
    no_negatives=lambda split: found.by_query(len(positives)),
  )
  return Job(run, "own", STAGE, {}, folder), asked


def run(folder, **rows):
  own, asked = job(folder, **rows)
  summary = provided.run(own)
  assert asked == [("train", 3, own.seed, False)]
  return summary, load_lists(Candidates, folder / "candidates")


def test_negatives_come_in_order_and_positives_behind_them(tmp_path):
  summary, lists = run(tmp_path)
  assert lists.query.tolist() == [0, 2]
  assert lists.ids.tolist() == [[5, 6, -1, 7, -1], [9, -1, 8, 4, 2]]
  assert lists.label.tolist() == [[0, 0, 0, 1, 0], [0, 0, 0, 1, 1]]
  assert (lists.rank == -1).all() and np.isnan(lists.score).all()
  assert lists.ids.dtype == lists.rank.dtype == lists.query.dtype == np.int32
  assert summary == {
    "queries": 2,
    "left_out": 1,
    "copies": 0,
    "negatives_a_query": 2.0,
  }


def test_a_copy_of_a_positive_is_no_negative_and_counted(tmp_path, caplog):
  with caplog.at_level("INFO", logger="absl"):
    summary, lists = run(tmp_path, copies=[(2, 8, 4), (0, 3, 7)])
  assert lists.ids.tolist() == [[5, 6, -1, 7, -1], [9, -1, -1, 4, 2]]
  assert summary["copies"] == 1
  assert "left out 1 negatives with the text of a labelled" in caplog.text


def test_training_draws_from_them(tmp_path):
  _, candidates = run(tmp_path)
  lists = draws.lists_of(candidates, np.array([0, 1]), None, None)
  rng = np.random.default_rng(0)
  columns = draws.Descend()(lists, 2, rng)
  ids = np.take_along_axis(lists.ids, columns, axis=1)
  assert ids.tolist() == [[7, 5, 6], [4, 9, 8]]
  drawn = np.take_along_axis(
    lists.ids, draws.Random()(lists, 2, rng), axis=1
  ).tolist()
  assert [sorted(line) for line in drawn] == [[5, 6, 7], [4, 8, 9]]


def test_a_set_with_no_such_query_is_an_error(tmp_path):
  with pytest.raises(strict.ConfigError, match="stage own: no query of split"):
    run(tmp_path, positives=[(), (), (), (1,)])


def test_another_seed_or_set_makes_other_lists(tmp_path):
  own, _ = job(tmp_path)
  first = provided.fingerprint(own)
  assert first == {"dataset": "f", "seed": own.seed, "negatives": ""}
  other = dataclasses.replace(own, name="other")
  assert first != provided.fingerprint(other)


def test_grades_that_are_not_there_are_told_before_anything(tmp_path):
  for name, content in FILES.items():
    (tmp_path / name).write_text(content)
  (tmp_path / "negatives.test.tsv").write_text("q9 d1\n")
  data = config.Data(name="folder", path=str(tmp_path))
  located = dataset.locate(data, str(tmp_path / "data"))

  def check(**stage):
    made = dataclasses.replace(STAGE, **stage)
    read = config.Config(0, data, config.Mesh(), {}, {"own": made})
    splits.check_negatives(read, located)

  check(split="train", grade_0=True)
  check(split="test")
  with pytest.raises(
    DataError, match=r"qrels\.test\.tsv: has no grades, .* leave grade_0 out"
  ):
    check(split="test", grade_0=True)
