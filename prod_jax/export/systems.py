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

import numpy as np

from prod_jax import progress, storage, strict
from prod_jax.batches.tokens import TokenisedDataset, tokenise_dataset
from prod_jax.export import as_it_is, finished, named, rankings
from prod_jax.export.as_it_is import Reader
from prod_jax.export.named import BM25, System, is_run
from prod_jax.export.task import Task
from prod_jax.models import hub
from prod_jax.models.dual import DualEncoder
from prod_jax.processes import Processes
from prod_jax.retrieval import bm25, encode, rerank, search
from prod_jax.retrieval.forward import NonFiniteOutputs, Shown
from prod_jax.sets.records import DataError
from prod_jax.stages import sources

Opening = Callable[[], Reader]  # reads a model's weights

_SHARD = 100_000  # passages; as of an encode stage


def rank_all(
  listed: Sequence[System], task: Task, first: str
) -> dict[str, rankings.Ranking]:
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
  found: dict[str, rankings.Ranking] = {}
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
  system: System,
  task: Task,
  first: rankings.Ranking | None,
  opens: Opening | None,
) -> rankings.Ranking:
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
    found = rankings.others(
      *bm25.search(passages, texts, task.depth + 1, language), task, task.depth
    )
  elif opens is None:
    return rankings.of_run(pathlib.Path(system.spec), task)
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
  system: System, reader: Reader, task: Task, first: rankings.Ranking | None
) -> rankings.Ranking:
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
  ids = np.where(ids < len(tokens.passages), ids, -1)  # what has no text here
  every = np.arange(len(ids))
  queries = tokens.queries[task.split]
  pairs = int((ids >= 0).sum())
  with progress.Meter(f"{system.label}: scoring", pairs, "pairs") as meter:
    scores = rerank.score_lists(
      reader.frozen, queries, tokens.passages, every, ids, Shown(meter)
    )
  return rankings.Ranking(*rerank.in_order(ids, scores), reorders=True)


def _search(
  system: System, reader: Reader, task: Task, tokens: TokenisedDataset
) -> rankings.Ranking:
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
      return rankings.Ranking(
        *search.search_others(index, query_QD, task.depth, task.own_Q)
      )
    except ValueError as error:
      raise DataError(f"{system.label}: {error}") from error
