"""prod_jax's training as the benchmarks use it: the loader and the loop."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks import ours, texts
from benchmarks.side import seconds_of
from prod_jax import sharding
from prod_jax.batches import loader
from prod_jax.retrieval import encode
from prod_jax.stages import examples, train
from prod_jax.stages.run import Job, Run
from prod_jax.train import loop
from prod_jax.train.checkpoint import Checkpoints
from prod_jax.train.optim import learning_rates
from prod_jax.train.step import compile_step
from prod_jax.train.writer import MetricsWriter


def job_of(run: Run, cache: pathlib.Path) -> Job:
  """The student's, on the lists and scores that were prepared."""
  return ours.job_of(
    run,
    "student",
    run.workdir / "student",
    candidates=cache / "lists",
    scores=cache / "scores",
  )


def examples_of(job: Job, first: int = 0, last: int | None = None) -> Any:
  """All that batches of the student are made of, of these lists only."""
  found = examples.examples(job, learns_unlabelled=True)
  return dataclasses.replace(found, rows=found.rows[first:last])


def queries_of(run: Run, batches: Sequence[Any]) -> list[str]:
  """Ids of the queries of batches, in their order."""
  queries = run.dataset.queries["train"]
  rows = np.concatenate([batch.query_id_B for batch in batches])
  return [queries[row].id for row in rows.tolist()]


def batches_of(job: Job, learnt_from: Any) -> Iterator[Any]:
  """The student's own endless row of batches."""
  return loader.batches(
    learnt_from,
    batch_size=job.stage.batch_size,
    seed=texts.SEED,
    local_rows=sharding.batch_rows(job.run.mesh, job.stage.batch_size),
    grouping=examples.grouping(job),
    steps=job.stage.steps,
  )


class Student:
  """A distillation stage, step by step: `fit` goes on where it stopped."""

  def __init__(self, job: Job):
    self._job = job
    step, first_state = train.step_of(job)
    params = job.run.first_params("dual", 0)
    self._compiled, self._state = compile_step(
      step, first_state(params), {}, job.run.mesh
    )
    self._rates = learning_rates(job.stage)
    self._done = 0

  def fit(self, batches: Iterator[Any], steps: int) -> None:
    """Some more steps of the loop, and waits for them."""
    job, stage = self._job, self._job.stage
    job.folder.mkdir(exist_ok=True)
    schedule = loop.Schedule(
      name=job.name,
      first=self._done,
      steps=self._done + steps,
      batch_size=stage.batch_size,
      log_every=stage.log_every,
      checkpoint_every=stage.checkpoint_every,
      learning_rates=self._rates,
    )
    checkpoints = Checkpoints(job.folder / "checkpoints", {})
    writer = MetricsWriter(job.folder, job.run.processes)
    with contextlib.closing(checkpoints), contextlib.closing(writer):
      self._state, _ = loop.fit(
        self._compiled,
        self._state,
        batches,
        schedule,
        checkpoints,
        writer,
        job.run.processes,
      )
      jax.block_until_ready(self._state)
    self._done = schedule.steps

  def last_metrics(self) -> dict[str, float]:
    """What the last step wrote."""
    path = self._job.folder / "metrics.jsonl"
    return json.loads(path.read_text().splitlines()[-1])


def tokens_in(batch: Any) -> tuple[int, int]:
  """Tokens of texts in a batch of training, and places of its rows."""
  parts = [batch.query, batch.passage]
  texts_in = sum(int(part.length_GRS.sum()) for part in parts)
  return texts_in, sum(part.ids.size for part in parts)


def forward_seconds(run: Run, batch: Any) -> float:
  """Seconds of a forward pass over the passages of a training batch."""
  model, params = run.model("dual"), run.first_params("dual", 0)

  def forward() -> None:
    made = encode.embed_texts(model, params, batch.passage, "passage")
    jax.block_until_ready(made)

  forward()
  return min(seconds_of(forward) for _ in range(2))
