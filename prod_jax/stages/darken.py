"""Stage kind `darken`: dark examples of each list, scored by a teacher.

Leaves `dark/`, see `batches.lists.Dark`. A query's dark examples depend on its
texts and the seed alone, and are scored once.
"""

from typing import Any

import numpy as np

from prod_jax import kinds, strict
from prod_jax.batches import dark
from prod_jax.batches.lists import Candidates, Dark, load_lists, save_lists
from prod_jax.batches.store import store_of
from prod_jax.ragged import padded_rows
from prod_jax.retrieval import forward, rerank
from prod_jax.retrieval.pieces import Pieces
from prod_jax.stages import sources
from prod_jax.stages.run import Job


def fingerprint(job: Job[kinds.Darken]) -> dict[str, Any]:
  """What the result depends on besides this stage's config and inputs."""
  return {
    **job.run.data_fingerprint(job.model_name("params")),
    "seed": job.seed,
  }


def check(job: Job[kinds.Darken]) -> None:
  """Raises ConfigError for another kind of model, or for nothing to make."""
  job.check_trains("params", ("cross", "late"))
  if job.stage.strengthened + job.stage.masked < 1:
    raise strict.ConfigError(
      f"{job.where} makes nothing; set strengthened or masked"
    )
  if sources.queries_of(job) == "unlabelled":
    raise strict.ConfigError(
      f"{job.where}.candidates: {job.stage.candidates} has lists of queries "
      "without labels alone, and dark examples are made of a positive; let "
      "some with labels be among them, or a filter stage label them"
    )
  job.run.mask_id(job.model_name("params"))


def run(job: Job[kinds.Darken]) -> dict[str, Any]:
  """Makes and scores the dark examples that are not there yet."""
  frozen = job.frozen("params")
  lists = load_lists(Candidates, job.inputs["candidates"] / "candidates")
  queries = job.tokens_of("params").queries[job.source("candidates").split]

  def work(start: int, stop: int, pieces: Pieces) -> dict[str, np.ndarray]:
    ids_QAL = np.stack([_make(job, lists, n) for n in range(start, stop)])
    line, place = np.nonzero((ids_QAL >= 0).any(axis=-1))
    texts = [ids[ids >= 0] for ids in ids_QAL[line, place]]
    score_QA = np.full(ids_QAL.shape[:2], np.nan, np.float32)
    if not texts:  # no list of the block has a positive
      return {"ids": ids_QAL, "score": score_QA}
    query = lists.query[start + line]
    with forward.named(query=query):
      score_QA[line, place] = rerank.score_texts(
        frozen,
        queries.slices(query),
        [store_of(texts).slices(np.arange(len(texts)))],
        pieces,
      )
    return {"ids": ids_QAL, "score": score_QA}

  made = job.in_blocks(len(lists.query), Dark._fields, work)
  if made is None:
    return {}
  dark_lists = Dark(*made)
  save_lists(dark_lists, job.folder / "dark")
  return {"passages": int((~np.isnan(dark_lists.score)).sum())}


def _make(job: Job[kinds.Darken], lists: Candidates, number: int) -> np.ndarray:
  """int32 [A, L], the dark examples of one list, -1 on padding."""
  stage, tokens = job.stage, job.tokens_of("params")
  most = job.run.config.data.passage_length - tokens.special.around
  ids, label = lists.ids[number], lists.label[number]
  wanted = stage.strengthened + stage.masked
  if not label.any():  # ADAM does not train on such a list
    return padded_rows([[]] * wanted, most)
  texts = {int(row): tokens.passages[int(row)][:most] for row in ids[ids >= 0]}
  made = dark.make_dark(
    texts[int(ids[label.argmax()])],
    [texts[int(row)] for row in ids[~label & (ids >= 0)]],
    stage,
    job.run.mask_id(job.model_name("params")),
    # Of the list, not of the block: a resumed run draws the same.
    np.random.default_rng((job.seed, number)),
  )
  return padded_rows([*made, *[[]] * (wanted - len(made))], most)
