"""What is timed, once, and how it is scaled."""

import dataclasses
import types

import jax
import numpy as np
import pytest

from prod_jax import kinds, sharding
from prod_jax.batches.store import store_of
from prod_jax.plan import batches, clock, sample
from prod_jax.plan.clock import Clock, Took
from prod_jax.retrieval import search
from prod_jax.stages import job_of
from prod_jax.stages.run import Run
from tests.plan.programs_test import run_of
from tests.retrieval import forward_test

ROWS = sample.Sample(
  split="train",
  queries=np.arange(64),
  passages=np.arange(64),
  positives=np.arange(64),
  total=64,
  splits={},
)


@pytest.fixture
def took(monkeypatch):
  """Timed work takes two seconds more for the first time than later."""
  asked = []

  def timed(work):
    work()
    asked.append(work)
    return Took(each=6.0, once=2.0, memory=None)

  monkeypatch.setattr(clock, "_timed", timed)
  return asked


class Index:
  kind = "exact"

  def search(self, query_QD, k):
    assert len(query_QD) <= clock._QUERIES


def test_a_search_is_scaled_and_a_like_one_not_measured_again(
  took, monkeypatch
):
  made = []
  monkeypatch.setattr(
    search,
    "open_index",
    lambda kind, vectors: made.append(vectors.shape) or Index(),
  )
  found = Clock(run_of("quickstart"), ROWS)
  small = found.search("exact", 8, 300, 40, 10)
  assert small.each == pytest.approx(6 / 40) and small.once >= 2
  # As many rows again, and queries, as are measured.
  large = found.search("exact", 8, 2 * clock._ROWS, 5000, 10)
  assert large.each == pytest.approx(2 * 6 / clock._QUERIES)
  assert made == [(300, 8), (clock._ROWS, 8)]
  assert found.search("exact", 8, 300, 40, 10).once < 2
  assert len(took) == 2


def test_texts_are_those_of_some_batches_or_all_there_are():
  tokens = {
    "passages": store_of([np.ones(9, np.int32)] * 50),
    "queries": store_of([np.ones(4, np.int32)] * 30),
  }
  copies = sharding.Copies(jax.local_devices()[:2], [None, None])
  frozen = dataclasses.replace(forward_test.frozen(100), copies=copies)

  def texts(what, count):
    return clock._texts(frozen, tokens, what, count)

  (passages,) = texts("passages", 10_000)
  assert len(passages.length) == 8 * 2 * 100 / 10
  (few,) = texts("queries", 7)
  assert few.start.tolist() == [4 * n for n in range(7)]
  query, one, other = texts("triples", 6)
  assert query.length.tolist() == [4] * 6
  assert one.start.tolist() == [9 * n for n in range(2, 8)]
  assert other.start.tolist() == [9 * n for n in range(4, 10)]


@pytest.mark.long
def test_stages_that_differ_in_constants_are_measured_once(monkeypatch):
  """The step that a run compiles; and a frozen model, with its memory."""
  run = run_of("quickstart", "stages.student_ce_2.learning_rate=2e-5")
  store = store_of([np.arange(3, 8, dtype=np.int32)] * 64)
  tokens = types.SimpleNamespace(
    passages=store, queries={"train": store}, special=batches.SPECIAL
  )
  monkeypatch.setattr(Run, "tokens_of", lambda self, model="": tokens)
  found = Clock(run, ROWS)
  one = found.step(job_of(run, "student_ce_1"))
  other = found.step(job_of(run, "student_ce_2"))
  assert one.each == other.each > 0 and one.memory > 2**16
  assert len(found._steps) == 1 and one.once > 0
  job = job_of(run, "encode_student_warm")
  assert isinstance(job.stage, kinds.Encode)
  text = found.texts(job, "params", "passages", 64)
  assert text.each > 0 and text.memory > 2**16
  again = found.texts(
    job_of(run, "encode_student_de"), "params", "passages", 64
  )
  assert again == (Took(text.each, 0.0, text.memory))
