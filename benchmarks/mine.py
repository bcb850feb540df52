"""Hard negatives mined: from texts, and from stored embeddings of a corpus.

From texts, both sides begin with strings and loaded weights, tokenise and embed
768 passages and 384 queries, and search; prod_jax leaves its stages' files on
the way, and reads its compiled programs from the cache in that time. The peer
embeds in batches of the size that is fastest in encode.py. From stored
embeddings both read those of corpus.py; the peer is given them in the place of
what it would embed.
"""

import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import corpus, encode, side, texts


def ours(cache: pathlib.Path) -> dict[str, Any]:
  """The encode stage, which tokenises, and the mine stage."""
  from benchmarks import ours as prod

  base = side.memory("VmRSS")
  folder = cache / "run-few"
  shutil.rmtree(folder, ignore_errors=True)
  run = prod.run_of(cache, "few")
  queries = len(run.dataset.queries["train"])
  params = prod.write_params(run)
  clock = side.Clock()
  embed = clock.timed("tokenise and encode", prod.encode_all)
  mine = clock.timed("search and lists", prod.mine)
  found = []

  def embed_and_mine():
    found.append(mine(run, embed(run, params), folder / "mined"))

  seconds = side.seconds_of(embed_and_mine)
  measured = _measured(seconds, queries, base, clock, found[0])
  return {**measured, "weights_mib": prod.size_mib(params)}


def ours_stored(cache: pathlib.Path) -> dict[str, Any]:
  """The mine stage on the shards of an encode stage."""
  from benchmarks import ours as prod

  base = side.memory("VmRSS")
  run = prod.run_of(cache, corpus.NAME, layers=corpus.LAYERS)
  queries = len(run.dataset.positive_rows("train"))
  folder = run.workdir / "mined"
  shutil.rmtree(folder, ignore_errors=True)
  encoded = run.workdir / "encoded"
  clock = side.Clock()
  found = []
  seconds = side.seconds_of(
    lambda: found.append(prod.mine(run, encoded, folder))
  )
  return _measured(seconds, queries, base, clock, found[0])


def peer(cache: pathlib.Path) -> dict[str, Any]:
  """`mine_hard_negatives`, which embeds and searches."""
  from benchmarks import peer as st

  base = side.memory("VmRSS")
  pairs = texts.pairs(cache / "few")
  passages = texts.passages(cache / "few")
  model = st.dual()
  clock = side.Clock()
  model.encode = clock.timed("tokenise and encode", model.encode)
  size, _ = st.fastest(cache / encode.SIZES)
  return _mined(st, model, pairs, passages, base, clock, size)


def peer_stored(cache: pathlib.Path) -> dict[str, Any]:
  """The same, with embeddings at hand."""
  from benchmarks import peer as st

  base = side.memory("VmRSS")
  pairs = texts.pairs(cache / corpus.NAME)
  passages = texts.passages(cache / corpus.NAME)
  model = st.dual()
  model.encode_document = _given(corpus.vectors(cache, "passages"))
  model.encode_query = _given(corpus.vectors(cache, "queries"))
  return _mined(st, model, pairs, passages, base, side.Clock(), st.DEFAULT)


def _given(path: pathlib.Path) -> Callable:
  return lambda *args, **kwargs: np.load(path, allow_pickle=False)


def _mined(
  st: Any,
  model: Any,
  pairs: list[tuple[str, str]],
  passages: list[str],
  base: float,
  clock: side.Clock,
  batch_size: int,
) -> dict[str, Any]:
  """Runs the peer, and finds the rows of the passages that it mined."""
  dataset = st.pairs_of(pairs)
  found = []
  seconds = side.seconds_of(
    lambda: found.append(st.mine(model, dataset, passages, batch_size))
  )
  rows = {text: i for i, text in enumerate(passages)}
  first = {line["query"]: line for line in reversed(list(found[0]))}
  mined = [
    [rows[first[query][f"negative_{i + 1}"]] for i in range(side.NEGATIVES)]
    for query in dict.fromkeys(query for query, _ in pairs)
  ]
  return _measured(seconds, len(mined), base, clock, np.array(mined))


def _measured(
  seconds: float,
  queries: int,
  base: float,
  clock: side.Clock,
  mined: np.ndarray,
) -> dict[str, Any]:
  return {
    "seconds": seconds,
    "rate": queries / seconds,
    "base_mib": base,
    "peak_mib": side.memory("VmHWM"),
    "profile": clock.shares(seconds),
    "proof": mined,
  }


SIDES = {
  "tune": encode.tune,
  "ours": ours,
  "peer": peer,
  "ours_stored": ours_stored,
  "peer_stored": peer_stored,
}

if __name__ == "__main__":
  side.main("mine", SIDES)
