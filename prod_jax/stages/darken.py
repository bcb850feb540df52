"""Stage kind `darken`: dark examples of each list, scored by a teacher.

Leaves `dark/`, see `data.lists.Dark`. A query's dark examples depend on its
texts and the seed alone, and are scored once.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from prod_jax import kinds, strict
from prod_jax.data import dark
from prod_jax.data.lists import Candidates, Dark, load_lists, save_lists
from prod_jax.data.store import store_of
from prod_jax.retrieval import blocks, rerank
from prod_jax.stages.inputs import Inputs


def inputs(stage: kinds.Darken) -> dict[str, str]:
  """The stages that this one reads, by role."""
  return {"params": stage.params, "candidates": stage.candidates}


def fingerprint(shared: Inputs, name: str, stage: kinds.Darken) -> dict:
  """What the result depends on besides this stage's config and inputs."""
  return {**shared.data_fingerprint(), "seed": shared.seed(name)}


def check(shared: Inputs, name: str, stage: kinds.Darken) -> None:
  """Raises ConfigError for another kind of model, or rates that are none."""
  where = f"config.stages.{name}"
  shared.check_trains(f"{where}.params", stage.params, ("cross", "late"))
  for key in ("strengthen_rate", "mask_rate"):
    rate = getattr(stage, key)
    if not 0 < rate < 1:
      raise strict.ConfigError(f"{where}.{key} is {rate}; it is within 0 and 1")
  if stage.strengthened + stage.masked < 1:
    raise strict.ConfigError(
      f"{where} makes nothing; set strengthened or masked"
    )


def run(
  shared: Inputs,
  name: str,
  stage: kinds.Darken,
  read: Mapping[str, pathlib.Path],
  folder: pathlib.Path,
) -> dict[str, Any]:
  """Makes and scores the dark examples that are not there yet."""
  model = shared.model_of(stage.params)
  copies = shared.copies(read["params"])
  lists = load_lists(Candidates, read["candidates"] / "candidates")
  queries = shared.tokens.queries[shared.config.stages[stage.candidates].split]

  def work(start: int, stop: int) -> dict[str, np.ndarray]:
    ids_QGL = np.stack(
      [_make(shared, name, stage, lists, n) for n in range(start, stop)]
    )
    line, place = np.nonzero((ids_QGL >= 0).any(axis=-1))
    made = [ids[ids >= 0] for ids in ids_QGL[line, place]]
    score_QG = np.full(ids_QGL.shape[:2], np.nan, np.float32)
    score_QG[line, place] = rerank.score_texts(
      model,
      copies,
      queries.slices(lists.query[start + line]),
      [store_of(made).slices(np.arange(len(made)))],
      shared.tokens.special,
      lengths=shared.config.data,
      batch_tokens=stage.batch_tokens,
    )
    return {"ids": ids_QGL, "score": score_QG}

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
  ids_QGL, score_QG = blocks.gather(paths, Dark._fields, shared.group)
  save_lists(Dark(ids_QGL, score_QG), folder / "dark")
  return {"passages": int((~np.isnan(score_QG)).sum())}


def _make(
  shared: Inputs,
  name: str,
  stage: kinds.Darken,
  lists: Candidates,
  number: int,
) -> np.ndarray:
  """int32 [G, L], the dark examples of one list, -1 on padding."""
  most = shared.config.data.passage_length - 2
  ids, label = lists.ids[number], lists.label[number]
  texts = {
    int(row): shared.tokens.passages[int(row)][:most] for row in ids[ids >= 0]
  }
  made = dark.make_dark(
    texts[int(ids[label.argmax()])],
    [texts[int(row)] for row in ids[~label & (ids >= 0)]],
    strengthened=stage.strengthened,
    strengthen_rate=stage.strengthen_rate,
    masked=stage.masked,
    mask_rate=stage.mask_rate,
    mask_id=shared.tokens.special.mask,
    rng=np.random.default_rng((shared.seed(name), number)),
  )
  out = np.full((stage.strengthened + stage.masked, most), -1, np.int32)
  for line, text in zip(out, made, strict=False):
    line[: len(text)] = text
  return out
