"""Stage kind `divide`: the queries that a teacher gets right and a student not.

Leaves `queries.npy`, int32 rows of the query table.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from prod_jax import kinds, strict
from prod_jax.data.lists import Candidates, load_lists
from prod_jax.retrieval import divide
from prod_jax.stages.inputs import Inputs


def inputs(stage: kinds.Divide) -> dict[str, str]:
  """The stages that this one reads, by role."""
  return {"scores": stage.scores, "candidates": stage.candidates}


def fingerprint(shared: Inputs, name: str, stage: kinds.Divide) -> dict:
  """Nothing: config and inputs decide it."""
  return {}


def check(shared: Inputs, name: str, stage: kinds.Divide) -> None:
  """Raises ConfigError when the scores are not of the candidates.

  Nor are ranks before and after the teacher those of one run where lists were
  not retrieved, or keep only some of it.
  """
  shared.check_scored(name, stage.scores, stage.candidates)
  lists = shared.config.stages[stage.candidates]
  if not isinstance(lists, kinds.Mine) or lists.negatives:
    raise strict.ConfigError(
      f"config.stages.{name}.candidates is {stage.candidates!r}; it takes the "
      "whole lists of a mine stage, with negatives=0"
    )


def run(
  shared: Inputs,
  name: str,
  stage: kinds.Divide,
  read: Mapping[str, pathlib.Path],
  folder: pathlib.Path,
) -> dict[str, Any]:
  """Applies the rule and counts what it leaves.

  Raises:
    ConfigError: when fewer than `least` queries are left.
  """
  if not shared.group.first:
    return {}
  lists = load_lists(Candidates, read["candidates"] / "candidates")
  scores_QC = np.load(read["scores"] / "scores.npy", allow_pickle=False)
  student_Q = divide.student_ranks(lists)
  teacher_Q = divide.teacher_ranks(lists, scores_QC)
  kept = divide.keep(student_Q, teacher_Q, stage)
  summary = {
    "queries": len(kept),
    "kept": int(kept.sum()),
    "student_first": int((student_Q == 0).sum()),
    "teacher_first": int((teacher_Q == 0).sum()),
    "student_missed": int((student_Q < 0).sum()),
  }
  if summary["kept"] < stage.least:
    raise strict.ConfigError(
      f"stage {name} keeps {summary['kept']} queries, fewer than least="
      f"{stage.least}: {summary}. Widen student_from, student_to or teacher_to"
    )
  logging.info("%s: keeps %d of %d queries", name, kept.sum(), len(kept))
  np.save(folder / "queries.npy", lists.query[kept])
  return summary
