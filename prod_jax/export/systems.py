"""Any ranker, ranking a set: what each system that is named finds.

A model that reads a query with its passage finds nothing by itself: it orders
the first passages of another system.
"""

import dataclasses
import functools
import pathlib
import re
import tempfile
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from prod_jax import metrics, progress, storage, strict
from prod_jax.batches.tokens import TokenisedDataset, tokenise_dataset
from prod_jax.export import as_it_is, finished, named
from prod_jax.export.as_it_is import Reader
from prod_jax.export.named import BM25, System, is_run
from prod_jax.export.task import Task
from prod_jax.models import hub
from prod_jax.models.dual import DualEncoder
from prod_jax.processes import Processes
from prod_jax.retrieval import bm25, encode, rerank, runs, search
from prod_jax.retrieval.forward import NonFiniteOutputs, Shown
from prod_jax.sets.records import DataError
from prod_jax.stages import sources

Opening = Callable[[], Reader]  # reads a model's weights

_SHARD = 100_000  # passages; as of an encode stage


class Ranking(NamedTuple):
  """What a system found for each query of a split, best first.

  Attributes:
    ids_QK: rows of the collection, -1 on padding.
    scores_QK: of each.
    reorders: whether it puts another system's passages in order.
  """

  ids_QK: np.ndarray
  scores_QK: np.ndarray
  reorders: bool = False


def rank_all(
  listed: Sequence[System], task: Task, first: str
) -> dict[str, Ranking]:
  """The ranking of each system by its label, in their order.

  Args:
    listed: the systems.
    task: the set.
    first: label of the one whose first passages others put in order.

  Raises:
    ConfigError: of any of them, before the first has embedded a passage.
    DataError: one leaves no ranking of this set.
  """
  openings = {system.label: opening(system, task) for system in listed}
  found: dict[str, Ranking] = {}
  # What only has to be read comes before what takes its time.
  for system in sorted(
    listed, key=lambda s: (not is_run(s.spec), s.label != first)
  ):
    found[system.label] = rank(
      system, task, found.get(first), openings[system.label]
    )
  return {system.label: found[system.label] for system in listed}


def opening(system: System, task: Task) -> Opening | None:
  """What opens a system's model, which reads texts as it does of the set.

  All but its weights has been read. BM25 and a TREC run have no model.

  Raises:
    ConfigError: there is no such system.
  """
  if (language := _language(system)) is not None:
    bm25.check(language)
    return None
  if is_run(system.spec):
    return None
  if system.stage[0]:
    return _trained(system, task)
  if pathlib.Path(system.spec).is_dir() or hub.is_name(system.spec):
    return as_it_is.opening(system.spec, task.data, task.given)
  raise _no_model(system)


def _no_model(system: System) -> strict.ConfigError:
  return named.no_model(system, f"bm25, a TREC run (FILE.trec), {named.TAKEN}")


def _language(system: System) -> str | None:
  """Of BM25, "" for none; None of another system."""
  name, _, language = system.spec.partition(":")
  return language if name == BM25 else None


def rank(
  system: System, task: Task, first: Ranking | None, opens: Opening | None
) -> Ranking:
  """Ranks the passages of a set for its queries.

  Args:
    system: which ranker.
    task: the set.
    first: whose first passages a model orders that reads pairs.
    opens: of `opening`, for this system.

  Raises:
    ConfigError: it needs `first`, or its weights are damaged.
    DataError: it leaves no ranking of this set.
  """
  texts = [query.text for query in task.dataset.queries[task.split]]
  if (language := _language(system)) is not None:
    passages = (f"{p.title} {p.text}" for p in task.dataset.passages)
    found = _others(
      *bm25.search(passages, texts, task.depth + 1, language), task, task.depth
    )
  elif opens is None:
    return of_run(pathlib.Path(system.spec), task)
  else:
    try:
      found = _by_model(system, opens(), task, first)
    except NonFiniteOutputs as error:
      raise DataError(f"{system.label}: {error}") from error
  if np.isnan(found.scores_QK[found.ids_QK >= 0]).any():
    raise DataError(
      f"{system.label} gives scores that are not a number; its weights are "
      "broken"
    )
  return found


