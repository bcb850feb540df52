"""Pairs scored by a cross-encoder, from strings to logits.

The head reads the first token of the last layer. BERT's pooler, a dense layer
with tanh in between, is taken out of the peer: prod_jax has none.
"""

import pathlib
import shutil
from typing import Any

from benchmarks import operators, side, texts

QUERIES, CANDIDATES = 56, 8
SIZES = "batch-sizes-rerank.json"  # what `tune` leaves


def ours(cache: pathlib.Path) -> dict[str, Any]:
  """Token stores, and the score stage's function."""
  from benchmarks import ours as prod

  base = side.memory("VmRSS")
  run = prod.run_of(cache)
  pairs = _pairs(cache)
  frozen = prod.cross(run, cache)
  folder = cache / "run-texts" / "rerank"
  clock = side.Clock()
  store_of = clock.timed("tokenise", prod.store_of)

  def score():
    shutil.rmtree(folder, ignore_errors=True)
    stores = tuple(
      store_of(run, column, folder / str(i))
      for i, column in enumerate(zip(*pairs, strict=True))
    )
    return prod.score(frozen, stores, len(pairs))

  seen = []
  with prod.counting(seen):
    first = side.seconds_of(score)
  clock.reset()
  scores = []
  seconds = side.seconds_of(lambda: scores.append(score()))
  return {
    "seconds": seconds,
    "rate": len(pairs) / seconds,
    "base_mib": base,
    "first_seconds": first,
    **side.padding(seen),
    "profile": clock.shares(seconds),
    "operators": lambda: operators.xla(score),
    "proof": scores[0],
  }


def tune(cache: pathlib.Path) -> dict[str, Any]:
  """The peer with batches of some sizes."""
  from benchmarks import peer as st

  score = st.scorer(st.cross(cache / "cross"))
  return st.tune(score, _pairs(cache), cache / SIZES)


def peer(cache: pathlib.Path) -> dict[str, Any]:
  """`predict` with the fastest of some batch sizes."""
  from benchmarks import peer as st

  base = side.memory("VmRSS")
  model = st.cross(cache / "cross")
  score, pairs = st.scorer(model), _pairs(cache)
  size, rates = st.fastest(cache / SIZES)
  score(pairs, size)
  seen = []
  st.count(model, seen)
  clock = side.Clock()
  model.preprocess = clock.timed("tokenise", model.preprocess)
  scores = []
  seconds = side.seconds_of(lambda: scores.append(score(pairs, size)))
  return {
    "seconds": seconds,
    "rate": len(pairs) / seconds,
    "base_mib": base,
    "batch_size": size,
    "rates": rates,
    **side.padding(seen),
    "profile": clock.shares(seconds),
    "operators": lambda: operators.torch(lambda: score(pairs, size)),
    "proof": scores[0],
  }


def _pairs(cache: pathlib.Path) -> list[tuple[str, str]]:
  return texts.read(cache / "texts").pairs(QUERIES, CANDIDATES)


SIDES = {"ours": ours, "peer": peer, "tune": tune}

if __name__ == "__main__":
  side.main("rerank", SIDES)
