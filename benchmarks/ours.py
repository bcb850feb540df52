"""prod_jax as the benchmarks use it: all calls into the package.

What is measured is what a run of prod_jax does: the stages' own functions, the
loader and the loop, on a config of the folder that texts.py wrote.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks import texts
from prod_jax import config, kinds, packaged, sharding
from prod_jax.data import loader, tokens
from prod_jax.data.lists import Candidates, save_lists
from prod_jax.data.store import TokenStore, build_store
from prod_jax.group import Group
from prod_jax.models import hf
from prod_jax.retrieval import encode, rerank
from prod_jax.stages import examples, train
from prod_jax.stages.inputs import Inputs
from prod_jax.train import loop
from prod_jax.train.checkpoint import Checkpoints
from prod_jax.train.step import compile_step
from prod_jax.train.writer import MetricsWriter

SCALE = 20.0  # of a cosine
RATE = 2e-5
CLIP = 1.0
DECAY = 0.01
BATCH_TOKENS = 2048  # of encoding and scoring


def compile_cache(cache: pathlib.Path) -> None:
  """Keeps compiled programs, as prod_jax.main does."""
  jax.config.update("jax_compilation_cache_dir", str(cache / "compiled"))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def shared(
  cache: pathlib.Path,
  *,
  batch: int = 8,
  candidates: int = 8,
  layers: Sequence[int] = (),
  steps: int = 1000,
) -> Inputs:
  """The inputs of a run that distils from cached scores, and its config."""
  compile_cache(cache)
  packed = dict(weights="packaged", dropout=0.0, layers=tuple(layers))
  stages = dict(
    student=kinds.Train(
      kind="train",
      model="dual",
      method="prod",
      settings=dict(in_batch=False, temperature=1.0, hard=0.0, soft=1.0),
      candidates="lists",
      scores="scores",
      negatives=candidates - 1,
      sampling="descend",
      batch_size=batch,
      steps=steps,
      learning_rate=RATE,
      weight_decay=DECAY,
      clip=CLIP,
      checkpoint_every=steps + 1,
      log_every=1,
    ),
    encoded=kinds.Encode(
      kind="encode",
      params="student",
      splits=("train",),
      batch_tokens=BATCH_TOKENS,
    ),
    lists=kinds.Mine(kind="mine", encoded="encoded", depth=candidates),
    scores=kinds.Score(kind="score", params="student", candidates="lists"),
  )
  run = config.Config(
    seed=texts.SEED,
    data=config.Data(
      name="folder",
      path=str(texts.folder(cache)),
      query_length=texts.QUERY_LENGTH,
      passage_length=texts.PASSAGE_LENGTH,
      data_dir=str(cache / "prepared"),
    ),
    mesh=config.Mesh(),
    models=dict(
      dual=config.Model(
        kind="dual", pooling="mean", similarity="cosine", scale=SCALE, **packed
      ),
      cross=config.Model(kind="cross", pooling="cls", **packed),
    ),
    stages=stages,
  )
  workdir = cache / "run"
  workdir.mkdir(parents=True, exist_ok=True)
  return Inputs(run, Group(workdir))


def prepare(cache: pathlib.Path) -> None:
  """Writes what sides read: prepared data, tokens, lists, a cross-encoder."""
  inputs = shared(cache)
  known, read = inputs.dataset, texts.read(cache)
  rows = {query.id: i for i, query in enumerate(known.queries["train"])}
  names = [name for name in rows if name in read.lists]
  ids = [[known.row_of[p] for p in read.lists[name][0]] for name in names]
  label = np.zeros(np.shape(ids), bool)
  label[:, 0] = True
  scores = np.array([read.lists[name][1] for name in names], np.float32)
  lists = Candidates(
    query=np.array([rows[name] for name in names], np.int32),
    ids=np.array(ids, np.int32),
    label=label,
    rank=np.tile(np.arange(len(ids[0]), dtype=np.int32), (len(names), 1)),
    score=scores,
  )
  save_lists(lists, cache / "lists" / "candidates")
  (cache / "scores").mkdir(exist_ok=True)
  np.save(cache / "scores" / "scores.npy", scores)
  _ = inputs.tokens
  model, params = inputs.model("cross"), inputs.first_params("cross", 0)
  folder = packaged.model_folder()
  hf.save(
    cross_folder(cache),
    params["encoder"],
    model.bert,
    head=params["head"],
    tokenizer_files=[
      folder / name for name in ("tokenizer.json", "tokenizer_config.json")
    ],
  )


def cross_folder(cache: pathlib.Path) -> pathlib.Path:
  """A cross-encoder of the packaged weights and a seeded head."""
  return cache / "cross"


class Student:
  """A distillation stage, step by step: `fit` goes on where it stopped."""

  def __init__(self, inputs: Inputs, cache: pathlib.Path):
    self._inputs, self._cache = inputs, cache
    self._stage = inputs.config.stages["student"]
    step, first_state = train.step_of(inputs, "student", self._stage)
    params = inputs.first_params("dual", 0)
    self._step, self._state, self._frozen = compile_step(
      step, first_state(params), {}, inputs.mesh
    )
    self._done = 0

  def examples(self, queries: int | None = None) -> Any:
    """All that batches are made of, of the first lists only."""
    read = {k: self._cache / k for k in ("scores",)}
    found = examples.examples(
      self._inputs, self._stage, {**read, "candidates": self._cache / "lists"}
    )
    return dataclasses.replace(found, rows=found.rows[:queries])

  def batches(self, learnt_from: Any) -> Iterator[Any]:
    """The stage's own endless row of batches."""
    stage = self._stage
    return loader.batches(
      learnt_from,
      batch_size=stage.batch_size,
      negatives=stage.negatives,
      draw=examples.draw_of("student", stage),
      seed=texts.SEED,
      part=sharding.batch_rows(self._inputs.mesh, stage.batch_size),
    )

  def fit(self, batches: Iterator[Any], steps: int) -> None:
    """Some more steps of the loop, and waits for them."""
    inputs, stage = self._inputs, self._stage
    folder = inputs.workdir / "student"
    folder.mkdir(exist_ok=True)
    first, self._done = self._done, self._done + steps
    monitor = loop.Monitor(
      "student",
      MetricsWriter(folder, inputs.group),
      first=first,
      steps=self._done,
      batch_size=stage.batch_size,
      log_every=stage.log_every,
      group=inputs.group,
    )
    checkpoints = Checkpoints(folder / "checkpoints", {})
    self._state = loop.fit(
      self._step,
      self._state,
      self._frozen,
      batches,
      name="student",
      steps=self._done,
      batch_size=stage.batch_size,
      mesh=inputs.mesh,
      checkpoints=checkpoints,
      checkpoint_every=stage.checkpoint_every,
      monitor=monitor,
      group=inputs.group,
      first=first,
    )
    jax.block_until_ready(self._state)
    monitor.close()
    checkpoints.close()

  def last_metrics(self) -> dict[str, float]:
    """What the last step wrote."""
    import json

    path = self._inputs.workdir / "student" / "metrics.jsonl"
    return json.loads(path.read_text().splitlines()[-1])