def open_model(system: System, task: Task) -> Reader:
  """The model that a system is, which reads texts as it does of the set.

  Raises:
    ConfigError: it is none.
  """
  opens = opening(system, task)
  if opens is None:
    raise _no_model(system)
  return opens()


def tokens_of(reader: Reader, task: Task) -> TokenisedDataset:
  """Passages and queries of the set as a model reads them."""
  data = reader.frozen.data
  return tokenise_dataset(
    task.dataset,
    reader.tokenizer,
    task.folder / "tokens",
    title_join=data.title_join,
    max_tokens=max(data.passage_length, data.query_length),
    prompts=reader.prompts,
  )


def of_run(path: pathlib.Path, task: Task) -> Ranking:
  """A TREC run by rows of the collection.

  Raises:
    DataError: it cannot be read, is empty, or is of other queries or passages.
  """
  if not path.is_file():
    raise DataError(f"{path} is not there; it takes a TREC run")
  run = runs.read_run(path)
  if not run:
    raise DataError(f"{path} has no line in it; write the run again")
  queries = [query.id for query in task.dataset.queries[task.split]]
  others = run.keys() - set(queries)
  where = f"{task.dataset.name}, split {task.split}"
  if len(others) == len(run):
    raise DataError(
      f"{path}: none of its {len(run)} queries, {min(others)!r} among them, is "
      f"in {where}, or has a label there; name their --split"
    )
  if others:
    # TREC's own runs have topics that nobody judged.
    logging.warning(
      "%s: %d of its %d queries, such as %s, are not in %s, or have no label "
      "there, and do not count",
      path,
      len(others),
      len(run),
      min(others),
      where,
    )
  if missing := len(set(queries) - run.keys()):
    logging.warning("%s: without %d queries, which count 0", path, missing)
  row_of = task.dataset.row_of
  width = max(map(len, run.values()))
  ids_QK = np.full((len(queries), width), -1, np.int32)
  scores_QK = np.full((len(queries), width), -np.inf, np.float32)
  for line, query in enumerate(queries):
    found = run.get(query, {})
    try:
      ids_QK[line, : len(found)] = [row_of[name] for name in found]
    except KeyError as error:
      raise DataError(
        f"{path}: query {query} has passage {error}, which is not in {where}; "
        "is the run of another collection, is config.data.max_passages set, or "
        "is it a line that on_error=skip has left out?"
      ) from error
    scores_QK[line, : len(found)] = list(found.values())
  return _others(*rerank.in_order(ids_QK, scores_QK), task, width)


def _others(
  ids_QK: np.ndarray, scores_QK: np.ndarray, task: Task, k: int
) -> Ranking:
  """The first `k` of a ranking, without the queries' own documents."""
  if task.own_Q is not None:
    ids_QK, scores_QK = search.without_own(ids_QK, scores_QK, task.own_Q)
  return Ranking(ids_QK[:, :k], scores_QK[:, :k])


def evaluate(
  ranking: Ranking, task: Task, names: Sequence[str], relevant: int = 1
) -> dict[str, dict[str, float]]:
  """Metric to query id to value, as `metrics.evaluate` gives them."""
  passages = task.dataset.passages
  rows = np.unique(ranking.ids_QK[ranking.ids_QK >= 0]).tolist()
  name_of = {row: passages.id(row) for row in rows}
  lines = zip(
    task.dataset.queries[task.split],
    ranking.ids_QK.tolist(),
    ranking.scores_QK.tolist(),
    strict=True,
  )
  run = {
    query.id: {
      name_of[row]: score
      for row, score in zip(ids, scores, strict=True)
      if row >= 0
    }
    for query, ids, scores in lines
  }
  return metrics.evaluate(run, task.qrels, names, relevant=relevant)


def check_labels(task: Task, names: Sequence[str], relevant: int) -> None:
  """Raises DataError where no query has anything to find for a metric."""
  scope = f"{task.dataset.name}, split {task.split}"
  if not any(task.qrels.values()):
    raise DataError(
      f"no query of {scope}, has a label to measure by; what a run has "
      "measured by answers is in its results.json"
    )
  found = metrics.evaluate({}, task.qrels, names, relevant=relevant)
  for name, by_query in found.items():
    if not by_query:
      raise DataError(
        f"no query of {scope}, has a passage that {name} counts; lower "
        f"--relevant, which is {relevant}"
      )


