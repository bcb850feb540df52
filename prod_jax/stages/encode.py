"""Stage kind `encode`: the collection and the queries as embeddings.

Leaves `passages/` with memory-mapped shards and a manifest, and
`queries-SPLIT.npy` with float32 [Q, D] for each split.
"""

from typing import Any

import numpy as np
from absl import logging

from prod_jax import kinds
from prod_jax.retrieval import blocks, encode
from prod_jax.retrieval.forward import NonFiniteOutputs
from prod_jax.stages.run import Job

_BLOCK_QUERIES = 65_536


def fingerprint(job: Job[kinds.Encode]) -> dict[str, Any]:
  """What the result depends on besides this stage's config and inputs."""
  return job.run.data_fingerprint(job.model_name("params"))


def check(job: Job[kinds.Encode]) -> None:
  """Raises ConfigError for a model of another kind."""
  job.check_trains("params", ("dual",))


def run(job: Job[kinds.Encode]) -> dict[str, Any]:
  """Embeds what is not embedded yet."""
  frozen, tokens = job.frozen("params"), job.tokens_of("params")
  encode.encode_passages(
    job.folder / "passages",
    encode.embedder(frozen, "passage", tokens.passages),
    len(tokens.passages),
    job.stage.shard_rows,
    processes=job.run.processes,
    name=job.name,
  )
  splits = [s for s in job.stage.splits if s in tokens.queries]
  if lacking := [s for s in job.stage.splits if s not in splits]:
    logging.info(
      "%s: no stage reads split %s, and the set has none; it is left out",
      job.name,
      ", ".join(lacking),
    )
  for split in splits:
    store = tokens.queries[split]
    embed = encode.embedder(frozen, "query", store)
    try:
      _encode_queries(job, split, embed, len(store))
    except NonFiniteOutputs as error:
      error.split = split
      raise
  return {
    "passages": len(tokens.passages),
    "width": frozen.model.width,
    **{f"{split}_queries": len(tokens.queries[split]) for split in splits},
  }


def _encode_queries(
  job: Job[kinds.Encode],
  split: str,
  embed: encode.Embed,
  rows: int,
) -> None:
  """Writes the queries of a split in one piece."""
  processes = job.run.processes
  # A folder a split: blocks are named by their rows alone.
  paths = blocks.compute(
    job.folder / blocks.FOLDER / split,
    rows,
    _BLOCK_QUERIES,
    lambda *block: {"vectors": embed(*block)},
    processes=processes,
    name=f"{job.name}, {split}",
    unit="queries",
  )
  if processes.first:
    # Few beside the passages: one file, of which later stages map rows.
    (vectors,) = blocks.gather(paths, ["vectors"], processes)
    np.save(job.folder / f"queries-{split}.npy", vectors)
