"""Pairs scored by a cross-encoder, from strings to logits.

The head reads the first token of the last layer. BERT's pooler, a dense layer
with tanh in between, is taken out of the peer: prod_jax has none.
"""

import pathlib
import shutil
from typing import Any

from benchmarks import operators, side, texts

QUERIES, CANDIDATES = 56, 8


def ours(cache: pathlib.Path) -> dict[str, Any]:
  """Token stores, and the score stage's function."""
  from benchmarks import ours as prod

  base = side.memory("VmRSS")
  inputs = prod.shared(cache)
  pairs = texts.read(cache / "texts").pairs(QUERIES, CANDIDATES)
  copies = prod.cross_params(cache, inputs)
  folder = cache / "run-texts" / "rerank"
  clock = side.Clock()
  store_of = clock.timed("tokenise", prod.store_of)

  def run():
    shutil.rmtree(folder, ignore_errors=True)
    stores = tuple(
      store_of(inputs, column, folder / str(i))
      for i, column in enumerate(zip(*pairs, strict=True))
    )
    return prod.score(inputs, copies, stores, len(pairs))

  seen = []
  with prod.counting(seen):
    first = side.seconds_of(run)
  clock.reset()
  scores = []
  seconds = side.seconds_of(lambda: scores.append(run()))
  return {
    "seconds": seconds,
    "rate": len(pairs) / seconds,
    "base_mib": base,
    "first_seconds": first,
    **side.padding(seen),
    "profile": clock.shares(seconds),
    "operators": lambda: operators.xla(run),
    "proof": scores[0],
  }


def peer(cache: pathlib.Path) -> dict[str, Any]:
  """`predict` with the fastest of some batch sizes."""
  from benchmarks import peer as st

  base = side.memory("VmRSS")
  model = st.cross(cache / "cross")
  pairs = texts.read(cache / "texts").pairs(QUERIES, CANDIDATES)

  def run(some, size):
    return model.predict(some, batch_size=size, show_progress_bar=False)

  size, rates = st.fastest(run, pairs, cache / "rerank-batch-sizes.json")
  seen = []
  st.count(model, seen)
  clock = side.Clock()
  model.preprocess = clock.timed("tokenise", model.preprocess)
  scores = []
  seconds = side.seconds_of(lambda: scores.append(run(pairs, size)))
  return {
    "seconds": seconds,
    "rate": len(pairs) / seconds,
    "base_mib": base,
    "batch_size": size,
    "rates": rates,
    **side.padding(seen),
    "profile": clock.shares(seconds),
    "operators": lambda: operators.torch(lambda: run(pairs, size)),
    "proof": scores[0],
  }


SIDES = {"ours": ours, "peer": peer}

if __name__ == "__main__":
  side.main("rerank", SIDES)
