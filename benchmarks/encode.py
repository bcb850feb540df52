"""A corpus encoded, from strings to a matrix of unit vectors.

Tokenisation is part of it on both sides: prod_jax writes tokens to its store
on disk and reads them back, as a run does; `SentenceTransformer.encode`
tokenises batch by batch. Weights are loaded and all is done once before the
clock runs.
"""

import pathlib
import shutil
from typing import Any

from benchmarks import operators, side, texts

PASSAGES = 448
SIZES = "batch-sizes-encode.json"  # what `tune` leaves


def ours(cache: pathlib.Path) -> dict[str, Any]:
  """A token store, and the encode stage's embedder."""
  from benchmarks import ours as prod

  base = side.memory("VmRSS")
  run = prod.run_of(cache)
  found = _texts(cache)
  folder = cache / "run-texts" / "encode"
  clock = side.Clock()
  store_of = clock.timed("tokenise", prod.store_of)

  frozen = prod.dual(run)

  def encode():
    shutil.rmtree(folder, ignore_errors=True)
    store = store_of(run, found, folder / "store")
    return prod.embedder(frozen, store)()

  seen = []
  with prod.counting(seen):
    first = side.seconds_of(encode)
  clock.reset()
  vectors = []
  seconds = side.seconds_of(lambda: vectors.append(encode()))
  return {
    "seconds": seconds,
    "rate": PASSAGES / seconds,
    "base_mib": base,
    "first_seconds": first,
    **side.padding(seen),
    "profile": clock.shares(seconds),
    "operators": lambda: operators.xla(encode),
    "proof": vectors[0],
  }


def tune(cache: pathlib.Path) -> dict[str, Any]:
  """The peer with batches of some sizes."""
  from benchmarks import peer as st

  encode = st.encoder(st.dual())
  return st.tune(encode, _texts(cache), cache / SIZES)


def peer(cache: pathlib.Path) -> dict[str, Any]:
  """`encode` with the fastest of some batch sizes."""
  from benchmarks import peer as st

  base = side.memory("VmRSS")
  model = st.dual()
  encode, found = st.encoder(model), _texts(cache)
  size, rates = st.fastest(cache / SIZES)
  encode(found, size)
  seen = []
  st.count(model, seen)
  clock = side.Clock()
  model.preprocess = clock.timed("tokenise", model.preprocess)
  vectors = []
  seconds = side.seconds_of(lambda: vectors.append(encode(found, size)))
  return {
    "seconds": seconds,
    "rate": PASSAGES / seconds,
    "base_mib": base,
    "batch_size": size,
    "rates": rates,
    **side.padding(seen),
    "profile": clock.shares(seconds),
    "operators": lambda: operators.torch(lambda: encode(found, size)),
    "proof": vectors[0],
  }


def _texts(cache: pathlib.Path) -> list[str]:
  return texts.read(cache / "texts").sample(PASSAGES)


SIDES = {"ours": ours, "peer": peer, "tune": tune}

if __name__ == "__main__":
  side.main("encode", SIDES)
