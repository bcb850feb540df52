"""python -m prod_jax.cli.lists --workdir=DIR --stage=NAME --to=FILE

The lists of a mine, provided, imported, denoise, filter or score stage, for
another trainer. What FILE ends with says the form:

  .jsonl         a line a query: query, pos, neg, their ids, and pos_scores and
                 neg_scores where there are scores
  .parquet       a row a pair: query_id, passage_id, score, rank, label
  .trec, .run    a TREC run

A score stage brings the lists that it has scored. Data and config are those
that the run has left in its working folder.
"""

import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import flags

from prod_jax import storage, strict
from prod_jax.batches.lists import Candidates, load_lists
from prod_jax.cli import arguments
from prod_jax.export import finished
from prod_jax.retrieval import runs
from prod_jax.sets.foreign import write
from prod_jax.sets.records import DataError
from prod_jax.stages.run import Run

_WORKDIR = arguments.workdir_flag()
_STAGE = flags.DEFINE_string(
  "stage", None, "The stage whose lists these are.", required=True
)
_TO = flags.DEFINE_string(
  "to", None, "File to write, .jsonl, .parquet, .trec or .run.", required=True
)
_OVERWRITE = flags.DEFINE_bool(
  "overwrite", False, "Replace a file that is there."
)
_RUNS = (".trec", ".run")
_FORMS = (".jsonl", ".parquet", *_RUNS)


def main() -> None:
  run = finished.open_run(storage.open_path(_WORKDIR.value))
  to = pathlib.Path(_TO.value)
  _check_free(to, overwrite=_OVERWRITE.value)
  count = export(run, _STAGE.value, to)
  sys.stdout.write(f"{to}\t{count}\n")


def _check_free(to: pathlib.Path, *, overwrite: bool) -> None:
  """Raises ConfigError where something stands that is not to be replaced."""
  if to.is_dir():
    raise strict.ConfigError(f"--to: {to} is a folder; it takes a file")
  if to.exists() and not overwrite:
    raise strict.ConfigError(f"--to: {to} is there; --overwrite replaces it")


def export(run: Run, name: str, to: pathlib.Path) -> int:
  """Writes the lists of a stage; returns how many lines or rows.

  Raises:
    ConfigError: there is no such stage, or it has no lists, or no such form.
    DataError: there are no scores, and the form needs them.
  """
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
  scores_QC = _scores(run, name, lists)
  if to.suffix in _RUNS:
    return _write_run(to, run, split, lists, scores_QC)
  listed = _listed(run, split, lists, scores_QC)
  if to.suffix == ".parquet":
    return write.parquet(to, listed)
  return write.json_lines(to, listed, title_join=run.dataset.title_join)


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
  return np.load(path, allow_pickle=False) if path.exists() else lists.score


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


if __name__ == "__main__":
  arguments.start_alone(main)