def write(
  ranking: Ranking, system: System, task: Task, path: pathlib.Path
) -> None:
  """Writes a ranking as a TREC run."""
  path.parent.mkdir(parents=True, exist_ok=True)
  runs.write_run(
    path,
    [query.id for query in task.dataset.queries[task.split]],
    ranking.ids_QK,
    ranking.scores_QK,
    tag=system.label,
    name_of=task.dataset.passages.id,
  )


def _trained(system: System, task: Task) -> Opening:
  """A train stage's model, with the lengths that it was trained with.

  Of a model's name it is that one with the weights that the config gives it.
  """
  workdir, name = system.stage
  try:
    run = finished.open_run(storage.open_path(workdir))
    data = as_it_is.reading(run.config.data, task.data, task.given)
    config = dataclasses.replace(run.config, data=data)
    read = dataclasses.replace(run, config=config)
    if name in config.stages:
      trained = dataclasses.replace(finished.stage_of(run, name), run=read)
      kind, opens = trained.model.kind, functools.partial(reader_of, trained)
    else:
      finished.check_has_model(run, name)
      sources.check_model(read, name, f"it is {name!r}")
      kind = read.model_config(name).kind
      opens = functools.partial(as_it_is.of_run, read, name)
  except strict.ConfigError as error:
    raise _of(system, error) from error
  if kind == "pairwise":
    raise strict.ConfigError(
      f"{system.label} reads a query with two passages, and says which is "
      "better; it gives no passage a score"
    )

  def open_model() -> Reader:
    try:
      return opens()
    except strict.ConfigError as error:
      raise _of(system, error) from error

  return open_model


def _of(system: System, error: strict.ConfigError) -> strict.ConfigError:
  """An error that names no flag, but the system that it is of."""
  said = re.sub(r"^--\w+: ", "", str(error))
  return strict.ConfigError(f"{system.spec}: {said}")


def reader_of(trained: finished.Trained) -> Reader:
  """A train stage's model, as what reads texts."""
  return Reader(
    trained.model.kind, trained.frozen(), trained.tokenizer, trained.prompts
  )


def _by_model(
  system: System, reader: Reader, task: Task, first: Ranking | None
) -> Ranking:
  if reader.kind != "dual" and first is None:
    raise strict.ConfigError(
      f"{system.label} is a model of kind {reader.kind}, which orders what "
      "another system found; name one that searches in front of it, such as "
      "bm25, or by --first"
    )
  tokens = tokens_of(reader, task)
  if reader.kind == "dual":
    return _search(system, reader, task, tokens)
  assert first is not None
  ids = first.ids_QK[:, : task.rerank_depth]
  every = np.arange(len(ids))
  queries = tokens.queries[task.split]
  pairs = int((ids >= 0).sum())
  with progress.Meter(f"{system.label}: scoring", pairs, "pairs") as meter:
    scores = rerank.score_lists(
      reader.frozen, queries, tokens.passages, every, ids, Shown(meter)
    )
  return Ranking(*rerank.in_order(ids, scores), reorders=True)


def _search(
  system: System, reader: Reader, task: Task, tokens: TokenisedDataset
) -> Ranking:
  """Exact search among vectors that lie on the disk meanwhile."""
  frozen, store = reader.frozen, tokens.queries[task.split]
  assert isinstance(frozen.model, DualEncoder)
  with tempfile.TemporaryDirectory(dir=task.folder) as made:
    folder = pathlib.Path(made)
    encode.encode_passages(
      folder / "passages",
      encode.embedder(frozen, "passage", tokens.passages),
      len(tokens.passages),
      _SHARD,
      processes=Processes(folder),
      name=system.label,
    )
    with progress.Meter(system.label, len(store), "queries") as meter:
      embed = encode.embedder(frozen, "query", store)
      query_QD = embed(0, len(store), Shown(meter))
    index = search.open_index("exact", encode.open_shards(folder / "passages"))
    try:
      return Ranking(
        *search.search_others(index, query_QD, task.depth, task.own_Q)
      )
    except ValueError as error:
      raise DataError(f"{system.label}: {error}") from error
