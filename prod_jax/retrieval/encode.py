"""Texts to embeddings, and embeddings as memory-mapped shards."""

import functools
import json
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np

from prod_jax import json_files, storage, strict
from prod_jax.batch import Texts
from prod_jax.batches import rows as layout
from prod_jax.batches import tokens
from prod_jax.models.dual import DualEncoder
from prod_jax.processes import Processes
from prod_jax.retrieval import blocks, forward
from prod_jax.retrieval.forward import FrozenModel, Watch

MANIFEST = "manifest.json"  # of a folder of shards
_SHAPE = {"rows": int, "shards": [re.compile(r"\d{9,}-\d{9,}")]}
_REMEDY = "delete the stage's folder and run it again"
Tower = Literal["query", "passage"]
# (start, stop) to vectors [stop - start, D] of these rows; and perhaps a watch.
Embed = Callable[..., np.ndarray]


class Shards:
  """Rows of a matrix that lies in several memory-mapped files.

  Has the `shape`, `dtype` and slicing of the array [rows, D] that it stands
  for; only what is asked for is read. Files are mapped anew each time: what
  was read through a map is memory of the process as long as the map is there.

  Args:
    files: each gives some of the rows [n, D], in order.
  """

  def __init__(self, files: Sequence[Callable[[], np.ndarray]]):
    self._files = list(files)
    shapes = [file().shape for file in self._files]
    self._ends = np.cumsum([rows for rows, _ in shapes])
    self.shape = (int(self._ends[-1]), shapes[0][1])
    self.dtype = self._files[0]().dtype

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
    """Rows of a slice, or of an integer array of any shape."""
    if isinstance(rows, slice):
      return self._slice(*rows.indices(len(self)))
    rows = np.asarray(rows)
    file_of = np.searchsorted(self._ends, rows, side="right")
    out = np.empty((*rows.shape, self.shape[1]), self.dtype)
    for i in np.unique(file_of).tolist():
      here = file_of == i
      out[here] = self._files[i]()[rows[here] - self._start(i)]
    return out

  def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
    del copy
    whole = np.concatenate([file() for file in self._files])
    return whole.astype(dtype or self.dtype, copy=False)

  def _start(self, file: int) -> int:
    return int(self._ends[file - 1]) if file else 0

  def _slice(self, start: int, stop: int, step: int) -> np.ndarray:
    if step != 1:
      raise IndexError("Shards are read forwards, in steps of 1")
    slices = []
    for i, file in enumerate(self._files):
      first, end = self._start(i), int(self._ends[i])
      low, high = max(start, first), min(stop, end)
      if low < high:
        slices.append(file()[low - first : high - first])
    if not slices:
      return np.empty((0, self.shape[1]), self.dtype)
    return slices[0] if len(slices) == 1 else np.concatenate(slices)


class Cut:
  """The first coordinates of the rows of a matrix, as a matrix.

  Args:
    vectors: [rows, D], as they are stored: an array or Shards.
    width: how many coordinates are left.
    keeps_length: what is left of a row is as long as all of it, so that a
      cosine is one again, and a scale in the queries stays.
  """

  def __init__(
    self, vectors: np.ndarray | Shards, width: int, *, keeps_length: bool
  ):
    self._vectors, self._keeps_length = vectors, keeps_length
    self.shape = (len(vectors), width)
    self.dtype = vectors.dtype

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
    """Rows of a slice, or of an integer array of any shape."""
    whole = self._vectors[rows]
    left = np.ascontiguousarray(whole[..., : self.shape[1]])
    if not self._keeps_length:
      return left
    had, has = (
      np.linalg.norm(x, axis=-1, keepdims=True) for x in (whole, left)
    )
    return left * (had / np.maximum(has, np.finfo(had.dtype).tiny))

  def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
    del copy
    return self[:].astype(dtype or self.dtype, copy=False)


@functools.partial(jax.jit, static_argnums=(0, 3))
def embed_texts(model: DualEncoder, params: Any, texts: Texts, tower: Tower):
  """Embeddings [n, D] of texts [n, L], or [1, n, D] of Packed ones."""
  return model.embed(params, texts, tower)[0]


def embedder(
  frozen: FrozenModel, tower: Tower, store: tokens.TokenStore
) -> Embed:
  """A function that embeds rows of `store`.

  Its result is float32 [stop - start, D]; texts are cut to the length that the
  data gives to those of the tower.
  """
  model, data = frozen.model, frozen.data
  longest = data.query_length if tower == "query" else data.passage_length

  def embed(start: int, stop: int, watch: Watch | None = None) -> np.ndarray:
    rows = np.arange(start, stop)
    texts = store.anew().slices(rows)
    with forward.named(**{tower: rows}):
      return forward.over_texts(
        frozen,
        lambda params, texts: embed_texts(model, params, texts, tower),
        layout.single(texts, longest, frozen.special),
        longest,
        model.width,
        watch,
      )

  return embed


def encode_passages(
  folder: pathlib.Path,
  embed: Embed,
  rows: int,
  shard_rows: int,
  *,
  processes: Processes,
  name: str,
) -> None:
  """Writes all passages as shards, resuming where a run stopped."""
  paths = blocks.compute(
    folder,
    rows,
    shard_rows,
    lambda *block: {"vectors": embed(*block)},
    processes=processes,
    name=name,
    unit="passages",
  )
  manifest = {"rows": rows, "shards": [p.name for p in paths]}
  if processes.first:
    storage.write_text(folder / MANIFEST, json.dumps(manifest, indent=2))
    processes.publish(folder / MANIFEST)


def open_shards(folder: pathlib.Path) -> Shards:
  """The matrix that `encode_passages` wrote.

  Raises:
    ConfigError: when shards and manifest do not agree.
  """
  manifest = json_files.read(folder / MANIFEST, _SHAPE, _REMEDY)
  files = [
    functools.partial(blocks.read, folder / name, "vectors")
    for name in manifest["shards"]
  ]
  if len({file().shape[1:] for file in files}) != 1 or files[0]().ndim != 2:
    raise strict.ConfigError(
      f"{folder}: the shards do not hold vectors of one width; {_REMEDY}"
    )
  shards = Shards(files)
  if len(shards) != manifest["rows"]:
    raise strict.ConfigError(
      f"{folder}: the shards hold {len(shards)} rows, manifest.json says "
      f"{manifest['rows']}; delete the stage's folder and run it again"
    )
  return shards
