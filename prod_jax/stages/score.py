"""Stage kind `score`: a teacher's scores of candidate lists.

Leaves `scores.npy`, float32 [Q, C], aligned with the lists of `candidates`:
raw logits, NaN on padding. A pair is scored once and read ever after.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from prod_jax import kinds
from prod_jax.data.lists import Candidates, load_lists
from prod_jax.retrieval import blocks, divide, rerank
from prod_jax.stages.inputs import Inputs


def inputs(stage: kinds.Score) -> dict[str, str]:
  """The stages that this one reads, by role."""
  return {"params": stage.params, "candidates": stage.candidates}


def fingerprint(shared: Inputs, name: str, stage: kinds.Score) -> dict:
  """What the result depends on besides this stage's config and inputs."""
  return shared.data_fingerprint()


def check(shared: Inputs, name: str, stage: kinds.Score) -> None:
  """Raises ConfigError where `params` trains what reads no pairs.

  A dual encoder's scores are those of an encode stage.
  """
  where = f"config.stages.{name}.params"
  shared.check_trains(where, stage.params, ("cross", "late"))


def run(
  shared: Inputs,
  name: str,
  stage: kinds.Score,
  read: Mapping[str, pathlib.Path],
  folder: pathlib.Path,
) -> dict[str, Any]:
  """Scores the lists that are not scored yet."""
  model = shared.model_of(stage.params)
  copies = shared.copies(read["params"])
  lists = load_lists(Candidates, read["candidates"] / "candidates")
  split = shared.config.stages[stage.candidates].split
  data = shared.tokens

  def work(start: int, stop: int) -> dict[str, np.ndarray]:
    return {
      "scores": rerank.score_lists(
        model,
        copies,
        data.queries[split],
        data.passages,
        lists.query[start:stop],
        lists.ids[start:stop],
        data.special,
        lengths=shared.config.data,
        batch_tokens=stage.batch_tokens,
      )
    }

  paths = blocks.compute(
    folder / "blocks",
    len(lists.query),
    stage.block_queries,
    work,
    group=shared.group,
    name=name,
    unit="queries",
  )
  if not shared.group.first:
    return {}
  (scores_QC,) = blocks.gather(paths, ["scores"], shared.group)
  np.save(folder / "scores.npy", scores_QC)
  ranks = divide.teacher_ranks(lists, scores_QC)
  return {
    "pairs": int((lists.ids >= 0).sum()),
    "first": round(float((ranks == 0).mean()), 4),
  }
