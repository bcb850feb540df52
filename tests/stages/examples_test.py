"""Which queries a train stage learns from."""

import dataclasses
import pathlib

import numpy as np
import pytest

from prod_jax import config_file, kinds, strict
from prod_jax.batches.lists import Candidates
from prod_jax.processes import Processes
from prod_jax.stages import examples, imported, sources
from prod_jax.stages.run import Job, Run

REPO = pathlib.Path(__file__).parents[2]


@pytest.fixture
def job_of(tmp_path):
  """A job of a run with some stages."""

  def made(stages, stage):
    config = config_file.load(str(REPO / "configs" / "quickstart.py"))
    config.stages.clear()
    config.stages.update(stages)
    run = Run(config, Processes(tmp_path))
    return Job(run, "asked", stage, {}, tmp_path)

  return made


def test_what_a_stage_begins_with(job_of):
  """A stage that has a model's name is not the model."""
  stage = kinds.Train(
    kind="train",
    model="student",
    method="contrastive",
    steps=1,
    batch_size=8,
    learning_rate=1.0,
  )
  assert examples.begins_with(job_of({}, stage)) == "student"
  assert examples.begins_with(job_of({"student": stage}, stage)) == ""
  after = dataclasses.replace(stage, init="before")
  assert examples.begins_with(job_of({"before": stage}, after)) == "before"


def score(candidates):
  return kinds.Score(kind="score", params="ce", candidates=candidates)


def mined(queries):
  return kinds.Mine(kind="mine", encoded="e", depth=3, queries=queries)


def denoised(action):
  return kinds.Denoise(
    kind="denoise",
    candidates="mined",
    scores="s",
    rule="percentile",
    action=action,
    margin=50.0,
  )


@pytest.mark.parametrize("queries", ["labelled", "unlabelled", "all"])
def test_what_is_made_of_lists_has_their_queries(job_of, queries):
  stages = {"mined": mined(queries)}
  assert sources.queries_of(job_of(stages, score("mined"))) == queries
  stages["denoised"] = denoised("drop")
  assert sources.queries_of(job_of(stages, score("denoised"))) == queries


def test_a_stage_that_labels_gives_lists_with_labels(job_of):
  """Pseudo-labels are labels: a method may learn from them."""
  stages = {"mined": mined("unlabelled")}
  stages["denoised"] = denoised("relabel")
  assert sources.queries_of(job_of(stages, score("denoised"))) == "all"
  stages["file"] = kinds.Imported(
    kind="imported", path="x", queries="unlabelled", positives="add"
  )
  assert sources.queries_of(job_of(stages, score("file"))) == "all"


def test_rows_that_cannot_be_drawn_are_left_out_and_counted(job_of, caplog):
  """Divided rows may lack a list, or a label where passages are drawn."""
  caplog.set_level("INFO")
  rows, where = np.array([4, 7, 9]), np.array([True, False, True])
  job = job_of({}, score("mined"))
  kept = examples._kept(job, rows, where, "have a list")
  assert kept.tolist() == [4, 9]
  assert "of 3 queries it can learn from the 2 that have a list" in caplog.text
  caplog.clear()
  assert examples._kept(job, kept, np.ones(2, bool), "x").tolist() == [4, 9]
  assert not caplog.records
  with pytest.raises(
    strict.ConfigError, match=r"stages\.asked: of 3 queries there are none that"
  ):
    examples._kept(job, rows, np.zeros(3, bool), "have a list")


def trains(**reads):
  return kinds.Train(
    "train", "student", "contrastive", 2, 2, 1e-3, negatives=1, **reads
  )


@pytest.mark.parametrize(
  ("reads", "message"),
  [
    (dict(candidates="dev"), r"asked\.candidates: dev has lists for 'dev'"),
    (dict(queries="cut"), r"asked\.queries: dev has lists for 'dev', and a tr"),
    (dict(scores="enc"), "reads split 'train', but enc encodes dev"),
  ],
)
def test_rows_of_another_split_are_refused(job_of, reads, message):
  """They would be looked up in the table of train's queries."""
  stages = {
    "mined": mined("labelled"),
    "dev": dataclasses.replace(mined("labelled"), split="dev"),
    "cut": kinds.Divide("divide", scores="s", candidates="dev"),
    "enc": kinds.Encode("encode", "student", splits=("dev",)),
  }
  with pytest.raises(strict.ConfigError, match=message):
    examples.check(job_of(stages, trains(**reads)))
  examples.check(job_of(stages, trains(candidates="mined")))


def test_positives_of_a_list_count_where_the_set_has_none():
  lists = Candidates(
    query=np.array([0, 2], np.int32),
    ids=np.array([[5, 6], [7, 8]], np.int32),
    label=np.array([[0, 1], [1, 1]], bool),
    rank=np.zeros((2, 2), np.int32),
    score=np.zeros((2, 2), np.float32),
  )
  found = examples._with_those_of_lists([(1,), (), ()], lists)
  assert found == [(1,), (), (7, 8)]


@pytest.mark.parametrize(("negatives", "repeated"), [(1, 0), (2, 1), (3, 2)])
def test_lists_shorter_than_what_is_drawn_are_counted(
  job_of, caplog, negatives, repeated
):
  """Of a labelled query two, of one without three; the third is not asked."""
  lists = Candidates(
    query=np.array([0, 2, 3], np.int32),
    ids=np.array([[5, 6, 7], [5, 6, -1], [5, -1, -1]], np.int32),
    label=np.array([[1, 0, 0], [0, 0, 0], [0, 0, 0]], bool),
    rank=np.zeros((3, 3), np.int32),
    score=np.zeros((3, 3), np.float32),
  )
  stage = kinds.Train(
    kind="train",
    model="student",
    method="prod",
    batch_size=1,
    steps=1,
    learning_rate=1e-4,
    negatives=negatives,
  )
  examples._say_repeated(job_of({}, stage), np.array([0, 2]), lists)
  said = f"the lists of {repeated} of 2 queries are too short for negatives="
  assert (said in caplog.text) == bool(repeated)
  assert len(caplog.records) == bool(repeated)


def test_lists_of_a_stage_say_whose_they_are(job_of, tmp_path):
  path = tmp_path / "scores.tsv"
  path.write_text("q1\tp1\t1.0\n")
  stages = {"mined": mined("all")}
  settings = dict(path=str(path), candidates="mined", format="tsv")
  stage = kinds.Imported(kind="imported", queries="unlabelled", **settings)
  with pytest.raises(strict.ConfigError, match="the lists of mined say whose"):
    imported.check(job_of(stages, stage))
