"""The hundred passages nearest to each query, among those of corpus.py.

Building an index is not part of it and is reported beside it. Recall is
measured against exact search. ScaNN is set as a run sets it; faiss's indices
look as far as they have to for the recall that `rows` wants of it, and no
further, which is found beforehand.
"""

import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import corpus, operators, rows, side

QUERIES, NEIGHBOURS = 1024, 100
RECALL = next(row.least[1] for row in rows.ROWS if row.name == "scann")
LISTS_A_ROOT = 4  # of IVF; faiss advises 4 to 16 for each of sqrt(passages)
LINKS, WIDTH = 32, 80  # of HNSW: edges a node, candidates while it is built
FURTHEST = 1024  # lists or candidates that a search looks at
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
  found, _ = index.search(queries, NEIGHBOURS)
  recall = prod.recall(_truth(passages, queries), found)
  return {**measured, "kind": index.kind, "recall": recall, "proof": None}


def faiss_ivf(cache: pathlib.Path) -> dict[str, Any]:
  """`IndexIVFFlat`: vectors in lists, of which a search reads the nearest."""
  import faiss

  passages, queries = _vectors(cache)
  count, size = passages.shape
  index = faiss.IndexIVFFlat(
    faiss.IndexFlatIP(size),
    size,
    int(LISTS_A_ROOT * count**0.5),
    faiss.METRIC_INNER_PRODUCT,
  )

  def look(lists: int) -> None:
    index.nprobe = lists

  return _approximate(index, look, "nprobe", passages, queries)


def faiss_hnsw(cache: pathlib.Path) -> dict[str, Any]:
  """`IndexHNSWFlat`: a graph that a search walks along."""
  import faiss

  passages, queries = _vectors(cache)
  index = faiss.IndexHNSWFlat(
    passages.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT
  )
  index.hnsw.efConstruction = WIDTH

  def look(candidates: int) -> None:
    index.hnsw.efSearch = candidates

  return _approximate(index, look, "efSearch", passages, queries)


def _approximate(
  index: Any,
  look: Callable[[int], None],
  name: str,
  passages: np.ndarray,
  queries: np.ndarray,
) -> dict[str, Any]:
  """Builds an index of faiss and searches it as far as `RECALL` asks for.

  Args:
    index: that is empty.
    look: sets how far it looks; `name` is faiss's word for that.
    passages, queries: float32 [rows, D].

  Raises:
    ValueError: `FURTHEST` is not far enough.
  """
  import faiss

  from benchmarks import ours as prod

  faiss.omp_set_num_threads(side.THREADS)

  def build():
    index.train(passages)
    index.add(passages)

  built = side.seconds_of(build)
  truth = _truth(passages, queries)

  def recall(far: int) -> float:
    look(far)
    return prod.recall(truth, index.search(queries, NEIGHBOURS)[1])

  short, far = 0, FURTHEST  # the one is not enough, and the other is
  if (found := recall(far)) < RECALL:
    raise ValueError(f"{name} {far}: a recall of {found}, not {RECALL}")
  while far - short > 1:
    middle = (short + far) // 2
    short, far = (middle, far) if recall(middle) < RECALL else (short, middle)
  found = recall(far)
  measured = _searched(lambda: index.search(queries, NEIGHBOURS)[::-1], built)
  kind = f"faiss {type(index).__name__}, {name} {far}"
  return {**measured, "kind": kind, "recall": found, "proof": None}


def _truth(passages: np.ndarray, queries: np.ndarray) -> np.ndarray:
  from benchmarks import ours as prod

  return prod.index("exact", passages).search(queries, NEIGHBOURS)[0]


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


SIDES = {
  "exact": exact,
  "faiss": faiss_flat,
  "scann": scann,
  "faiss_ivf": faiss_ivf,
  "faiss_hnsw": faiss_hnsw,
}

if __name__ == "__main__":
  side.main("search", SIDES)
