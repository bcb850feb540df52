"""Texts that stand for a data set, and batches of them before any stage."""

import types

import numpy as np
import pytest

from prod_jax.batches import loader
from prod_jax.batches.store import store_of
from prod_jax.plan import batches, sample
from prod_jax.sets.dataset import Dataset
from prod_jax.stages import job_of
from prod_jax.stages.run import Run
from tests.plan.programs_test import run_of

PASSAGES, QUERIES = 5000, 3000


class Set(Dataset):
  """A data set of which only the labels are known."""

  def positive_rows(self, split):
    return self.queries[split]


def set_of(passages, positives):
  made = object.__new__(Set)
  made.__dict__.update(passages=range(passages), queries=positives)
  return made


@pytest.fixture
def rows():
  """Of a set in which every third query has the labels of two passages."""
  positives = [(n, n + 1) if n % 3 == 0 else () for n in range(QUERIES)]
  return sample.of(set_of(PASSAGES, {"train": positives, "dev": [(1,)] * 8}))


def test_a_sample_has_the_positives_of_its_queries(rows):
  assert rows.total == PASSAGES
  assert rows.splits == {"train": (QUERIES, QUERIES // 3), "dev": (8, 8)}
  assert len(rows.queries) == QUERIES // 3 and not (rows.queries % 3).any()
  np.testing.assert_array_equal(rows.passages[rows.positives], rows.queries)
  assert len({*rows.passages.tolist()}) == len(rows.passages)
  assert rows.passages.max() > PASSAGES - 4


def test_without_train_another_split_stands_for_its_queries(monkeypatch):
  found = sample.of(set_of(7, {"dev": [()], "test": [(3,), (), (5, 1)]}))
  assert found.split == "test" and found.queries.tolist() == [0, 2]
  assert found.passages[found.positives].tolist() == [3, 5]
  assert found.splits == {"dev": (1, 0), "test": (3, 2)}
  text = np.arange(3, 8, dtype=np.int32)
  tokens = types.SimpleNamespace(
    passages=store_of([text] * 7),
    queries={"test": store_of([text[:2]] * 3)},
    special=batches.SPECIAL,
  )
  monkeypatch.setattr(Run, "tokens_of", lambda self, model="": tokens)
  texts = sample.texts(run_of("quickstart"), "student", found)
  assert len(texts["queries"]) == 2


def test_without_labels_any_passage_does():
  rows = sample.of(set_of(7, {"train": [()] * 9}))
  assert rows.queries.tolist() == [*range(9)]
  assert rows.passages.tolist() == [*range(7)]


@pytest.mark.parametrize("name", ["student_warm", "student_de", "student_ce_1"])
def test_a_batch_is_what_the_plan_of_a_slice_takes_it_for(
  rows, name, monkeypatch
):
  """With real texts; fields and shapes are those of its stand-in."""
  run = run_of("quickstart", "data.packed=False")
  text = np.arange(3, 8, dtype=np.int32)
  store = store_of([text] * PASSAGES)
  tokens = types.SimpleNamespace(
    passages=store, queries={"train": store}, special=batches.SPECIAL
  )
  monkeypatch.setattr(Run, "tokens_of", lambda self, model="": tokens)
  job = job_of(run, name)
  drawn = loader.batches(
    sample.learnt_from(job, rows), batch_size=batches.QUERIES, seed=0
  )
  found, wanted = next(drawn), batches.training(job)
  for field, value in wanted._asdict().items():
    made = getattr(found, field)
    assert (made is None) == (value is None), field
  assert found.passage.ids.shape == wanted.passage.ids.shape
  assert (found.passage.ids[..., 1:6] == text).all()
  # Each query meets its own positive.
  own = rows.positives[found.query_id_B]
  np.testing.assert_array_equal(found.passage_id_BN[:, 0], own)
