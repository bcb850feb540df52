"""What a train stage learns from: lists, draws, and whatever is cached.

Turns the names of other stages in its config into the loader's examples, and
tells its method what there is.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from prod_jax import kinds, sharding, strict
from prod_jax.data import draws
from prod_jax.data.assemble import Examples
from prod_jax.data.lists import Candidates, Compared, Dark, load_lists
from prod_jax.data.packing import Cut
from prod_jax.methods.scoring import Encoder, Sources
from prod_jax.retrieval import encode
from prod_jax.stages.inputs import Inputs

START = "start"  # the anchor that is a frozen copy of the first parameters


def check(shared: Inputs, name: str, stage: kinds.Train) -> None:
  """Raises ConfigError for sources that do not go together.

  What is stored by list must be of the lists that are trained on.
  """
  where, stages = f"config.stages.{name}", shared.config.stages
  if stage.teacher and stage.scores:
    raise strict.ConfigError(
      f"{where}: teacher runs in the step and scores are cached; set only one"
    )
  if stage.joint and not stage.teacher:
    raise strict.ConfigError(f"{where}.joint needs a teacher in the step")
  if stage.second and isinstance(stages.get(stage.scores), kinds.Score):
    raise strict.ConfigError(
      f"{where}.second goes with a dual-encoder teacher; set scores to an "
      "encode stage, or teacher"
    )
  if stage.sampling != "random" and not stage.candidates:
    raise strict.ConfigError(
      f"{where}.sampling={stage.sampling!r} draws from lists; set candidates"
    )
  if stage.sampling == "simans" and isinstance(
    stages.get(stage.candidates), kinds.Provided
  ):
    raise strict.ConfigError(
      f"{where}.sampling='simans' draws by the retriever's scores, and lists "
      "that came with the data set have none; set candidates to a mine stage"
    )
  by_list = [stage.second, stage.pairs, stage.dark]
  if isinstance(stages.get(stage.scores), kinds.Score):
    by_list.append(stage.scores)
  for source in filter(None, by_list):
    shared.check_scored(name, source, stage.candidates)
  draw = draw_of(name, stage)
  if draw.NEEDS_SCORES and not isinstance(
    stages.get(stage.scores), kinds.Score
  ):
    raise strict.ConfigError(
      f"{where}.sampling={stage.sampling!r} draws by a teacher's ranking; set "
      "scores to a score stage"
    )


def sources(shared: Inputs, name: str, stage: kinds.Train) -> Sources:
  """What the stage offers its method."""
  teacher = "step" if stage.teacher else ""
  if stage.scores:
    scored = isinstance(shared.config.stages[stage.scores], kinds.Score)
    teacher = "scores" if scored else "embeddings"
  draw = draw_of(name, stage)
  return Sources(
    teacher=teacher,
    model=_chunked(shared.model_of(stage.teacher), stage)
    if stage.teacher
    else None,
    anchor=bool(stage.anchor),
    second=bool(stage.second),
    joint=stage.joint,
    pairs=bool(stage.pairs),
    dark=bool(stage.dark),
    groups=len(draw.sizes) if isinstance(draw, draws.Groups) else 0,
  )


def draw_of(name: str, stage: kinds.Train) -> draws.Draw:
  """How the columns of a list are drawn.

  Raises:
    ConfigError: for settings that this way of drawing has not, or lacks.
  """
  return draws.make_draw(
    stage.sampling, stage.draw, f"config.stages.{name}.draw"
  )


def examples(
  shared: Inputs, stage: kinds.Train, read: Mapping[str, pathlib.Path]
) -> Examples:
  """All that batches are made of; large tables stay on disk."""
  positives = shared.dataset.positive_rows("train")
  rows = np.array([i for i, p in enumerate(positives) if p], np.int32)
  if stage.candidates:
    lists = load_lists(Candidates, read["candidates"] / "candidates")
    rows = np.array(lists.query)
  if stage.queries:
    rows = np.load(read["queries"] / "queries.npy", allow_pickle=False)
  return Examples(
    queries=shared.tokens.queries["train"],
    passages=shared.tokens.passages,
    special=shared.tokens.special,
    positives=positives,
    rows=rows,
    lengths=shared.config.data,
    **carried(shared, stage),
    **_cached(shared, stage, read),
  )


def clusters(
  stage: kinds.Train, read: Mapping[str, pathlib.Path], rows: np.ndarray
) -> np.ndarray | None:
  """The cluster of each training row, int32, where batches go by cluster."""
  if not stage.clusters:
    return None
  return np.load(read["clusters"] / "clusters.npy", allow_pickle=False)[rows]


def model(shared: Inputs, stage: kinds.Train) -> Encoder:
  """The encoder that the stage trains, as it trains it."""
  return _chunked(shared.model(stage.model), stage)


def _chunked(model: Encoder, stage: kinds.Train) -> Encoder:
  bert = dataclasses.replace(model.bert, chunks=stage.chunks)
  return dataclasses.replace(model, bert=bert)


def cut(shared: Inputs, stage: kinds.Train) -> Cut:
  """How a batch is divided, over devices and then on each of them."""
  devices = sharding.batch_devices(shared.mesh)
  return Cut(devices, stage.accumulation * stage.chunks)


def packs(shared: Inputs, stage: kinds.Train) -> bool:
  """Whether texts share rows: late interaction compares padded ones."""
  return shared.config.data.packed and "late" not in _model_kinds(shared, stage)


def _model_kinds(shared: Inputs, stage: kinds.Train) -> set[str]:
  """Of the models that read the batch."""
  names = [stage.model]
  if stage.teacher:
    names.append(shared.config.stages[stage.teacher].model)
  return {shared.config.models[name].kind for name in names}


def carried(shared: Inputs, stage: kinds.Train) -> dict[str, bool]:
  """Which texts a batch carries for the model and a teacher in the step."""
  model_kinds = _model_kinds(shared, stage)
  return {
    "passage": bool(model_kinds & {"dual", "late"}),
    "pair": "cross" in model_kinds,
    "triple": "pairwise" in model_kinds,
  }


def _cached(
  shared: Inputs, stage: kinds.Train, read: Mapping[str, pathlib.Path]
) -> dict[str, Any]:
  """The fields of `Examples` that other stages have made."""
  cached: dict[str, Any] = {}
  if stage.candidates:
    cached["candidates"] = load_lists(
      Candidates, read["candidates"] / "candidates"
    )
  if stage.anchor and stage.anchor != START:
    cached["anchor"] = cached["candidates"].score
  for role in filter(read.get, ("scores", "second")):
    cached |= _teacher(shared.config.stages[getattr(stage, role)], read[role])
  if stage.pairs:
    cached["compared"] = load_lists(Compared, read["pairs"] / "compared")
  if stage.dark:
    cached["dark"] = load_lists(Dark, read["dark"] / "dark")
  return cached


def _teacher(stage: kinds.Stage, folder: pathlib.Path) -> dict[str, Any]:
  """Cached scores of a cross-encoder, or embeddings of a dual encoder."""
  if isinstance(stage, kinds.Score):
    path = folder / "scores.npy"
    return {"teacher": np.load(path, mmap_mode="r", allow_pickle=False)}
  return {
    "teacher_query": np.load(
      folder / "queries-train.npy", mmap_mode="r", allow_pickle=False
    ),
    "teacher_passage": encode.open_shards(folder / "passages"),
  }
