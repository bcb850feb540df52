"""The lists of a stage, with their scores, for another trainer.

What the file ends with says the form: JSON lines or parquet of queries and
passages, or a TREC run. Data and config are those that the run has left in its
working folder.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from prod_jax import arrays, strict
from prod_jax.batches.lists import Candidates, load_lists
from prod_jax.export import finished
from prod_jax.retrieval import runs
from prod_jax.sets.foreign import write
from prod_jax.sets.records import DataError
from prod_jax.stages.run import Run

_RUNS = (".trec", ".run")
_FORMS = (".jsonl", ".parquet", *_RUNS)


def export(
  run: Run, name: str, to: pathlib.Path, *, overwrite: bool = False
) -> int:
  """Writes the lists of a stage; returns how many lines or rows.

  A score stage brings the lists that it has scored.

  Raises:
    ConfigError: there is no such stage, or it has no lists, or no such form,
      or a file that is not to be replaced.
    DataError: there are no scores, and the form needs them.
  """
  _check_free(to, overwrite=overwrite)
  if to.suffix not in _FORMS:
    raise strict.ConfigError(
      f"--to is {str(to)!r}; it ends with {', '.join(_FORMS)}"
    )
  if name not in run.config.stages:
    raise strict.ConfigError(
      f"--stage: there is no stage {name!r}; known: "
      f"{', '.join(run.config.stages)}"
    )
  lists, split = _lists(run, name)
  finished.check_set(run, name)
  scores_QC = _scores(run, name, lists)
  if to.suffix in _RUNS:
    return _write_run(to, run, split, lists, scores_QC)
  listed = _listed(run, split, lists, scores_QC)
  if to.suffix == ".parquet":
    return write.parquet(to, listed)
  return write.json_lines(to, listed, title_join=run.dataset.title_join)


def _check_free(to: pathlib.Path, *, overwrite: bool) -> None:
  """Raises ConfigError where something stands that is not to be replaced."""
  if to.is_dir():
    raise strict.ConfigError(f"--to: {to} is a folder; it takes a file")
  if to.exists() and not overwrite:
    raise strict.ConfigError(f"--to: {to} is there; --overwrite replaces it")


def _lists(run: Run, name: str) -> tuple[Candidates, str]:
  """Lists, and the split that they are for."""
  folder, stage = finished.folder_of(run, name), run.stage(name)
  if (folder / "candidates").exists():
    return load_lists(Candidates, folder / "candidates"), stage.split
  candidates = getattr(stage, "candidates", "")
  if not (folder / "scores.npy").exists() or not candidates:
    raise strict.ConfigError(
      f"--stage: {name} is of kind {stage.kind}, which leaves no lists; it "
      "takes a mine, provided, imported, denoise, filter or score stage"
    )
  return _lists(run, candidates)


def _scores(run: Run, name: str, lists: Candidates) -> np.ndarray:
  path = run.folder(name) / "scores.npy"
  return arrays.read(path) if path.exists() else lists.score


def _listed(
  run: Run, split: str, lists: Candidates, scores_QC: np.ndarray
) -> Iterator[write.List]:
  dataset = run.dataset
  queries = dataset.queries[split]
  for line, query in enumerate(lists.query.tolist()):
    items = [
      write.Item(
        dataset.passages[row],
        bool(lists.label[line, column]),
        _there(scores_QC[line, column]),
        _there(lists.rank[line, column]),
      )
      for column, row in enumerate(lists.ids[line].tolist())
      if row >= 0
    ]
    yield write.List(queries[query], items)


def _there(value: np.generic) -> Any:
  """The score or rank, None where there is none."""
  number = value.item()
  missing = number < 0 if isinstance(number, int) else np.isnan(number)
  return None if missing else number


def _write_run(
  to: pathlib.Path,
  run: Run,
  split: str,
  lists: Candidates,
  scores_QC: np.ndarray,
) -> int:
  there_QC = (lists.ids >= 0) & ~np.isnan(scores_QC)
  if not there_QC.any():
    raise DataError(
      f"{to}: the lists have no scores, by which a run is ordered"
    )
  key_QC = np.where(there_QC, -scores_QC, np.inf)
  order_QC = np.argsort(key_QC, axis=1, kind="stable")
  ids_QC = np.where(there_QC, lists.ids, -1)
  queries = run.dataset.queries[split]
  runs.write_run(
    to,
    [queries[row].id for row in lists.query],
    np.take_along_axis(ids_QC, order_QC, axis=1),
    np.take_along_axis(np.array(scores_QC), order_QC, axis=1),
    tag=run.dataset.name,
    name_of=run.dataset.passages.id,
  )
  return int(there_QC.sum())
