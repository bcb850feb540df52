"""Stage kind `imported`: scores and lists from a file of the user's.

Leaves `candidates/` as `batches.lists.Candidates` describes it: the lists of
the stage in `candidates`, or those that the file has. Where the file has
scores, also `scores.npy`, as a score stage does: float32 [Q, C], aligned with
the lists, NaN on padding.

A score that is missing becomes no number that anyone learns from: where scores
are learnt from, it is an error, or its passage leaves the list. Lists that are
only drawn from may lack some, such as that of a labelled passage that a run did
not find.
"""

import pathlib
import shutil
import tempfile
from typing import Any

import numpy as np
from absl import logging

from prod_jax import kinds, strict
from prod_jax.batches import foreign
from prod_jax.batches.lists import Candidates, load_lists, save_lists
from prod_jax.sets import copies, ids
from prod_jax.sets.datasets import published
from prod_jax.sets.foreign import layout, names, read, records, scale
from prod_jax.sets.records import DataError
from prod_jax.stages import examples
from prod_jax.stages.mine import rows_of
from prod_jax.stages.run import Job

ImportedJob = Job[kinds.Imported]

_EXAMPLES = 5
_NAMES = "names-"


def fingerprint(job: ImportedJob) -> dict[str, Any]:
  """What the result depends on besides this stage's config and inputs."""
  return {
    "dataset": job.run.located.fingerprint,
    "title_join": job.run.config.data.title_join,
    "file": published.fingerprint([pathlib.Path(job.stage.path)], ""),
    "learnt_from": _is_learnt_from(job),
  }


def check(job: ImportedJob) -> None:
  """Finds a file that is not there or says nothing, and keys that clash.

  Raises:
    DataError: for the file.
    ConfigError: for a key.
  """
  stage = job.stage
  if not stage.path:
    raise strict.ConfigError(f"{job.where}.path is not set: the file to read")
  layout.find(pathlib.Path(stage.path), stage.format)
  if not stage.candidates:
    return
  if stage.positives:
    raise strict.ConfigError(
      f"{job.where}.positives is {stage.positives!r}, and the lists of "
      f"{stage.candidates} have their labels; leave one of the two out"
    )
  if stage.queries != "labelled":
    raise strict.ConfigError(
      f"{job.where}.queries is {stage.queries!r}, and the lists of "
      f"{stage.candidates} say whose they are; set it there"
    )
  split = job.source("candidates").split
  if split != stage.split:
    raise strict.ConfigError(
      f"{job.where}.split is {stage.split!r}, but {stage.candidates} has lists "
      f"for {split!r}"
    )


def run(job: ImportedJob) -> dict[str, Any]:
  """Reads the file, and says what of it is known and what is missing.

  Raises:
    DataError: a line is at fault, nothing of the file is known, or scores are
      missing that are learnt from.
  """
  # The file is read in processes. The others wait where the stage ends; the
  # data set they have opened before.
  if not job.run.processes.first:
    return {}
  stage, dataset = job.stage, job.run.dataset
  found = _read(job)
  labels = foreign.Labels(
    dataset.positive_rows(stage.split),
    dataset.copies_of(stage.split),
    len(dataset.passages),
  )
  rows = _rows(job, labels)
  wanted = np.isin(found.pairs.query, rows)
  if not stage.candidates:
    _say_left_out(job, found.pairs.query[~wanted])
  wanted &= ~_is_own(job, found.pairs)
  pairs = read.Pairs(*(x[wanted] for x in found.pairs))
  # Lists of another stage have labels of their own, and take scores alone.
  add = stage.positives == "add" or bool(stage.candidates)
  tidy = foreign.tidied(pairs, labels, add=add)
  if not len(tidy.pairs.query):
    raise DataError(
      f"{stage.path}: nothing in it is of split {stage.split!r} of "
      f"{dataset.name}; {_unknown(found) or 'it is empty'}"
    )
  scored = ~np.isnan(tidy.pairs.score)
  report = _report(job, found, tidy, int(scored.sum()))
  if scored.any():
    report |= _scale(job, tidy.pairs.score[scored])
  if stage.transform == "logit":
    score = scale.logit(tidy.pairs.score)
    tidy = tidy._replace(pairs=tidy.pairs._replace(score=score))
  lists, scores_QC = _lists(job, tidy, labels)
  lists, scores_QC, lost = _complete(job, lists, scores_QC, labels)
  _log_left(job, rows, lists)
  if scored.any():
    np.save(job.folder / "scores.npy", scores_QC)
  save_lists(lists, job.folder / "candidates")
  negatives_Q = (~lists.label & (lists.ids >= 0)).sum(axis=1)
  return {
    "queries": len(lists.query),
    "of_queries": len(labels.positives),
    "negatives_a_query": round(float(negatives_Q.mean()), 2),
    "missing": lost,
    **report,
  }


