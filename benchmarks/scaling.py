"""Whether cost is linear: steps of larger batches, encoding of more texts."""

import pathlib
import resource
import shutil
from typing import Any

import numpy as np

from benchmarks import side, texts

BATCHES = (2, 4, 8, 16)  # queries, of as many candidates each
CANDIDATES = 8
TIMES = 3  # steps of the largest batch
CORPORA = {40: 5, 400: 2, 4000: 1}  # passages, and how often they are encoded


def step(cache: pathlib.Path) -> dict[str, Any]:
  """Seconds of a distillation step at 1, 2, 4 and 8 times the batch.

  And what of them, in seconds of a core, the kernel takes: it clears memory.
  """
  from benchmarks import ours as prod
  from benchmarks import ours_train as training

  seconds, kernel = {}, {}
  for batch in BATCHES:
    run = prod.run_of(cache, batch=batch, candidates=CANDIDATES)
    job = training.job_of(run, cache)
    student = training.Student(job)
    batches = training.batches_of(job, training.examples_of(job))
    student.fit(batches, 1)
    before = _kernel()
    steps = [
      side.seconds_of(lambda x=student, b=batches: x.fit(b, 1))
      for _ in range(TIMES * BATCHES[-1] // batch)
    ]
    seconds[batch] = float(np.median(steps))
    kernel[batch] = (_kernel() - before) / len(steps)
  return {**against_linear(seconds), "kernel": kernel}


def encode(cache: pathlib.Path) -> dict[str, Any]:
  """Seconds to encode 1, 10 and 100 times as many passages."""
  from benchmarks import ours as prod

  run = prod.run_of(cache)
  found = texts.read(cache / "texts").sample(max(CORPORA))
  folder = run.workdir / "scaling"
  frozen = prod.dual(run)

  def encode_some(number: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    store = prod.store_of(run, found[:number], folder / "store")
    prod.embedder(frozen, store)()

  seconds = {}
  for number, times in CORPORA.items():
    if number < max(CORPORA):
      encode_some(number)
    seconds[number] = float(
      np.median(
        [side.seconds_of(lambda n=number: encode_some(n)) for _ in range(times)]
      )
    )
  return against_linear(seconds)


def against_linear(seconds: dict[int, float]) -> dict[str, Any]:
  """Seconds of each size, and those of the line through the first one."""
  first, *larger = seconds
  found = {"seconds": sum(seconds.values()), "sizes": seconds}
  for size in larger:
    times = size // first
    found[f"seconds_{times}"] = seconds[size]
    found[f"linear_{times}"] = seconds[first] * times
  return found


def _kernel() -> float:
  """Seconds that the kernel has worked for this process, on any core."""
  return resource.getrusage(resource.RUSAGE_SELF).ru_stime


SIDES = {"step": step, "encode": encode}

if __name__ == "__main__":
  side.main("scaling", SIDES)
