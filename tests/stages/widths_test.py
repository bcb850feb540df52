"""Stages that look at the first coordinates of vectors."""

import dataclasses

import numpy as np
import pytest

from prod_jax import config, kinds, model_kinds, strict
from prod_jax.models import LateInteraction
from prod_jax.processes import Processes
from prod_jax.retrieval import encode
from prod_jax.stages import evaluate, train
from prod_jax.stages import widths as stage_widths
from prod_jax.stages.run import Job, Run
from tests.sets import published

SHAPE = dict(width=16, depth=1, heads=2, mlp_width=16, vocab_size=50)
TRAIN = kinds.Train(
  kind="train",
  model="student",
  method="contrastive",
  steps=1,
  batch_size=8,
  learning_rate=0.1,
)
MEASURE = kinds.Evaluate(
  kind="evaluate",
  encoded="vectors",
  relevance="answers",
  indexes=("exact",),
  metrics=("hit@1", "hit@3"),
  widths=(8, 3),
)


@pytest.fixture(params=["dot", "cosine"])
def run(tmp_path, request) -> Run:
  (tmp_path / "nq").mkdir()
  published.nq(tmp_path / "nq")
  return Run(
    config.Config(
      seed=0,
      data=config.Data(name="nq", path=str(tmp_path / "nq")),
      mesh=config.Mesh(),
      models={
        "student": model_kinds.Dual(
          kind="dual", similarity=request.param, **SHAPE
        ),
      },
      stages={
        "student": TRAIN,
        "vectors": kinds.Encode(kind="encode", params="student"),
      },
    ),
    Processes(tmp_path),
  )


def test_a_width_is_measured_as_cut_vectors_are(run, tmp_path):
  rng = np.random.default_rng(0)
  query, passage = (
    rng.normal(size=(rows, 16)).astype(np.float32) for rows in (2, 6)
  )
  cosine = run.model("student").similarity == "cosine"
  if cosine:
    query, passage = (
      x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, passage)
    )
  query *= 20.0
  folder = tmp_path / "vectors"
  encode.encode_passages(
    folder / "passages",
    lambda start, stop, pieces: passage[start:stop],
    6,
    4,
    processes=Processes(tmp_path),
    name="x",
  )
  np.save(folder / "queries-test.npy", query)
  out = tmp_path / "out"
  out.mkdir()
  job = Job(run, "measured", MEASURE, {"encoded": folder}, out)
  evaluate.check(job)
  found = evaluate.run(job)["results"]
  rows = [(row["width"], row["metric"]) for row in found]
  assert rows == [(w, m) for w in (None, 8, 3) for m in ("hit@1", "hit@3")]
  for width, name in ((16, "run"), (8, "run.width-8"), (3, "run.width-3")):
    a, b = query[:, :width], passage[:, :width]
    if cosine:
      a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
      a = 20.0 * a
    wanted = -np.sort(-(a @ b.T), axis=1)
    lines = (out / f"{name}.trec").read_text().splitlines()
    scores = np.array([float(line.split()[4]) for line in lines])
    np.testing.assert_allclose(scores.reshape(2, 6), wanted, rtol=1e-5)


@pytest.mark.parametrize(
  ("widths", "message"),
  [
    ((17, 8), r"falls from at most 16"),
    ((8, 8), r"falls from"),
    ((4, 8), r"falls from"),
  ],
)
def test_widths_fall_and_are_of_the_vector(run, widths, message):
  measure = dataclasses.replace(MEASURE, widths=widths)
  learn = dataclasses.replace(TRAIN, widths=widths)
  for kind, stage in ((evaluate, measure), (train, learn)):
    with pytest.raises(strict.ConfigError, match=rf"one\.widths.*{message}"):
      kind.check(Job(run, "one", stage, {}, run.workdir))


def test_vectors_of_tokens_are_not_cut(run):
  late = dataclasses.replace(TRAIN, model="late", widths=(8,))
  transformer = run.model("student").transformer
  model = LateInteraction(transformer, tied=True)
  with pytest.raises(strict.ConfigError, match="of kind dual"):
    stage_widths.check(Job(run, "one", late, {}, run.workdir), model)