def _rows(job: ImportedJob, labels: foreign.Labels) -> np.ndarray:
  """The queries that lists are of: others' lists say it for themselves."""
  if not job.stage.candidates:
    return rows_of(job, labels.positives)
  return load_lists(Candidates, job.inputs["candidates"] / "candidates").query


def _say_left_out(job: ImportedJob, query: np.ndarray) -> None:
  """Counts pairs of queries that are not those of the stage."""
  if len(query):
    logging.warning(
      "%s: %d pairs are of queries that %s.queries=%r leaves out, such as %s",
      job.name,
      len(query),
      job.where,
      job.stage.queries,
      job.run.dataset.queries[job.stage.split][query[0]].id,
    )


def _is_own(job: ImportedJob, pairs: read.Pairs) -> np.ndarray:
  """Which pairs are of a query's own document, where that is left out."""
  own_Q = job.run.dataset.own_rows(job.stage.split)
  if own_Q is None:
    return np.zeros(len(pairs.query), bool)
  return own_Q[pairs.query] == pairs.passage


def _is_learnt_from(job: ImportedJob) -> bool:
  """Whether a stage reads the scores, and not only the lists."""
  stages = job.run.config.stages.values()
  return any(
    getattr(stage, role, "") == job.name
    for stage in stages
    for role in ("scores", "second")
  ) or any(
    isinstance(stage, kinds.Train)
    and stage.sampling == "simans"
    and examples.made(job, stage.candidates) is job.stage
    for stage in stages
  )


def _read(job: ImportedJob) -> read.Found:
  stage, dataset = job.stage, job.run.dataset
  queries = dataset.queries[stage.split]
  shape = layout.find(pathlib.Path(stage.path), stage.format)
  own: Any = ids.table([query.id for query in queries])
  keys: tuple = ()
  texts: tuple = ()
  if shape.texts:
    texts = (np.array([copies.key(q.text) for q in queries], np.uint64),)
    keys = (dataset.keys.whole, dataset.keys.joined, dataset.keys.text)
  for left in job.folder.glob(f"{_NAMES}*"):  # by a run that was killed
    shutil.rmtree(left)
  with tempfile.TemporaryDirectory(dir=job.folder, prefix=_NAMES) as made:
    folder = pathlib.Path(made)
    row_of: Any = dataset.row_of
    names.save(folder, read.QUERIES, own, texts)
    names.save(folder, read.PASSAGES, row_of, keys)
    return read.read(shape, folder, job.run.config.data.on_error)


def _lists(
  job: ImportedJob, tidy: foreign.Tidy, labels: foreign.Labels
) -> tuple[Candidates, np.ndarray]:
  """Lists, and the file's scores of them."""
  if not job.stage.candidates:
    lists = foreign.lists_of(tidy, labels)
    if not len(lists.query):
      raise DataError(
        f"{job.stage.path}: no query in it has a labelled passage in split "
        f"{job.stage.split!r}"
      )
    return lists, lists.score
  if np.isnan(tidy.pairs.score).all():
    raise DataError(
      f"{job.stage.path}: has no scores for the lists of "
      f"{job.stage.candidates}; leave {job.where}.candidates out to make lists"
    )
  lists = load_lists(Candidates, job.inputs["candidates"] / "candidates")
  return lists, foreign.scores_of(lists, tidy.pairs, labels)


def _complete(
  job: ImportedJob,
  lists: Candidates,
  scores_QC: np.ndarray,
  labels: foreign.Labels,
) -> tuple[Candidates, np.ndarray, int]:
  """Lists and scores as they may be learnt from, and how many were missing.

  Raises:
    DataError: some are missing, and they may not be.
  """
  lost_QC = foreign.missing(lists, scores_QC)
  lost = int(lost_QC.sum())
  if not lost or not (job.stage.candidates or _is_learnt_from(job)):
    return lists, scores_QC, lost
  of = f"{lost} of {int((lists.ids >= 0).sum())} pairs"
  some = ", ".join(_named(job, lists, lost_QC))
  if job.stage.missing == "error":
    raise DataError(
      f"{job.stage.path}: {of} of the lists have no score, such as {some}; add "
      f"them, or let such passages leave the lists with {job.where}.missing="
      "'drop'"
    )
  kept, scores_QC = foreign.dropped(lists, scores_QC, labels)
  logging.info(
    "%s: %s have no score and leave the lists, such as %s; %d lists have no "
    "labelled passage left",
    job.name,
    of,
    some,
    len(lists.query) - len(kept.query),
  )
  if not len(kept.query):
    hint = (
      f"; a score's key or column is called {' or '.join(records.SCORES)}"
      if np.isnan(scores_QC).all()
      else ""
    )
    raise DataError(
      f"{job.stage.path}: no list has a labelled passage with a score{hint}"
    )
  return kept, scores_QC, lost


