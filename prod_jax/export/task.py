"""A set that systems are to rank, as a command line names it.

Its keys are those of `config.data`. A system keeps its own lengths and title
join unless these were set there.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prod_jax import config, config_file, storage, strict
from prod_jax.export import finished
from prod_jax.processes import Processes
from prod_jax.report import record
from prod_jax.sets import mistaken
from prod_jax.sets.dataset import Dataset
from prod_jax.stages.run import Run

_SECTION = "data."
_BEIR = ("corpus.jsonl", "corpus.jsonl.gz")


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
  """A set that is to be ranked.

  Attributes:
    dataset: with the queries of one split, or of all.
    split: that they are of, "" where it is all.
    data: how texts are read, where a system does not say it itself.
    given: the keys of `data` that somebody has set, which count for all.
    folder: where tokens and vectors are made.
    depth: passages that a system finds for a query.
    rerank_depth: of these, how many another one orders.
  """

  dataset: Dataset
  split: str
  data: config.Data
  given: Mapping[str, Any]
  folder: pathlib.Path
  depth: int = 100
  rerank_depth: int = 100

  @property
  def own_Q(self) -> np.ndarray | None:
    """Row of each query's own document, as of `Dataset.own_rows`."""
    return self.dataset.own_rows(self.split)

  @property
  def qrels(self) -> dict[str, dict[str, int]]:
    return self.dataset.qrels(self.split)


def open_task(
  overrides: Sequence[str],
  workdir: str,
  folder: pathlib.Path,
  *,
  split: str = "",
  depth: int = 100,
  rerank_depth: int = 100,
) -> Task:
  """Opens a set, prepared now unless it was before.

  Args:
    overrides: behind `--config.`, such as data.path=FOLDER.
    workdir: of a run whose set it is where they do not name another; "" is
      none.
    folder: for what is made.
    split, depth, rerank_depth: as of Task.

  Raises:
    ConfigError: no set is named, or it has no such split.
    DataError: it cannot be read.
  """
  own = finished.open_run(storage.open_path(workdir)) if workdir else None
  data, given = _data(overrides, own)
  folder.mkdir(parents=True, exist_ok=True)
  made = config.Config(0, data, config.Mesh(), {}, {})
  dataset = Run(made, Processes(folder)).dataset
  if split and split not in dataset.queries:
    meant = ""
    if data.path:
      meant = mistaken.other_name(pathlib.Path(data.path), split)
    raise strict.ConfigError(
      f"--split: {dataset.name} has no split {split!r}; it has "
      f"{', '.join(dataset.queries)}{meant}"
    )
  if split:
    dataset = dataclasses.replace(
      dataset, queries={split: dataset.queries[split]}
    )
  return Task(dataset, split, data, given, folder, depth, rerank_depth)


def open_finished(workdir: str) -> tuple[Dataset, record.Run]:
  """The set of a run, and what its stages left.

  Raises:
    ConfigError: there is no run, it has measured nothing, or its labels are
      others now.
  """
  run = finished.open_run(storage.open_path(workdir))
  local = run.processes.local_folder
  run.processes.fetch(local / finished.RESULTS)
  left = record.load(local)
  if not left.split:
    raise strict.ConfigError(
      f"{workdir} has measured nothing; let its evaluate stages run first"
    )
  for stage in left.stages.values():
    if stage.kind == "evaluate" and stage.ran:
      finished.check_set(run, stage.name)
      run.processes.fetch(stage.folder / "run.trec")
  return run.dataset, left


def open_prepared(workdir: str) -> Dataset:
  """The set of a run, without downloading or preparing anything.

  Raises:
    ConfigError: there is no run, or its set is not prepared.
    NotDownloaded: its set is not there.
  """
  run = finished.open_run(storage.open_path(workdir))
  located = dataclasses.replace(run, may_fetch=False).located
  if not located.prepared:
    raise strict.ConfigError(f"{workdir}: its data is no longer prepared")
  return located.open()


def _data(
  overrides: Sequence[str], own: Run | None
) -> tuple[config.Data, dict[str, Any]]:
  """The set that was named, or that of a run; and the keys that were given.

  Raises:
    ConfigError: no set is named; or a key is of another section, unknown, or of
      another type.
  """
  for word in overrides:
    if "=" not in word or not word.startswith(_SECTION):
      raise strict.ConfigError(
        f"--config.{word}: it takes keys of config.data alone, such as "
        "--config.data.path=FOLDER"
      )
  keys = {re.split("[.=]", word)[1] for word in overrides}
  names_set = bool({"name", "path"} & keys)
  raw: dict[str, Any] = {}
  if own and not names_set:
    raw = strict.plain(own.config.data)
    raw["data_dir"] = raw["data_dir"] or str(own.workdir / "data")
  for word in overrides:
    config_file.set_key({"data": raw}, word)
  data = strict.section(config.Data, raw, "config.data")
  if not (own or names_set):
    raise strict.ConfigError(
      "no set is named; set --config.data.path=FOLDER, or --config.data.name "
      "of a published one, or name the folder of a run, which has its own: is "
      "it there, with a curriculum.json in it?"
    )
  if "path" in keys and "name" not in keys:
    is_beir = any((pathlib.Path(data.path) / name).is_file() for name in _BEIR)
    data = dataclasses.replace(data, name="beir" if is_beir else "folder")
  return data, {key: getattr(data, key) for key in keys}
