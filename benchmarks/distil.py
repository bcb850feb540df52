"""Distillation steps: listwise KL from cached scores, real text.

Eight queries a step with eight candidates each; AdamW, the gradient clipped at
norm 1, no dropout (so that both sides can be held against each other). Batches
are those that prod_jax draws from all lists, and the peer takes the same. Input
is part of it: prod_jax assembles batches of tokens that its run made before,
the peer's collator tokenises in each step.
"""

import json
import pathlib
import time
from typing import Any

from benchmarks import operators, side, texts

BATCH, CANDIDATES = 8, 8
WARMUP, STEPS = 1, 4
DRAWN = "distil-queries.json"


def ours(cache: pathlib.Path) -> dict[str, Any]:
  """Steps of the stage's own loop."""
  from benchmarks import ours as prod
  from benchmarks import ours_train as training

  base = side.memory("VmRSS")
  run = prod.run_of(cache, batch=BATCH, candidates=CANDIDATES)
  job = training.job_of(run, cache)
  student = training.Student(job)

  def batches(lists=None):
    return training.batches_of(job, training.examples_of(job, 0, lists))

  first = side.seconds_of(lambda: student.fit(batches(BATCH), 1))
  metrics = student.last_metrics()
  student = training.Student(job)
  clock = side.Clock()
  drawn = []

  def recorded(batches):
    for batch in batches:
      drawn.append(batch)
      yield batch

  lists = recorded(clock.items("input", batches()))
  student.fit(lists, WARMUP)
  clock.reset()
  seconds = side.seconds_of(lambda: student.fit(lists, STEPS))
  names = training.queries_of(run, drawn)
  (cache / DRAWN).write_text(json.dumps(names))
  seen = [training.tokens_in(batch) for batch in drawn[WARMUP:]]
  forward = training.forward_seconds(run, drawn[0])
  return {
    **_measured(seconds, seen, clock),
    "base_mib": base,
    "first_step_seconds": first,
    "forward_share": forward * STEPS / seconds,
    "operators": lambda: operators.xla(lambda: student.fit(lists, 1)),
    "proof": [metrics["loss"], metrics["grad_norm"]],
  }


def peer(cache: pathlib.Path) -> dict[str, Any]:
  """Steps of SentenceTransformerTrainer with DistillKLDivLoss."""
  from datasets import Dataset

  from benchmarks import peer as st

  base = side.memory("VmRSS")
  read = texts.read(cache / "texts")
  names = json.loads((cache / DRAWN).read_text())
  dataset = Dataset.from_dict(columns(read, names))
  first = Dataset.from_dict(columns(read, list(read.lists)[:BATCH]))
  model = st.dual()
  loss = st.distillation(model)
  trainer = st.trainer(
    model, loss, dataset, cache / "peer", batch=BATCH, steps=WARMUP + STEPS
  )
  rows = list(first)
  computed = _first_step(trainer, loss, rows)
  clock = side.Clock()
  seen, began = [], []

  def begin() -> None:
    clock.reset()
    seen.clear()
    began.append(time.perf_counter())

  st.count(model, seen)
  collator = trainer.data_collator
  collator.preprocess_fn = clock.timed("input", collator.preprocess_fn)
  loss.forward = clock.timed("forward", loss.forward)
  trainer.accelerator.backward = clock.timed(
    "backward", trainer.accelerator.backward
  )
  trainer.add_callback(st.Marks(WARMUP, begin))
  trainer.train()
  seconds = time.perf_counter() - began[0]
  return {
    **_measured(seconds, seen, clock),
    "base_mib": base,
    "operators": lambda: operators.torch(lambda: st.one_step(trainer, rows)),
    "proof": computed,
  }


def columns(read: texts.Texts, names: list[str]) -> dict[str, list]:
  """The lists of some queries, as the peer takes them."""
  lists = [read.lists[name] for name in names]
  columns = {
    f"passage_{i}": [read.passages[ids[i]] for ids, _ in lists]
    for i in range(CANDIDATES)
  }
  scores = [scores[:CANDIDATES] for _, scores in lists]
  queries = [read.queries[name] for name in names]
  return {"query": queries, **columns, "label": scores}


def _measured(
  seconds: float, seen: list[tuple[int, int]], clock: side.Clock
) -> dict[str, Any]:
  """What both sides report of their steps."""
  counted = side.padding(seen)
  return {
    "seconds": seconds,
    "rate": BATCH * STEPS / seconds,
    "tokens_a_second": counted["tokens"] / seconds,
    "profile": clock.shares(seconds),
    **counted,
  }


def _first_step(trainer, loss, rows: list[dict]) -> list[float]:
  """Loss and norm of the gradient of the first lists."""
  import torch

  inputs = trainer.data_collator(rows)
  features, labels = trainer.collect_features(inputs)
  value = loss(features, labels)
  value.backward()
  grads = [p.grad for p in loss.parameters() if p.grad is not None]
  norm = torch.nn.utils.get_total_norm(grads)
  loss.zero_grad()
  return [value.item(), norm.item()]


SIDES = {"ours": ours, "peer": peer}

if __name__ == "__main__":
  side.main("distil", SIDES)