def _named(
  job: ImportedJob, lists: Candidates, where_QC: np.ndarray
) -> list[str]:
  dataset = job.run.dataset
  queries = dataset.queries[job.stage.split]
  return [
    f"{queries[lists.query[line]].id} {dataset.passages.id(lists.ids[line, c])}"
    for line, c in np.argwhere(where_QC)[:_EXAMPLES]
  ]


def _log_left(job: ImportedJob, rows: np.ndarray, lists: Candidates) -> None:
  """Names some of the queries that have no list."""
  queries = job.run.dataset.queries[job.stage.split]
  left = np.setdiff1d(rows, lists.query)
  if len(left):
    logging.info(
      "%s: %d of %d queries are left without a pair, such as %s",
      job.name,
      len(left),
      len(rows),
      ", ".join(queries[row].id for row in left[:_EXAMPLES]),
    )


def _unknown(file: read.Found) -> str:
  return "; ".join(
    f"{file.unknown[kind]} pairs name unknown {kind}, such as "
    f"{', '.join(file.examples[kind])}"
    for kind in (read.QUERIES, read.PASSAGES)
    if file.unknown[kind]
  )


def _report(
  job: ImportedJob, file: read.Found, tidy: foreign.Tidy, scored: int
) -> dict[str, Any]:
  """What the file has, as a log line and as figures."""
  if unknown := _unknown(file):
    logging.warning("%s: %s", job.name, unknown)
  if differ := file.unknown[read.DIFFER]:
    logging.warning(
      "%s: %d pairs have an id beside a text that stands under another id "
      "here, such as %s, and go by their ids; leave the ids out of the file "
      "where they are of another numbering",
      job.name,
      differ,
      ", ".join(file.examples[read.DIFFER]),
    )
  figures = {
    "pairs": len(tidy.pairs.query),
    "scored": scored,
    "unknown_queries": file.unknown[read.QUERIES],
    "unknown_passages": file.unknown[read.PASSAGES],
    "repeated": tidy.repeated,
    "contradictory": tidy.contradictory,
    "copies": tidy.copies,
    "unlabelled_positives": tidy.unlabelled,
  }
  logging.info(
    "%s: %s",
    job.name,
    ", ".join(f"{v} {k.replace('_', ' ')}" for k, v in figures.items()),
  )
  return figures


def _scale(job: ImportedJob, scores: np.ndarray) -> dict[str, Any]:
  """How the scores of the file are spread, as a log line and as figures.

  Of which kind they are is guessed where the config does not say it.

  Raises:
    DataError: they are to be probabilities, and are none.
  """
  found, stage = scale.scale(scores), job.stage
  logging.info(
    "%s: scores %s: mean %.4g, spread %.4g, from %.4g to %.4g, "
    "%.1f%% saturated",
    job.name,
    "that become logits"
    if stage.transform
    else f"probably of kind {found.kind}",
    found.mean,
    found.spread,
    found.lowest,
    found.highest,
    100 * found.saturated,
  )
  if stage.transform == "logit":
    if found.lowest < 0 or found.highest > 1:
      raise DataError(
        f"{stage.path}: scores go from {found.lowest:.4g} to "
        f"{found.highest:.4g}, so that they are no probabilities; set "
        f"--{job.where}.transform= (to nothing)"
      )
  elif found.kind == "probability":
    logging.warning(
      "%s: a softmax over probabilities is nearly flat; %s.transform='logit' "
      "undoes a sigmoid",
      job.name,
      job.where,
    )
  figures: dict[str, Any] = {
    "score_mean": round(found.mean, 4),
    "score_spread": round(found.spread, 4),
    "score_min": round(found.lowest, 4),
    "score_max": round(found.highest, 4),
    "saturated": round(found.saturated, 4),
  }
  return figures if stage.transform else figures | {"probably": found.kind}
