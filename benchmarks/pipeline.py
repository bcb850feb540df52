"""What makes batches, alone: tokens a second of one core.

The loader of the distillation in distil.py, without a step behind it; and the
tokenizer that fills a run's stores before.
"""

import itertools
import pathlib
import shutil
import time
from typing import Any

from benchmarks import distil, side, texts

BATCHES = 2000
TEXTS = 2000


def ours(cache: pathlib.Path) -> dict[str, Any]:
  """Batches of the loader, by the time of all its threads."""
  from benchmarks import ours as prod
  from benchmarks import ours_train as training

  run = prod.run_of(cache, batch=distil.BATCH, candidates=distil.CANDIDATES)
  job = training.job_of(run, cache)
  batches = training.batches_of(job, training.examples_of(job))
  next(batches)
  began, cpu = time.perf_counter(), time.process_time()
  # The next ones are made while these are counted.
  made = list(itertools.islice(batches, BATCHES))
  seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
  tokens = sum(training.tokens_in(batch)[0] for batch in made)
  found = texts.read(cache / "texts").sample(TEXTS)
  folder = run.workdir / "pipeline"
  shutil.rmtree(folder, ignore_errors=True)
  stores = []
  began_cpu = time.process_time()
  stores.append(prod.store_of(run, found, folder / "store"))
  tokenised = int(stores[0].lengths().sum())
  return {
    "seconds": seconds,
    "rate": tokens / max(cpu, seconds),
    "tokenised_a_second": tokenised / (time.process_time() - began_cpu),
  }


SIDES = {"ours": ours}

if __name__ == "__main__":
  side.main("pipeline", SIDES)