def tokens_in(batch: Any) -> tuple[int, int]:
  """Tokens of texts in a batch of training, and places of its rows."""
  parts = [batch.query, batch.passage]
  texts_in = sum(int((part.segment > 0).sum()) for part in parts)
  return texts_in, sum(part.segment.size for part in parts)


def store_of(
  inputs: Inputs, found: Sequence[str], folder: pathlib.Path
) -> TokenStore:
  """Tokenises texts to a store on disk, as a run does."""
  most = texts.PASSAGE_LENGTH

  def ids(records: Sequence[str]) -> list[np.ndarray]:
    return [row[:most] for row in inputs.tokenizer.encode(records)]

  return build_store(
    folder,
    found,
    ids,
    rows=len(found),
    vocab_size=inputs.tokenizer.vocab_size,
    key={},
  )


def embedder(inputs: Inputs, store: TokenStore) -> Callable[[], np.ndarray]:
  """What embeds all passages of a store."""
  model = inputs.model("dual")
  copies = sharding.copies(inputs.first_params("dual", 0))
  embed = encode.embedder(
    model,
    copies,
    "passage",
    store,
    inputs.tokenizer.special,
    longest=texts.PASSAGE_LENGTH,
    batch_tokens=BATCH_TOKENS,
  )
  return lambda: embed(0, len(store))


def cross_params(cache: pathlib.Path, inputs: Inputs) -> sharding.Copies:
  """The cross-encoder of `cross_folder`."""
  folder = cross_folder(cache)
  encoder = hf.load(folder, inputs.model("cross").bert)
  return sharding.copies({"encoder": encoder, "head": hf.load_head(folder)})


def score(
  inputs: Inputs, copies: sharding.Copies, stores: tuple, number: int
) -> np.ndarray:
  """The cross-encoder's logits of `number` pairs of two stores."""
  rows = np.arange(number)
  return rerank.score_texts(
    inputs.model("cross"),
    copies,
    rerank.Texts(stores[0], rows),
    [rerank.Texts(stores[1], rows)],
    inputs.tokenizer.special,
    lengths=inputs.config.data,
    batch_tokens=BATCH_TOKENS,
  )
