"""What is measured on a GPU: sides of prod_jax and of sentence-transformers.

Both have an encoder of BERT's shape, in bfloat16 with random weights: a product
costs what it costs, whatever its numbers are. Texts, lists and the work are
those of the benchmarks on a CPU, and more of them.
"""

import itertools
import pathlib
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import distil, ours_gpu, side, texts

WARMUP = 3  # steps that are not counted
NEIGHBOURS = 100
PRODUCT = 8192  # rows of the square matrices whose product is the peak


def step(cache: pathlib.Path) -> dict[str, Any]:
  """The first step of distilling the packaged encoder, in float32."""
  return _step(cache, "float32")


def step_bfloat16(cache: pathlib.Path) -> dict[str, Any]:
  """The same in bfloat16."""
  return _step(cache, "bfloat16")


def _step(cache: pathlib.Path, dtype: str) -> dict[str, Any]:
  from benchmarks import ours_train as training

  job = training.job_of(ours_gpu.golden_run(cache, dtype), cache)
  student = training.Student(job)
  learnt_from = training.examples_of(job, 0, distil.BATCH)
  student.fit(training.batches_of(job, learnt_from), 1)
  metrics = student.last_metrics()
  return {"values": [metrics["loss"], metrics["grad_norm"]], **_device()}


def _device() -> dict[str, Any]:
  import jax

  device = jax.devices()[0]
  return {"device": device.device_kind, "platform": device.platform}


def peak(cache: pathlib.Path) -> dict[str, Any]:
  """One large product in bfloat16, in FLOP/s."""
  from benchmarks import peak as product

  size = min(PRODUCT, 8 * ours_gpu.sizes_of(cache).width)
  measured = product.product("bfloat16", size)
  return {**measured, "rate": 1e9 * measured["rate"], **_device()}


def distil_ours(cache: pathlib.Path) -> dict[str, Any]:
  """Steps of the stage's own loop."""
  from benchmarks import ours_train as training

  sizes = ours_gpu.sizes_of(cache)
  job = training.job_of(ours_gpu.run_of(cache), cache)
  student = training.Student(job)
  drawn: list[Any] = []

  def recorded():
    for batch in training.batches_of(job, training.examples_of(job)):
      drawn.append(batch)
      yield batch

  lists = recorded()
  student.fit(lists, WARMUP)
  drawn.clear()
  seconds = side.seconds_of(lambda: student.fit(lists, sizes.steps))
  seen = [training.tokens_in(batch) for batch in drawn[: sizes.steps]]
  return _measured(seconds, sizes.batch * sizes.steps, seen)


def distil_peer(cache: pathlib.Path) -> dict[str, Any]:
  """Steps of its trainer in bfloat16, with float32 masters as ours."""
  from datasets import Dataset

  from benchmarks import peer as st

  sizes, read = ours_gpu.sizes_of(cache), texts.read(cache / "texts")
  number = sizes.batch * (WARMUP + sizes.steps)
  names = list(itertools.islice(itertools.cycle(read.lists), number))
  model = st.dual(str(cache / ours_gpu.DUAL), _card())
  trainer = st.trainer(
    model,
    st.distillation(model),
    Dataset.from_dict(distil.columns(read, names)),
    cache / "peer",
    batch=sizes.batch,
    steps=WARMUP + sizes.steps,
    use_cpu=_card() == "cpu",
    bf16=True,
  )
  seen: list[tuple[int, int]] = []
  began: list[float] = []

  def begin() -> None:
    _wait()
    seen.clear()
    began.append(time.perf_counter())

  st.count(model, seen)
  trainer.add_callback(st.Marks(WARMUP, begin))
  trainer.train()
  _wait()
  seconds = time.perf_counter() - began[0]
  return _measured(seconds, sizes.batch * sizes.steps, seen)


def encode_ours(cache: pathlib.Path) -> dict[str, Any]:
  """A token store, and the encode stage's embedder."""
  from benchmarks import ours

  run, found = ours_gpu.run_of(cache), _passages(cache)
  frozen, folder = ours.dual(run), run.workdir / "gpu-encode"

  def encode() -> np.ndarray:
    shutil.rmtree(folder, ignore_errors=True)
    return ours.embedder(frozen, ours.store_of(run, found, folder / "store"))()

  with ours.counting(seen := []):
    return _twice(encode, len(found), seen)


def encode_peer(cache: pathlib.Path) -> dict[str, Any]:
  """`encode` with the fastest of some batch sizes."""
  from benchmarks import peer as st

  model, found = (
    st.dual(str(cache / ours_gpu.DUAL), _card()).bfloat16(),
    _passages(cache),
  )
  encode = st.encoder(model)
  size = _tuned(encode, found, cache)
  st.count(model, seen := [])
  return _twice(lambda: encode(found, size), len(found), seen)


def rerank_ours(cache: pathlib.Path) -> dict[str, Any]:
  """Token stores, and the score stage's function."""
  from benchmarks import ours

  run, pairs = ours_gpu.run_of(cache), _pairs(cache)
  frozen = ours.frozen_of(run, "cross", run.first_params("cross", 0))
  folder = run.workdir / "gpu-rerank"

  def score() -> np.ndarray:
    shutil.rmtree(folder, ignore_errors=True)
    stores = tuple(
      ours.store_of(run, column, folder / str(i))
      for i, column in enumerate(zip(*pairs, strict=True))
    )
    return ours.score(frozen, stores, len(pairs))

  with ours.counting(seen := []):
    return _twice(score, len(pairs), seen)


