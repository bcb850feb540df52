"""prod_jax's training as the benchmarks use it: the loader and the loop."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks import texts
from benchmarks.side import seconds_of
from prod_jax import sharding
from prod_jax.batches import loader
from prod_jax.retrieval import encode
from prod_jax.stages import examples, train
from prod_jax.stages.inputs import Inputs
from prod_jax.train import loop
from prod_jax.train.checkpoint import Checkpoints
from prod_jax.train.step import compile_step
from prod_jax.train.writer import MetricsWriter


def examples_of(
  inputs: Inputs, cache: pathlib.Path, first: int = 0, last: int | None = None
) -> Any:
  """All that batches of the student are made of, of these lists only."""
  read = {"candidates": cache / "lists", "scores": cache / "scores"}
  found = examples.examples(inputs, inputs.config.stages["student"], read)
  return dataclasses.replace(found, rows=found.rows[first:last])


def queries_of(inputs: Inputs, batches: Sequence[Any]) -> list[str]:
  """Ids of the queries of batches, in their order."""
  queries = inputs.dataset.queries["train"]
  rows = np.concatenate([batch.query_id_B for batch in batches])
  return [queries[row].id for row in rows.tolist()]


def batches_of(inputs: Inputs, learnt_from: Any) -> Iterator[Any]:
  """The student's own endless row of batches."""
  stage = inputs.config.stages["student"]
  return loader.batches(
    learnt_from,
    batch_size=stage.batch_size,
    negatives=stage.negatives,
    draw=examples.draw_of("student", stage),
    seed=texts.SEED,
    part=sharding.batch_rows(inputs.mesh, stage.batch_size),
    cut=examples.cut(inputs, stage),
    steps=stage.steps,
  )


class Student:
  """A distillation stage, step by step: `fit` goes on where it stopped."""

  def __init__(self, inputs: Inputs):
    self._inputs = inputs
    self._stage = inputs.config.stages["student"]
    step, first_state = train.step_of(inputs, "student", self._stage)
    params = inputs.first_params("dual", 0)
    self._step, self._state, self._frozen = compile_step(
      step, first_state(params), {}, inputs.mesh
    )
    self._done = 0

  def fit(self, batches: Iterator[Any], steps: int) -> None:
    """Some more steps of the loop, and waits for them."""
    inputs, stage = self._inputs, self._stage
    folder = inputs.workdir / "student"
    folder.mkdir(exist_ok=True)
    first, self._done = self._done, self._done + steps
    monitor = loop.Monitor(
      "student",
      MetricsWriter(folder, inputs.processes),
      first=first,
      steps=self._done,
      batch_size=stage.batch_size,
      log_every=stage.log_every,
      processes=inputs.processes,
    )
    checkpoints = Checkpoints(folder / "checkpoints", {})
    self._state = loop.fit(
      self._step,
      self._state,
      self._frozen,
      batches,
      name="student",
      steps=self._done,
      batch_size=stage.batch_size,
      mesh=inputs.mesh,
      checkpoints=checkpoints,
      checkpoint_every=stage.checkpoint_every,
      monitor=monitor,
      processes=inputs.processes,
      first=first,
    )
    jax.block_until_ready(self._state)
    monitor.close()
    checkpoints.close()

  def last_metrics(self) -> dict[str, float]:
    """What the last step wrote."""
    path = self._inputs.workdir / "student" / "metrics.jsonl"
    return json.loads(path.read_text().splitlines()[-1])


def tokens_in(batch: Any) -> tuple[int, int]:
  """Tokens of texts in a batch of training, and places of its rows."""
  parts = [batch.query, batch.passage]
  texts_in = sum(int(part.length_GRS.sum()) for part in parts)
  return texts_in, sum(part.ids.size for part in parts)


def forward_seconds(inputs: Inputs, batch: Any) -> float:
  """Seconds of a forward pass over the passages of a training batch."""
  params = inputs.first_params("dual", 0)

  def run() -> None:
    model = inputs.model("dual")
    made = encode.embed_texts(model, params, batch.passage, "passage")
    jax.block_until_ready(made)

  run()
  return min(seconds_of(run) for _ in range(2))
