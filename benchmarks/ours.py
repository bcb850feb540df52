"""prod_jax as the benchmarks use it: the config, and all stages but training.

What is measured is what a run of prod_jax does: the stages' own functions, on a
config of the folder that texts.py wrote. Training is ours_train.py: a run that
only mines does not import it.
"""

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks import texts
from benchmarks.side import CLIP, DECAY, NEGATIVES, RATE, SCALE
from prod_jax import (
  compilation,
  config,
  kinds,
  model_kinds,
  packaged,
)
from prod_jax.batches.lists import Candidates, load_lists, save_lists
from prod_jax.batches.store import TokenStore, build_store
from prod_jax.models import hf
from prod_jax.processes import Processes
from prod_jax.retrieval import encode, rerank, search, tiles
from prod_jax.retrieval.forward import FrozenModel
from prod_jax.stages import encode as encode_stage
from prod_jax.stages import mine as mine_stage
from prod_jax.stages.run import PARAMS, Job, Run

BATCH_TOKENS = 1024  # of encoding and scoring
MOST_POSITIVES = 8  # of a query, for the depth of lists
STEPS = 1000  # of the schedule; no more than a few are taken


def run_of(
  cache: pathlib.Path,
  name: str = "texts",
  *,
  batch: int = 8,
  candidates: int = 8,
  layers: Sequence[int] = (),
) -> Run:
  """A run that distils, encodes and mines.

  Args:
    cache: of the benchmarks.
    name: of the folder with texts; the working folder is `run-NAME`.
    batch: queries of a training step.
    candidates: of each of them.
    layers: of the packaged encoder that are kept; all without.
  """
  compilation.keep(cache / "compiled")
  packed: dict[str, Any] = dict(
    weights="packaged", dropout=0.0, layers=tuple(layers)
  )
  data = config.Data(
    name="folder",
    path=str(cache / name),
    query_length=texts.QUERY_LENGTH,
    passage_length=texts.PASSAGE_LENGTH,
    data_dir=str(cache / "prepared"),
  )
  settings = config.Config(
    seed=texts.SEED,
    data=data,
    mesh=config.Mesh(),
    models=dict(
      dual=model_kinds.Dual(
        kind="dual", pooling="mean", similarity="cosine", scale=SCALE, **packed
      ),
      cross=model_kinds.Cross(kind="cross", pooling="cls", **packed),
    ),
    stages=_stages(batch, candidates),
  )
  workdir = cache / f"run-{name}"
  workdir.mkdir(parents=True, exist_ok=True)
  return Run(settings, Processes(workdir))


def job_of(
  run: Run, name: str, folder: pathlib.Path, **inputs: pathlib.Path
) -> Job:
  """A stage of the run, that writes to a folder of its working folder."""
  return Job(run, name, run.config.stages[name], inputs, folder)


def _stages(batch: int, candidates: int) -> dict[str, kinds.Stage]:
  return dict(
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
      steps=STEPS,
      learning_rate=RATE,
      weight_decay=DECAY,
      clip=CLIP,
      checkpoint_every=STEPS + 1,
      log_every=1,
    ),
    encoded=kinds.Encode(
      kind="encode",
      params="student",
      splits=("train",),
      batch_tokens=BATCH_TOKENS,
    ),
    lists=kinds.Mine(
      kind="mine",
      encoded="encoded",
      depth=NEGATIVES + MOST_POSITIVES,
      negatives=NEGATIVES,
      block_queries=16_384,  # the peer searches for as many at once
    ),
    scores=kinds.Score(kind="score", params="student", candidates="lists"),
  )


def prepare(cache: pathlib.Path) -> None:
  """Writes what sides read: prepared data, tokens, lists, a cross-encoder."""
  run = run_of(cache)
  known, read = run.dataset, texts.read(cache / "texts")
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
  run.tokens_of("dual")
  model, params = run.model("cross"), run.first_params("cross", 0)
  hf.save(
    cross_folder(cache),
    params["encoder"],
    model.transformer,
    head=(model.head, params["head"]),
    tokenizer_files=tokenizer_files(),
  )


def tokenizer_files() -> list[pathlib.Path]:
  """The packaged tokenizer's, as a folder of a model has them."""
  folder = packaged.model_folder()
  names = "tokenizer.json", "tokenizer_config.json"
  return [folder / name for name in names]


def cross_folder(cache: pathlib.Path) -> pathlib.Path:
  """A cross-encoder of the packaged weights and a seeded head."""
  return cache / "cross"


