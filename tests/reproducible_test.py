"""The same seed on the same machine gives the same digits; another does not."""

import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from prod_jax import curriculum, main, strict
from prod_jax.config import Config, Mesh
from prod_jax.processes import Processes
from prod_jax.stages.run import Run
from tests.batches.special_test import NAMES, bert, save
from tests.main_test import write_uneven_folder

SHAPE = dict(width=8, depth=1, heads=2, mlp_width=16, dropout=0.1)
LEARNS = dict(kind="train", steps=2, batch_size=8, learning_rate=1e-2)
LISTS = dict(candidates="mine", negatives=2)
STAGES = dict(
  warm=LEARNS | dict(model="student", method="contrastive"),
  encode_warm=dict(kind="encode", params="warm", splits=("train", "test")),
  mine=dict(kind="mine", encoded="encode_warm", depth=6),
  teacher=LEARNS | LISTS | dict(model="teacher", method="ranking"),
  score=dict(kind="score", params="teacher", candidates="mine"),
  distil=LEARNS
  | LISTS
  | dict(
    model="student",
    method="prod",
    init="warm",
    scores="score",
    settings=dict(in_batch=False, temperature=1.0, hard=0.5, soft=0.5),
  ),
  encode=dict(kind="encode", params="distil", splits=("test",)),
  evaluate=dict(kind="evaluate", encoded="encode", indexes=("exact", "scann")),
)
SUFFIXES = (".safetensors", ".npy", ".trec")


def go(workdir: pathlib.Path, seed: int, only: tuple[str, ...] = ()) -> Run:
  """A curriculum of eight stages, from its data to its figures."""
  folder = workdir.parent
  if not (folder / "set").is_dir():
    write_uneven_folder(folder / "set")
    save(folder / "words", bert(), **NAMES["bert"])
  config = dict(
    seed=seed,
    data=dict(
      name="folder",
      path=str(folder / "set"),
      tokenizer=str(folder / "words"),
      query_length=12,
      passage_length=16,
    ),
    mesh={},
    models=dict(
      student=dict(kind="dual", **SHAPE), teacher=dict(kind="cross", **SHAPE)
    ),
    stages=STAGES,
  )
  run = Run(strict.section(Config, config, "config"), Processes(workdir))
  plans = curriculum.plan(main.build(run), run.processes)
  record = {"config": strict.plain(run.config)}
  curriculum.run(plans, run.processes, only, record, main.origin_of(run))
  return run


def left(run: Run) -> dict[str, bytes]:
  """All arrays and rankings of its stages, and its figures."""
  found = [
    path
    for name in STAGES
    for path in sorted(run.folder(name).rglob("*"))
    if path.suffix in SUFFIXES
  ]
  found.append(run.workdir / "results.json")
  return {str(p.relative_to(run.workdir)): p.read_bytes() for p in found}


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Run:
  return go(tmp_path_factory.mktemp("reproducible") / "first", seed=1)


def test_the_same_seed_gives_the_same_bits(first):
  again = go(first.workdir.parent / "again", seed=1)
  one, two = left(first), left(again)
  assert (
    one.keys()
    == two.keys()
    >= {
      "00-warm/params.safetensors",
      "02-mine/candidates/ids.npy",
      "02-mine/candidates/score.npy",
      "03-teacher/params.safetensors",
      "04-score/scores.npy",
      "05-distil/params.safetensors",
      "07-evaluate/run.trec",
      "results.json",
    }
  )
  assert [name for name in one if one[name] != two[name]] == []


def test_another_seed_gives_other_parameters(first):
  other = go(first.workdir.parent / "other", seed=2, only=("warm",))
  one, two = (
    jax.tree.leaves(run.trained_params(run.folder("warm")))
    for run in (first, other)
  )
  same = [np.array_equal(x, y) for x, y in zip(one, two, strict=True)]
  assert not any(same)


def test_a_row_has_all_that_it_takes_to_make_it_again(first):
  rows = json.loads((first.workdir / "results.json").read_text())
  said = main.origin_of(first)
  assert said.keys() == {
    *("seed", "config_hash", "data_fingerprint"),
    *("commit", "versions", "processor", "devices"),
  }
  for row in rows:
    assert row.keys() >= {"stage_hash", "index", "index_recall", "queries"}
    assert said.items() <= row.items()


def test_a_run_that_lies_elsewhere_has_the_same_origin(first, tmp_path):
  there = shutil.copytree(first.workdir.parent, tmp_path / "there")
  data = dataclasses.replace(
    first.config.data, path=str(there / "set"), tokenizer=str(there / "words")
  )
  said = main.origin_of(first)

  def moved(**changes) -> dict:
    config = dataclasses.replace(first.config, data=data, **changes)
    return main.origin_of(Run(config, Processes(there / "first")))

  assert moved() == said
  assert moved(mesh=Mesh(fsdp=2))["config_hash"] != said["config_hash"]
