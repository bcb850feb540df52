"""The hundred passages nearest to each query, among those of corpus.py.

Building an index is not part of it and is reported beside it; ScaNN's recall
is measured against exact search.
"""

import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import corpus, operators, side

QUERIES, NEIGHBOURS = 1024, 100
LEAST_SECONDS = 3.0  # that searches are repeated for


def exact(cache: pathlib.Path) -> dict[str, Any]:
  """`ExactIndex`: XLA, in blocks of rows."""
  from benchmarks import ours as prod

  passages, queries = _vectors(cache)
  index = prod.index("exact", passages)

  def search():
    return index.search(queries, NEIGHBOURS)

  return {
    **_searched(search, 0.0),
    "flops_a_query": 2 * passages.size,
    "multiplied_in": prod.multiplied_in(),
    "operators": lambda: operators.xla(search),
  }


def faiss_flat(cache: pathlib.Path) -> dict[str, Any]:
  """`IndexFlatIP`."""
  import faiss

  faiss.omp_set_num_threads(side.THREADS)
  passages, queries = _vectors(cache)
  index = faiss.IndexFlatIP(passages.shape[1])
  built = side.seconds_of(lambda: index.add(passages))
  return _searched(lambda: index.search(queries, NEIGHBOURS)[::-1], built)


def scann(cache: pathlib.Path) -> dict[str, Any]:
  """`ScannIndex` with the settings of a run, and its recall."""
  from benchmarks import ours as prod

  passages, queries = _vectors(cache)
  made = []
  built = side.seconds_of(lambda: made.append(prod.index("scann", passages)))
  index = made[0]
  measured = _searched(lambda: index.search(queries, NEIGHBOURS), built)
  truth, _ = prod.index("exact", passages).search(queries, NEIGHBOURS)
  found, _ = index.search(queries, NEIGHBOURS)
  recall = prod.recall(truth, found)
  return {**measured, "kind": index.kind, "recall": recall, "proof": None}


def _vectors(cache: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
  passages, queries = (
    np.load(corpus.vectors(cache, of), allow_pickle=False)
    for of in ("passages", "queries")
  )
  return passages, queries[:QUERIES]


def _searched(
  search: Callable[[], tuple[np.ndarray, np.ndarray]], built: float
) -> dict[str, Any]:
  """Searches once for the clock of the compiler, then for some seconds."""
  _, scores = search()
  times, began = [], time.perf_counter()
  while time.perf_counter() - began < LEAST_SECONDS or len(times) < 3:
    times.append(side.seconds_of(search))
  seconds = float(np.median(times))
  return {
    "seconds": seconds,
    "rate": QUERIES / seconds,
    "built_seconds": built,
    "proof": scores,
  }


SIDES = {"exact": exact, "faiss": faiss_flat, "scann": scann}

if __name__ == "__main__":
  side.main("search", SIDES)
