"""Mining and evaluation by answers, on a set with answers."""

import numpy as np
import pytest

from prod_jax import config, kinds, strict
from prod_jax.batches.lists import Candidates, load_lists
from prod_jax.processes import Processes
from prod_jax.retrieval import encode
from prod_jax.sets.records import DataError
from prod_jax.stages import evaluate, mine, splits
from prod_jax.stages.run import Job, Run
from tests.sets import published


@pytest.fixture
def run(tmp_path) -> Run:
  (tmp_path / "nq").mkdir()
  published.nq(tmp_path / "nq")
  return Run(
    config.Config(
      seed=0,
      data=config.Data(name="nq", path=str(tmp_path / "nq")),
      mesh=config.Mesh(),
      models={},
      stages={"vectors": kinds.Encode(kind="encode", params="student")},
    ),
    Processes(tmp_path),
  )


@pytest.fixture
def encoded(tmp_path):
  """Writes vectors under which each query ranks the passages as told."""

  def write(split: str, ranked: list[list[int]]) -> dict:
    folder = tmp_path / "vectors"
    vectors = np.eye(6, dtype=np.float32)
    encode.encode_passages(
      folder / "passages",
      lambda start, stop, pieces: vectors[start:stop],
      6,
      6,
      processes=Processes(tmp_path),
      name="x",
    )
    queries = np.zeros((len(ranked), 6), np.float32)
    for query, order in zip(queries, ranked, strict=True):
      query[order] = np.arange(len(order), 0, -1)
    np.save(folder / f"queries-{split}.npy", queries)
    return {"encoded": folder}

  return write


def test_lists_by_answers(run, encoded, tmp_path):
  read = encoded("train", [[1, 3, 4], [0, 1, 2]])
  stage = kinds.Mine(kind="mine", encoded="vectors", depth=3)
  by_answers = kinds.Mine(
    kind="mine", encoded="vectors", depth=3, relevance="answers"
  )
  labels = {}
  for relevance, some in (("labels", stage), ("answers", by_answers)):
    job = Job(run, "mined", some, read, tmp_path / relevance)
    mine.check(job)
    mine.run(job)
    lists = load_lists(Candidates, tmp_path / relevance / "candidates")
    labels[relevance] = [
      {int(i): bool(p) for i, p in zip(*line, strict=True) if i >= 0}
      for line in zip(lists.ids, lists.label, strict=True)
    ]
  # Labelled are 3 and 0 ("4", "1"), and 2; "dried leaf" is in 3 alone, and the
  # other query has "noon" in 2 and "a week" in 1.
  assert labels["labels"] == [
    {1: False, 3: True, 4: False, 0: True},
    {0: False, 1: False, 2: True},
  ]
  assert labels["answers"] == [
    {3: True, 1: False, 4: False, 0: True},
    {2: True, 0: False, 1: True},
  ]
  assert list(labels["labels"][1]) == [0, 1, 2]
  assert list(labels["answers"][0]) == [3, 1, 4, 0]  # the gold one is first
  assert list(labels["answers"][1]) == [2, 0, 1]


def test_hits_of_questions_without_labels(run, encoded, tmp_path):
  read = encoded("test", [[0, 1, 2], [3, 4, 5]])
  stage = kinds.Evaluate(
    kind="evaluate",
    encoded="vectors",
    depth=3,
    relevance="answers",
    indexes=("exact",),
    metrics=("hit@1", "hit@2"),
  )
  job = Job(run, "measured", stage, read, tmp_path / "out")
  evaluate.check(job)
  job.folder.mkdir()
  found = evaluate.run(job)
  assert (found["hit@1"], found["hit@2"]) == (0.0, 0.5)
  assert [row["queries"] for row in found["results"]] == [2, 2]


def test_a_metric_that_looks_further_than_the_run_is_refused(run):
  stage = kinds.Evaluate(kind="evaluate", encoded="vectors", depth=10)
  job = Job(run, "measured", stage, {}, run.workdir)
  with pytest.raises(
    strict.ConfigError, match=r"measured\.depth is 10, and map"
  ):
    evaluate.check(job)


def test_what_answers_cannot_decide(run):
  stage = kinds.Evaluate(
    kind="evaluate", encoded="vectors", relevance="answers"
  )
  with pytest.raises(strict.ConfigError, match=r"measured: .*'ndcg@10' needs"):
    evaluate.check(Job(run, "measured", stage, {}, run.workdir))


def test_sets_without_answers(run, tmp_path):
  (tmp_path / "marco").mkdir()
  published.msmarco_passage(tmp_path / "marco")
  data = config.Data(name="msmarco_passage", path=str(tmp_path / "marco"))
  mined = kinds.Mine(
    kind="mine", encoded="vectors", depth=3, relevance="answers"
  )
  other = Run(
    config.Config(
      seed=0,
      data=data,
      mesh=config.Mesh(),
      models={},
      stages={"mined": mined},
    ),
    Processes(tmp_path),
  )
  with pytest.raises(DataError, match="without answers"):
    splits.check(other.config, other.dataset)