@contextlib.contextmanager
def counting(seen: list[tuple[int, int]]) -> Iterator[None]:
  """Notes the tokens of texts and the places of rows that go to a model."""
  kept = encode.embed_texts, rerank.score_pairs

  def counted(forward: Callable) -> Callable:
    def called(model: Any, params: Any, texts: Any, *rest: Any) -> Any:
      seen.append((int(texts.length_GRS.sum()), texts.ids.size))
      return forward(model, params, texts, *rest)

    return called

  encode.embed_texts, rerank.score_pairs = map(counted, kept)
  try:
    yield
  finally:
    encode.embed_texts, rerank.score_pairs = kept


def store_of(
  run: Run, found: Sequence[str], folder: pathlib.Path
) -> TokenStore:
  """Tokenises texts to a store on disk, as a run does."""
  most, tokenizer = texts.PASSAGE_LENGTH, run.tokenizer_of("dual")

  def ids(records: Sequence[str]) -> list[np.ndarray]:
    return [row[:most] for row in tokenizer.encode(records)]

  return build_store(
    folder,
    found,
    ids,
    rows=len(found),
    vocab_size=tokenizer.vocab_size,
    key={},
  )


def dual(run: Run) -> FrozenModel:
  """The packaged encoder."""
  return frozen_of(run, "dual", run.first_params("dual", 0))


def cross(run: Run, cache: pathlib.Path) -> FrozenModel:
  """The cross-encoder of `cross_folder`."""
  folder = cross_folder(cache)
  encoder = hf.load(folder, run.model("cross").transformer)
  head = run.model("cross").head
  params = {"encoder": encoder, "head": hf.load_head(folder, head)}
  return frozen_of(run, "cross", params)


def frozen_of(run: Run, name: str, params: Any) -> FrozenModel:
  """A model of the run that is not trained."""
  return FrozenModel.of(
    run.model(name),
    params,
    special=run.tokenizer_of(name).special,
    data=run.config.data,
    batch_tokens=run.config.stages["encoded"].batch_tokens,
  )


def embedder(
  frozen: FrozenModel, store: TokenStore
) -> Callable[[], np.ndarray]:
  """What embeds all passages of a store."""
  embed = encode.embedder(frozen, "passage", store)
  return lambda: embed(0, len(store))


def score(frozen: FrozenModel, stores: tuple, number: int) -> np.ndarray:
  """The cross-encoder's logits of `number` pairs of two stores."""
  rows = np.arange(number)
  return rerank.score_texts(
    frozen, stores[0].slices(rows), [stores[1].slices(rows)]
  )


def write_params(run: Run) -> pathlib.Path:
  """What a train stage leaves: here the first weights."""
  folder = run.workdir / "params"
  folder.mkdir(parents=True, exist_ok=True)
  hf.save_params(folder / PARAMS, run.first_params("dual", 0))
  return folder


def size_mib(params: pathlib.Path) -> float:
  """MiB of what `write_params` wrote."""
  return (params / PARAMS).stat().st_size / 2**20


def encode_all(run: Run, params: pathlib.Path) -> pathlib.Path:
  """The encode stage: tokens, where there are none yet, and embeddings."""
  to = run.workdir / "encoded"
  to.mkdir(exist_ok=True)
  encode_stage.run(job_of(run, "encoded", to, params=params))
  return to


def mine(run: Run, encoded: pathlib.Path, folder: pathlib.Path) -> np.ndarray:
  """The mine stage; rows of the negatives [Q, NEGATIVES]."""
  folder.mkdir(parents=True, exist_ok=True)
  mine_stage.run(job_of(run, "lists", folder, encoded=encoded))
  lists = load_lists(Candidates, folder / "candidates")
  negative = ~lists.label & (lists.ids >= 0)
  return lists.ids[negative].reshape(len(lists.query), NEGATIVES)


def vectors(encoded: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
  """What an encode stage left: of all passages, and of all queries."""
  queries = np.load(encoded / "queries-train.npy", allow_pickle=False)
  # Queries carry the scale of the cosine.
  return np.asarray(encode.open_shards(encoded / "passages")), queries / SCALE


def index(kind: str, matrix: np.ndarray) -> search.Index:
  """Exact search, or ScaNN as a run sets it up."""
  return search.open_index(kind, matrix)


recall = search.recall_against
multiplied_in = tiles.fastest
