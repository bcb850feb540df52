"""Stages that would do nothing, or something else than they say."""

import jax
import numpy as np
import pytest

from prod_jax import config_file, main, stages, strict
from prod_jax.batches.lists import Candidates, Dark, load_lists
from prod_jax.processes import Processes
from prod_jax.stages.run import Run
from tests.main_test import write_folder

CONFIG = """
from ml_collections import ConfigDict

TINY = dict(width=16, heads=2, mlp_width=16, depth=1)
SMALL = dict(batch_size=8, steps=1, warmup_steps=0, learning_rate=1e-3)
TRAIN = dict(kind="train", candidates="mine", negatives=2, **SMALL)


def get_config():
  c = ConfigDict(sort_keys=False)
  c.seed = 1
  c.data = dict(name="folder", path="", tokenizer="packaged")
  c.data.update(query_length=16, passage_length=24)
  c.mesh = dict(data=-1)
  dual = dict(kind="dual", pooling="mean", **TINY)
  c.models = dict(
    student=dual,
    as_it_is=dict(kind="dual", weights="packaged", pooling="mean"),
    ce=dict(kind="cross", **TINY),
    duo=dict(kind="pairwise", **TINY),
  )
  cross = dict(TRAIN, model="ce", method="ranking", negatives=2)
  scored = dict(kind="score", candidates="mine", params="ce_1")
  made = dict(
    encode=dict(kind="encode", params="as_it_is"),
    mine=dict(kind="mine", encoded="encode", depth=4),
    ce_1=cross,
    ce_2=cross,
    duo_1=dict(cross, model="duo", method="pairwise_ranking"),
    score=scored,
    compare=dict(
      kind="compare", params="duo_1", candidates="mine", scores="score",
      pairs=2, window=2, depth=4,
    ),
    darken=dict(
      kind="darken", params="ce_1", candidates="mine", strengthened=1,
      strengthen_rate=0.3, masked=1, mask_rate=0.3,
    ),
    student=dict(
      TRAIN,
      model="student",
      method="prod",
      scores="score",
      settings=dict(in_batch=False, temperature=1.0, hard=0.1, soft=0.9),
    ),
    pairs=dict(
      TRAIN, model="student", method="pair_distill", scores="score",
      pairs="compare",
    ),
    adam=dict(
      TRAIN, model="student", method="adam", scores="score", dark="darken",
      settings=dict(temperature=1.0, hard=0.1, soft=1.0, dark=1.0,
      pace="fraction", start=0.5, end=1.0, over=1),
    ),
    again=dict(
      TRAIN, model="as_it_is", method="prod", scores="score", anchor="mine",
      settings=dict(
        in_batch=False, temperature=1.0, hard=0.1, soft=0.9, lwf=1.0
      ),
    ),
    evaluate=dict(
      kind="evaluate", encoded="encode", rerank="ce_1", rerank_depth=5
    ),
    denoise=dict(kind="denoise", candidates="mine", scores="score"),
  )
  c.stages = ConfigDict(made, sort_keys=False)
  return c
"""


@pytest.fixture
def run_of(tmp_path):
  """A function that makes the run of overrides of that config."""
  path = tmp_path / "stages.py"
  path.write_text(CONFIG)
  folder = write_folder(tmp_path / "set")

  def made(*overrides):
    config = config_file.load(str(path), [f"data.path={folder}", *overrides])
    one = jax.devices()[:1]
    return Run(config, Processes(tmp_path / "work"), devices=one)

  return made


def ran(run, *names):
  """The jobs of stages that have run."""
  for name in names:
    job = stages.job_of(run, name)
    job.folder.mkdir(parents=True)
    stages.kind_of(job).run(job)


def test_all_of_it_is_taken_as_it_stands(run_of):
  """With lists of a model as it is for the anchor of that model."""
  main.check(run_of())


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    (
      ["stages.evaluate.depth=10", "stages.evaluate.rerank_depth=11"],
      "evaluate.rerank_depth is 11, of runs that have 10 passages; set de",
    ),
    (["stages.darken.params=ce_2"], "adam.dark: ce_2 scores the dark examples"),
    (["stages.score.ensemble=encode"], "and ce_1+encode the lists of score"),
    (
      ["stages.student.scores=", "stages.student.teacher=duo_1"],
      "student.teacher is 'duo_1', which trains a model of kind pairwise",
    ),
    (
      ["stages.pairs.accumulation=8"],
      "pair_distill: batch_size and accumulation leave a query alone",
    ),
    (
      ["stages.again.init=student", "stages.again.model=student"],
      "mine was mi",
    ),
  ],
)
def test_what_is_refused_beforehand(run_of, overrides, message):
  with pytest.raises(strict.ConfigError) as error:
    main.check(run_of(*overrides))
  assert message in str(error.value)


def test_an_in_batch_term_without_weight_needs_no_other_query(run_of):
  run = run_of(
    "stages.pairs.accumulation=8", "stages.pairs.settings.in_batch=0"
  )
  main.check(run)


def test_work_that_finds_nothing_is_no_finding(run_of):
  run = run_of(
    "data.labelled=8",
    "stages.mine.queries=unlabelled",
    "stages.ce_1.steps=0",
    "stages.duo_1.steps=0",
    "stages.compare.depth=1",
  )
  ran(run, "encode", "mine", "ce_1", "duo_1", "score")
  for name, message in {
    "denoise": "no labelled passage in the lists of mine has a score",
    "compare": "no list of mine has two passages to compare",
  }.items():
    with pytest.raises(strict.ConfigError, match=message):
      ran(run, name)


def test_dark_examples_are_of_the_lists_that_have_a_label(run_of):
  some = ["data.labelled=8", "stages.ce_1.steps=0"]
  run = run_of(*some, "stages.mine.queries=all")
  ran(run, "encode", "mine", "ce_1", "darken")
  lists = load_lists(Candidates, run.folder("mine") / "candidates")
  dark = load_lists(Dark, run.folder("darken") / "dark")
  made = ~np.isnan(dark.score).all(axis=1)
  np.testing.assert_array_equal(made, lists.label.any(axis=1))
  assert made.sum() == 8
  none = run_of(*some, "stages.mine.queries=unlabelled")
  with pytest.raises(strict.ConfigError, match="without labels alone"):
    stages.kind_of(job := stages.job_of(none, "darken")).check(job)
