"""Vectors of a collection that no stage has made: made once, and kept.

Their folder is named by a digest of all that decides them, so that another
collection, other weights or other lengths are other vectors.
"""

import hashlib
import pathlib

import jax
import numpy as np

from prod_jax import locks
from prod_jax.batches.store import TokenStore
from prod_jax.export.as_it_is import Reader
from prod_jax.processes import Processes
from prod_jax.retrieval import encode

_SHARD = 100_000  # passages; as of an encode stage


def kept(
  folder: pathlib.Path,
  reader: Reader,
  passages: TokenStore,
  collection: str,
  name: str,
) -> encode.Shards:
  """The vectors of a collection, made now unless they were before.

  Args:
    folder: for vectors of all models and collections.
    reader: with a dual encoder.
    passages: tokens of the collection, as it reads them.
    collection: fingerprint of its texts.
    name: of the model, for people who wait.
  """
  own = folder / _digest(reader, collection)
  folder.mkdir(parents=True, exist_ok=True)
  with locks.alone(folder, own.name):
    encode.encode_passages(
      own,
      encode.embedder(reader.frozen, "passage", passages),
      len(passages),
      _SHARD,
      processes=Processes(own),
      name=name,
    )
    return encode.open_shards(own)


def _digest(reader: Reader, collection: str) -> str:
  found, frozen = hashlib.sha256(), reader.frozen
  data = frozen.data
  said = (
    frozen.model,
    data.passage_length,
    data.title_join,
    reader.tokenizer.fingerprint,
    reader.prompts.get("passage", ""),
    collection,
  )
  found.update(repr(said).encode())
  for path, leaf in jax.tree_util.tree_leaves_with_path(
    frozen.copies.params[0]
  ):
    found.update(jax.tree_util.keystr(path).encode())
    found.update(np.ascontiguousarray(leaf).data)
  return found.hexdigest()[:16]
