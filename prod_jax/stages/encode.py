"""Stage kind `encode`: the collection and the queries as embeddings.

Leaves `passages/` with memory-mapped shards and a manifest, and
`queries-SPLIT.npy` with float32 [Q, D] for each split.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from prod_jax import kinds, strict
from prod_jax.group import Group
from prod_jax.retrieval import blocks, encode
from prod_jax.stages.inputs import Inputs

_BLOCK_QUERIES = 65_536


def inputs(stage: kinds.Encode) -> dict[str, str]:
  """The stages that this one reads, by role."""
  return {"params": stage.params}


def fingerprint(shared: Inputs, name: str, stage: kinds.Encode) -> dict:
  """What the result depends on besides this stage's config and inputs."""
  return shared.data_fingerprint()


def check(shared: Inputs, name: str, stage: kinds.Encode) -> None:
  """Raises ConfigError for another model, or splits that the set has not."""
  where = f"config.stages.{name}"
  shared.check_trains(f"{where}.params", stage.params, ("dual",))
  there = list(shared.dataset.queries)
  for split in stage.splits:
    if split not in there:
      raise strict.ConfigError(
        f"{where}.splits asks for {split!r}, and {shared.dataset.name} has "
        f"{', '.join(there)}; add its files, or leave the split out"
      )


def run(
  shared: Inputs,
  name: str,
  stage: kinds.Encode,
  read: Mapping[str, pathlib.Path],
  folder: pathlib.Path,
) -> dict[str, Any]:
  """Embeds what is not embedded yet."""
  model = shared.model_of(stage.params)
  copies = shared.copies(read["params"])
  data = shared.tokens

  def embedder(tower, store, longest):
    return encode.embedder(
      model,
      copies,
      tower,
      store,
      data.special,
      longest=longest,
      batch_tokens=stage.batch_tokens,
      data=shared.config.data,
    )

  encode.encode_passages(
    folder / "passages",
    embedder("passage", data.passages, shared.config.data.passage_length),
    len(data.passages),
    stage.shard_rows,
    group=shared.group,
    name=name,
  )
  splits = [s for s in stage.splits if s in data.queries]
  for split in splits:
    store = data.queries[split]
    embed = embedder("query", store, shared.config.data.query_length)
    _encode_queries(folder, split, embed, len(store), shared.group, name)
  return {
    "passages": len(data.passages),
    "width": model.bert.width,
    **{f"{split}_queries": len(data.queries[split]) for split in splits},
  }


def _encode_queries(
  folder: pathlib.Path,
  split: str,
  embed: Callable[[int, int], np.ndarray],
  rows: int,
  group: Group,
  name: str,
) -> None:
  """Writes the queries of a split in one piece."""
  paths = blocks.compute(
    folder / "blocks" / split,
    rows,
    _BLOCK_QUERIES,
    lambda start, stop: {"vectors": embed(start, stop)},
    group=group,
    name=f"{name}, {split}",
    unit="queries",
  )
  if group.first:
    (vectors,) = blocks.gather(paths, ["vectors"], group)
    np.save(folder / f"queries-{split}.npy", vectors)
