"""Distillation steps: listwise KL from cached scores, real text.

Eight queries a step with eight candidates each; AdamW, the gradient clipped at
norm 1, no dropout (so that both sides can be held against each other). Input
is part of it: prod_jax assembles batches of tokens that its run made before,
the peer's collator tokenises in each step.
"""

import pathlib
import time
from typing import Any

import numpy as np

from benchmarks import side, texts

BATCH, CANDIDATES = 8, 8
WARMUP, STEPS = 1, 4
FLOATS = ("loss", "grad_norm")


def ours(cache: pathlib.Path) -> dict[str, Any]:
  """Steps of the stage's own loop."""
  from benchmarks import ours as prod

  base = side.memory("VmRSS")
  inputs = prod.shared(cache, batch=BATCH, candidates=CANDIDATES)
  student = prod.Student(inputs, cache)
  first = side.seconds_of(
    lambda: student.fit(student.batches(student.examples(BATCH)), 1)
  )
  metrics = student.last_metrics()
  student = prod.Student(inputs, cache)
  clock = side.Clock()
  seen = []

  def recorded(batches):
    for batch in batches:
      seen.append(prod.tokens_in(batch))
      yield batch

  learnt_from = student.examples(BATCH * (WARMUP + STEPS))
  batches = clock.items("input", student.batches(learnt_from))
  batches = recorded(batches)
  student.fit(batches, WARMUP)
  clock.reset()
  seen.clear()
  seconds = side.seconds_of(lambda: student.fit(batches, STEPS))
  real, places = np.sum(seen, axis=0).tolist()
  return {
    "seconds": seconds,
    "rate": BATCH * STEPS / seconds,
    "base_mib": base,
    "first_step_seconds": first,
    "tokens": real,
    "padding": 1 - real / places,
    "profile": clock.shares(seconds),
    "proof": [metrics[name] for name in FLOATS],
  }


def peer(cache: pathlib.Path) -> dict[str, Any]:
  """Steps of SentenceTransformerTrainer with DistillKLDivLoss."""
  from datasets import Dataset

  from benchmarks import peer as st

  base = side.memory("VmRSS")
  read = texts.read(cache)
  names = list(read.lists)[: BATCH * (WARMUP + STEPS)]
  columns = {"query": [read.queries[name] for name in names]}
  for i in range(CANDIDATES):
    columns[f"passage_{i}"] = [
      read.passages[read.lists[name][0][i]] for name in names
    ]
  columns["label"] = [read.lists[name][1][:CANDIDATES] for name in names]
  dataset = Dataset.from_dict(columns)
  model = st.dual()
  loss = st.distillation(model, 20.0)
  trainer = st.trainer(
    model,
    loss,
    dataset,
    cache / "peer",
    batch=BATCH,
    steps=WARMUP + STEPS,
    rate=2e-5,
    decay=0.01,
    clip=1.0,
  )
  computed = _first_step(trainer, loss, [dataset[i] for i in range(BATCH)])
  clock = side.Clock()
  seen, began = [], []

  def begin() -> None:
    clock.reset()
    seen.clear()
    began.append(time.perf_counter())

  def count(module, args):
    mask = args[0]["attention_mask"]
    seen.append((int(mask.sum()), mask.numel()))

  model[0].register_forward_pre_hook(count)
  collator = trainer.data_collator
  collator.preprocess_fn = clock.timed("input", collator.preprocess_fn)
  loss.forward = clock.timed("forward", loss.forward)
  trainer.accelerator.backward = clock.timed(
    "backward", trainer.accelerator.backward
  )
  trainer.add_callback(st.Marks(WARMUP, begin))
  trainer.train()
  seconds = time.perf_counter() - began[0]
  real, places = np.sum(seen, axis=0).tolist()
  return {
    "seconds": seconds,
    "rate": BATCH * STEPS / seconds,
    "base_mib": base,
    "tokens": real,
    "padding": 1 - real / places,
    "profile": clock.shares(seconds),
    "proof": computed,
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
  return [float(value), float(norm)]


SIDES = {"ours": ours, "peer": peer}

if __name__ == "__main__":
  side.main("distil", SIDES)
