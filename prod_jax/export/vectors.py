"""A file of texts to a file of vectors, a block of texts at a time.

Vectors are those of an encode stage, but for the `scale` that a run has in the
vectors of queries where it compares by cosine: here dot products are cosines.
Ids stay beside them.
"""

import contextlib
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from absl import logging

from prod_jax import progress, storage, strict
from prod_jax.batches import tokens
from prod_jax.batches.store import TokenStore
from prod_jax.export import texts
from prod_jax.export.finished import Trained
from prod_jax.retrieval import encode
from prod_jax.retrieval.forward import Shown
from prod_jax.sets.lines import Faults, OnError
from prod_jax.sets.records import DataError, Passage

_BLOCK = 8192  # texts that are in memory at once
FORMATS = (".npy", ".parquet")

Tower = Literal["query", "passage"]
# Takes the ids and vectors of a block.
_Write = Callable[[Sequence[str], np.ndarray], None]


def embed_file(
  trained: Trained,
  source: pathlib.Path,
  to: pathlib.Path,
  tower: Tower,
  on_error: OnError = "raise",
) -> int:
  """Embeds the texts of a file; returns how many they are.

  Args:
    trained: with a dual encoder.
    source: as texts.py reads it.
    to: with vectors alone and their ids in NAME.ids.txt (.npy), or with
      columns `id` and `vector` (.parquet).
    tower: whose lengths, prompt and weights are taken.
    on_error: what to do with a line that is no text.

  Raises:
    ConfigError: the model or the name of the file is of another kind.
    DataError: the texts cannot be read.
  """
  if trained.model.kind != "dual":
    raise strict.ConfigError(
      f"--stage: {trained.name} trains a model of kind {trained.model.kind}; "
      "one of kind dual gives a vector for a text"
    )
  if to.suffix not in FORMATS:
    raise strict.ConfigError(
      f"-o: {to} ends in neither {' nor '.join(FORMATS)}"
    )
  faults = Faults(source, on_error)
  rows = sum(1 for _ in texts.read(source, faults))
  faults.log()
  if not rows:
    raise DataError(f"{source}: no text in it")
  frozen = trained.frozen()
  with (
    _open(to, rows) as write,
    progress.Meter(f"embed {source.name}", rows, "texts") as meter,
  ):
    found = texts.read(source, Faults(source, on_error))
    while block := list(itertools.islice(found, _BLOCK)):
      store = store_of(trained, block, tower)
      embed = encode.embedder(frozen, tower, store)
      vectors = embed(0, len(block), Shown(meter))
      if tower == "query":
        # In a run a query's vector carries the scale of the cosine.
        vectors /= getattr(trained.model, "scale", 1.0)
      write([text.id for text in block], vectors)
  logging.info("%d vectors are in %s", rows, to)
  return rows


def store_of(
  trained: Trained, block: Sequence[Passage], tower: Tower
) -> TokenStore:
  """Tokens of texts in memory, as the run has those of its data set."""
  tokenizer, prompt = trained.tokenizer, trained.prompts[tower]
  join = trained.run.config.data.title_join
  ids = list(tokens.with_titles(tokenizer, block, join, prompt))
  offsets = np.cumsum([0, *map(len, ids)])
  return TokenStore(np.concatenate(ids), offsets)


@contextlib.contextmanager
def _open(to: pathlib.Path, rows: int) -> Iterator[_Write]:
  """A function that takes blocks; the file is there when all are."""
  to.parent.mkdir(parents=True, exist_ok=True)
  opened = _open_npy if to.suffix == ".npy" else _open_parquet
  with opened(to, rows) as write:
    yield write


@contextlib.contextmanager
def _open_npy(to: pathlib.Path, rows: int) -> Iterator[_Write]:
  start, matrix = 0, None
  beside = to.with_suffix(".ids.txt")
  with (
    storage.whole_file(beside) as names,
    storage.whole_file(to) as partial,
    names.open("w", encoding="utf-8") as file,
  ):

    def write(ids: Sequence[str], vectors: np.ndarray) -> None:
      nonlocal start, matrix
      if matrix is None:
        matrix = np.lib.format.open_memmap(
          partial, "w+", np.float32, (rows, vectors.shape[1])
        )
      matrix[start : start + len(ids)] = vectors
      start += len(ids)
      file.writelines(f"{name}\n" for name in ids)

    yield write
    # Vectors get their name before ids do, and no other vectors' ids stand
    # there meanwhile.
    beside.unlink(missing_ok=True)


@contextlib.contextmanager
def _open_parquet(to: pathlib.Path, rows: int) -> Iterator[_Write]:
  import pyarrow as pa  # takes a second
  import pyarrow.parquet

  del rows
  with storage.whole_file(to) as partial, contextlib.ExitStack() as stack:
    writer = None

    def write(ids: Sequence[str], vectors: np.ndarray) -> None:
      nonlocal writer
      width = vectors.shape[1]
      flat = pa.array(np.ravel(vectors), pa.float32())
      column = pa.FixedSizeListArray.from_arrays(flat, width)
      table = pa.table({"id": pa.array(ids), "vector": column})
      if writer is None:
        writer = stack.enter_context(
          pyarrow.parquet.ParquetWriter(partial, table.schema)
        )
      writer.write_table(table)

    yield write
