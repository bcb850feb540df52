"""Stages with widths that train, are resumed, and are measured and told of."""

import contextlib
import dataclasses
import json

import jax
import numpy as np
import pytest

from prod_jax import (
  config,
  curriculum,
  kinds,
  main,
  model_kinds,
  report,
  sharding,
  stages,
  strict,
)
from prod_jax.models import hf
from prod_jax.processes import Processes
from prod_jax.stages import train
from prod_jax.stages.run import PARAMS, Run
from prod_jax.train.checkpoint import Checkpoints
from tests.batches.special_test import bert, save

WORDS = ["tea", "boats", "are", "old", "new", "the", "of", "and", "sea"]
MODEL = model_kinds.Dual(
  kind="dual", width=8, depth=1, heads=2, mlp_width=16, dropout=0.1
)
ALONE = kinds.Train(
  kind="train",
  model="student",
  method="contrastive",
  steps=2,
  batch_size=8,
  learning_rate=0.01,
  checkpoint_every=1,
  widths=(8, 4),
)
BI_LOGIT = dataclasses.replace(
  ALONE,
  method="prod",
  teacher="start",
  settings=dict(
    in_batch=True, temperature=1.0, hard=0.5, soft=0.5, kd="bi_logit"
  ),
)
LEAD = dataclasses.replace(
  ALONE,
  method="lead",
  teacher="start",
  joint=True,
  settings=dict(in_batch=True, layers=2),
  batch_size=16,
  accumulation=2,
  chunks=2,
  widths=(),
)
STAGES = {
  "start": dataclasses.replace(ALONE, model="teacher", widths=()),
  "alone": ALONE,
  "bi_logit": BI_LOGIT,
  "encode": kinds.Encode(kind="encode", params="bi_logit"),
  "evaluate": kinds.Evaluate(
    kind="evaluate", encoded="encode", indexes=("exact",), widths=(4, 2)
  ),
}


def done(folder, stages, models, mesh) -> Run:
  """A run of stages over a set of sixteen passages, done."""
  drawn = np.random.default_rng(0)
  texts = [" ".join(drawn.choice(WORDS, 9)) for _ in range(16)]
  lines = {"collection.tsv": [f"p{i}\t{text}" for i, text in enumerate(texts)]}
  for split in ("train", "test"):
    lines[f"queries.{split}.tsv"] = [f"{i}\t{texts[i][:15]}" for i in range(16)]
    lines[f"qrels.{split}.tsv"] = [f"{i}\t0\tp{i}\t1" for i in range(16)]
  (folder / "set").mkdir()
  for name, rows in lines.items():
    (folder / "set" / name).write_text("\n".join(rows) + "\n")
  save(folder / "bert", bert())
  made = Run(
    config.Config(
      seed=0,
      data=config.Data(
        name="folder",
        path=str(folder / "set"),
        data_dir=str(folder / "data"),
        tokenizer=str(folder / "bert"),
        query_length=8,
        passage_length=12,
      ),
      mesh=mesh,
      models=models,
      stages=stages,
    ),
    Processes(folder / "work"),
  )
  main.check(made)
  plans = curriculum.plan(main.build(made), made.processes)
  record = {"config": strict.plain(made.config), "dataset": "set"}
  curriculum.run(plans, made.processes, (), record)
  return made


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
  """Stages with widths."""
  models = {"student": MODEL, "teacher": MODEL}
  return done(tmp_path_factory.mktemp("widths"), STAGES, models, config.Mesh())


@pytest.fixture(scope="module")
def narrow(tmp_path_factory) -> Run:
  """LEAD from a wider teacher, over devices, micro-batches and chunks."""
  teacher = dataclasses.replace(MODEL, width=16, depth=2)
  return done(
    tmp_path_factory.mktemp("narrow"),
    {"start": STAGES["start"], "lead": LEAD},
    {"student": dataclasses.replace(MODEL, depth=2), "teacher": teacher},
    config.Mesh(data=2, fsdp=2, tensor=2),
  )


@pytest.mark.parametrize(
  "name", [pytest.param("alone", marks=pytest.mark.long), "bi_logit"]
)
def test_a_resumed_stage_is_the_uninterrupted_one(run, name, monkeypatch):
  resumed_is_uninterrupted(run, name, monkeypatch)


@pytest.mark.long
def test_leads_matrices_are_resumed_and_not_kept(narrow, monkeypatch):
  again = resumed_is_uninterrupted(narrow, "lead", monkeypatch)
  found, wanted = (
    hf.load_params(folder / train.TEACHER)
    for folder in (again, narrow.folder("lead"))
  )
  assert found.keys() == narrow.first_params("teacher", seed=0).keys()
  jax.tree.map(np.testing.assert_array_equal, found, wanted)
  job = stages.job_of(narrow, "lead")
  first = train.step_of(job)[1](train.first_trees(job)[0])
  placed = sharding.place(first, sharding.shardings(first, narrow.mesh))
  with contextlib.closing(
    Checkpoints(again / "checkpoints", strict.plain(LEAD))
  ) as saved:
    step, state = saved.newest(placed)
  assert step == 1
  before, after = (
    jax.tree.leaves(x.params["projection"]) for x in (first, state)
  )
  assert [x.shape for x in after] == [(8, 16)] * 2
  for matrix, trained in zip(before, after, strict=True):
    assert np.abs(trained - matrix).max() > 1e-3


def resumed_is_uninterrupted(run, name, monkeypatch):
  """Asserts it of the student, and returns the folder of the resumed stage."""
  again = run.workdir / f"again-{name}"
  again.mkdir()
  job = dataclasses.replace(stages.job_of(run, name), folder=again)

  def one_batch(*args):
    yield next(whole(*args))
    raise KeyboardInterrupt

  whole = train.batches
  with monkeypatch.context() as patched:
    patched.setattr(train, "batches", one_batch)
    with pytest.raises(KeyboardInterrupt):
      train.run(job)
  assert train.run(job)["resumed_from"] == 1
  found, wanted = (
    hf.load_params(path / PARAMS) for path in (again, run.folder(name))
  )
  # The student, without what was beside it.
  assert found.keys() == run.first_params("student", seed=0).keys()
  jax.tree.map(np.testing.assert_array_equal, found, wanted)
  return again


@pytest.mark.parametrize("name", ["alone", "bi_logit"])
def test_a_loss_of_each_width_is_logged(run, name):
  log = (run.folder(name) / "metrics.jsonl").read_text().splitlines()
  last = json.loads(log[-1])
  assert last["step"] == 2
  assert last["loss"] == pytest.approx(last["loss@8"] + last["loss@4"])


def test_widths_are_measured_and_told_of(run):
  rows = json.loads((run.workdir / "results.json").read_text())
  at = {row.get("width"): row for row in rows if row["metric"] == "mrr@10"}
  assert at.keys() == {None, 4, 2}
  values = {width: f"{row['value']:.3f}" for width, row in at.items()}
  line = (
    f"vectors cut: bi_logit has MRR@10 {values[None]} with all coordinates, "
    f"{values[4]} at 4, {values[2]} at 2"
  )
  assert line in report.table(run.workdir).splitlines()
  assert f"- {line}\n" in report.write_results_markdown([run.workdir])