def rerank_peer(cache: pathlib.Path) -> dict[str, Any]:
  """`predict` with the fastest of some batch sizes."""
  from benchmarks import peer as st

  model, pairs = st.cross(cache / ours_gpu.CROSS, _card()), _pairs(cache)
  model.model.bfloat16()
  score = st.scorer(model)
  size = _tuned(score, pairs, cache)
  st.count(model, seen := [])
  return _twice(lambda: score(pairs, size), len(pairs), seen)


def mine_ours(cache: pathlib.Path) -> dict[str, Any]:
  """The encode stage, which tokenises, and the mine stage."""
  from benchmarks import ours

  def fresh() -> Any:
    """A run that has made nothing yet; what is compiled is kept."""
    run = ours_gpu.run_of(cache)
    for name in ("encoded", "mined", "tokens"):
      shutil.rmtree(run.workdir / name, ignore_errors=True)
    return run

  def mine(run: Any, params: pathlib.Path) -> None:
    ours.mine(run, ours.encode_all(run, params), run.workdir / "mined")

  run = fresh()
  params = ours.write_params(run)
  mine(run, params)
  run = fresh()
  queries = len(run.dataset.positive_rows("train"))
  return _measured(side.seconds_of(lambda: mine(run, params)), queries)


def mine_peer(cache: pathlib.Path) -> dict[str, Any]:
  """`mine_hard_negatives`, which searches on the card, too."""
  from benchmarks import peer as st

  folder = cache / "texts"
  found, dataset = texts.passages(folder), st.pairs_of(texts.pairs(folder))
  model = st.dual(str(cache / ours_gpu.DUAL), _card()).bfloat16()
  size = _tuned(st.encoder(model), found, cache)

  def mine() -> None:
    st.mine(model, dataset, found, size, use_faiss=False)

  mine()
  return _measured(side.seconds_of(mine), len(set(dataset["query"])))


def search_ours(cache: pathlib.Path) -> dict[str, Any]:
  """`ExactIndex`, whose vectors stay on the host."""
  from benchmarks import ours

  passages, queries = _vectors(cache)
  index = ours.index("exact", passages)
  index.search(queries, NEIGHBOURS)
  seconds = side.seconds_of(lambda: index.search(queries, NEIGHBOURS))
  measured = _measured(seconds, len(queries))
  return {**measured, "flops_a_query": 2 * passages.size}


def search_peer(cache: pathlib.Path) -> dict[str, Any]:
  """`semantic_search` of vectors on the card, in bfloat16."""
  from benchmarks import peer as st

  passages, queries = _vectors(cache)
  search = st.searcher(passages, queries, _card(), NEIGHBOURS)

  def searched() -> None:
    search()
    _wait()

  searched()
  measured = _measured(side.seconds_of(searched), len(queries))
  return {**measured, "flops_a_query": 2 * passages.size}


def _vectors(cache: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
  """Unit vectors of passages and queries, which are near some passage."""
  sizes, rng = ours_gpu.sizes_of(cache), np.random.default_rng(texts.SEED)
  passages = rng.standard_normal((sizes.corpus, sizes.width), np.float32)
  near = passages[rng.integers(len(passages), size=sizes.queries)]
  queries = near + rng.standard_normal(near.shape, np.float32)
  return tuple(
    x / np.linalg.norm(x, axis=1, keepdims=True) for x in (passages, queries)
  )


def _passages(cache: pathlib.Path) -> list[str]:
  number = ours_gpu.sizes_of(cache).passages
  found = texts.read(cache / "texts").sample(number)
  return list(itertools.islice(itertools.cycle(found), number))


def _pairs(cache: pathlib.Path) -> list[tuple[str, str]]:
  number, read = ours_gpu.sizes_of(cache).pairs, texts.read(cache / "texts")
  found = read.pairs(len(read.lists), distil.CANDIDATES)
  return list(itertools.islice(itertools.cycle(found), number))


def _twice(
  work: Callable[[], Any], number: int, seen: list[tuple[int, int]]
) -> dict[str, Any]:
  """Once to compile, once for the clock."""
  work()
  seen.clear()
  return _measured(side.seconds_of(work), number, seen)


def _measured(
  seconds: float, number: int, seen: Sequence[tuple[int, int]] = ()
) -> dict[str, Any]:
  counted = side.padding(seen) if seen else {}
  return {"seconds": seconds, "rate": number / seconds, **counted}


def _tuned(run: Callable, found: Sequence, cache: pathlib.Path) -> int:
  """The batch size that is the fastest on the card."""
  from benchmarks import peer as st

  kept = cache / "gpu-batch-sizes.json"
  st.tune(run, found, kept, sizes=(32, 128, 512), tried=2048)
  return st.fastest(kept)[0]


def _card() -> str:
  import torch

  return "cuda" if torch.cuda.is_available() else "cpu"


def _wait() -> None:
  import torch

  if torch.cuda.is_available():
    torch.cuda.synchronize()


SIDES = {
  "step": step,
  "step_bfloat16": step_bfloat16,
  "peak": peak,
  "distil_ours": distil_ours,
  "distil_peer": distil_peer,
  "encode_ours": encode_ours,
  "encode_peer": encode_peer,
  "rerank_ours": rerank_ours,
  "rerank_peer": rerank_peer,
  "mine_ours": mine_ours,
  "mine_peer": mine_peer,
  "search_ours": search_ours,
  "search_peer": search_peer,
}

if __name__ == "__main__":
  side.main("gpu", SIDES)
