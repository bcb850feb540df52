"""Whether the data set has what the stages of a config read of it.

Looked at before the first stage runs. For what is in a split the set has to be
prepared, but not for which splits have files, and negatives.
"""

import pathlib
from collections.abc import Collection, Sequence

from prod_jax import kinds, strict
from prod_jax.config import Config
from prod_jax.sets import collection, formats, mistaken
from prod_jax.sets.dataset import Dataset, Located, no_negatives
from prod_jax.sets.records import DataError

_NAMED = 2  # stages that an error names


def check(config: Config, dataset: Dataset) -> None:
  """Finds splits and answers that are read and are not there.

  Raises:
    ConfigError: a stage reads a split that the set has not, or measures or
      compares on one without labels, or without those that it counts.
    DataError: a stage goes by answers, and queries have none.
  """
  for name, stage in config.stages.items():
    if isinstance(stage, kinds.Encode):
      _check_encoded(config, name, stage, (dataset.name, dataset.queries))
    elif isinstance(stage, kinds.Imported):
      where = f"config.stages.{name}.split"
      _check_split(config, where, stage.split, dataset)
    elif isinstance(stage, kinds.Train) and stage.steps:
      _check_split(config, f"config.stages.{name}", "train", dataset)
    elif isinstance(stage, kinds.Gate | kinds.Accept):
      _check_labels(f"config.stages.{name}", stage, dataset)
    elif isinstance(stage, kinds.Evaluate) and stage.relevance == "labels":
      _check_labels(f"config.stages.{name}", stage, dataset)
      _check_grades(f"config.stages.{name}", stage, dataset)
    if isinstance(stage, kinds.Mine | kinds.Imported):
      _check_some(f"config.stages.{name}", stage, dataset)
    if (
      isinstance(stage, kinds.Mine | kinds.Evaluate)
      and stage.relevance == "answers"
    ):
      dataset.answers(stage.split)


def no_query(
  where: str, stage: kinds.Mine | kinds.Imported, labelled: int, count: int
) -> strict.ConfigError:
  """Says that a stage has no query to make a list of.

  Args:
    where: its section.
    stage: whose split and queries these are.
    labelled: queries of the split that have labels.
    count: of all of the split.
  """
  return strict.ConfigError(
    f"{where}.queries is {stage.queries!r}, and of the {count} queries of "
    f"split {stage.split!r} {labelled} have labels; take others with "
    f"{where}.queries='{'labelled' if labelled else 'unlabelled'}', or see "
    "config.data.labelled"
  )


def _check_some(
  where: str, stage: kinds.Mine | kinds.Imported, dataset: Dataset
) -> None:
  """Raises ConfigError where a stage has no query to make a list of."""
  if isinstance(stage, kinds.Imported) and stage.candidates:
    return  # these lists say whose they are
  queries = dataset.queries.get(stage.split, ())
  labelled = sum(bool(query.positives) for query in queries)
  left = {"labelled": labelled, "unlabelled": len(queries) - labelled}
  if queries and not left.get(stage.queries, len(queries)):
    raise no_query(where, stage, labelled, len(queries))


def check_files(config: Config, located: Located) -> None:
  """Raises ConfigError for a split that has no files, and has to be encoded.

  Its builder knows the splits of a set without files of labels.
  """
  source, path = located.source, config.data.path
  if not source.labels:
    return
  bare = bool(path) and formats.has_bare_queries(pathlib.Path(path))
  known = dict.fromkeys([*(["train"] if bare else []), *source.labels])
  for name, stage in config.stages.items():
    if isinstance(stage, kinds.Encode):
      _check_encoded(config, name, stage, (source.name, known))


def check_first_lines(located: Located) -> None:
  """Reads the first passages of a set that is a user's files, in place.

  Raises:
    DataError: a line is at fault.
  """
  if located.data.name not in ("folder", "beir"):
    return  # the lines of others are known
  if isinstance(found := located.source.passages(), collection.Collection):
    collection.check_first_lines(found)


def check_negatives(config: Config, located: Located) -> None:
  """Raises DataError where a provided stage has no negatives, or no grades.

  Its files say so; the set need not be prepared.
  """
  source = located.source
  for stage in config.stages.values():
    if not isinstance(stage, kinds.Provided):
      continue
    known = {*source.negatives, *(source.judged if stage.grade_0 else ())}
    if stage.split not in known:
      raise DataError(no_negatives(source.name, stage.split, source.negatives))
    if stage.grade_0 and stage.split in source.judged:
      source.judged[stage.split]()  # says where there are no grades


def _check_labels(
  where: str,
  stage: kinds.Gate | kinds.Accept | kinds.Evaluate,
  dataset: Dataset,
) -> None:
  # A split that is not there is named where it is encoded.
  queries = dataset.queries.get(stage.split, ())
  if queries and not any(query.positives or query.missing for query in queries):
    raise strict.ConfigError(
      f"{where}.split is {stage.split!r}, and none of its {len(queries)} "
      f"queries in {dataset.name} has a label to measure by"
    )


def _check_grades(where: str, stage: kinds.Evaluate, dataset: Dataset) -> None:
  """Raises ConfigError where no grade is one that the metrics count."""
  queries = dataset.queries.get(stage.split, ())
  grades = {
    grade
    for query in queries
    for _, grade in (*query.positives, *query.missing)
  }
  graded = all(name.partition("@")[0] == "ndcg" for name in stage.metrics)
  if grades and not graded and max(grades) < stage.relevant:
    raise strict.ConfigError(
      f"{where}.relevant is {stage.relevant}, and no passage of split "
      f"{stage.split!r} of {dataset.name} has a grade above {max(grades)}; "
      "lower it"
    )


def _check_split(
  config: Config, where: str, split: str, dataset: Dataset
) -> None:
  """Raises ConfigError where the set has not the split that a stage reads."""
  if split not in dataset.queries:
    has = f"{dataset.name} has {', '.join(dataset.queries)}"
    raise _missing(config, where, split, has, "add its files")


def _check_encoded(
  config: Config,
  name: str,
  stage: kinds.Encode,
  there: tuple[str, Collection[str]],
) -> None:
  """Raises ConfigError for a split that an encode stage names and needs.

  It leaves out what is not there, which is no fault where no stage reads it.

  Args:
    config: of the run.
    name: of the stage.
    stage: what the config says of it.
    there: the name of the set, and the splits that it has.
  """
  where, (of, known) = f"config.stages.{name}.splits", there
  for split in stage.splits:
    if split in known:
      continue
    left = str(tuple(each for each in stage.splits if each != split))
    if readers := _readers(config, split):
      remedy = f"add its files, for {_some(readers)}"
    elif split in formats.SPLITS:
      continue
    else:
      remedy = f'leave it out: "--{where}={left.replace(" ", "")}"'
    has = f"{of} has {', '.join(known)}"
    raise _missing(config, where, split, has, remedy)


def _missing(
  config: Config, where: str, split: str, has: str, remedy: str
) -> strict.ConfigError:
  """Says what asks for a split, what there is, and what can be done."""
  meant = ""
  if config.data.path:
    meant = mistaken.other_name(pathlib.Path(config.data.path), split)
  return strict.ConfigError(
    f"{where} asks for {split!r}, and {has}; {remedy}{meant}"
  )


def _readers(config: Config, split: str) -> list[str]:
  """The stages that read queries of a split, or learn from them."""
  return [
    name
    for name, stage in config.stages.items()
    if getattr(stage, "split", "") == split
    or (split == "train" and _learns(stage))
  ]


def _learns(stage: kinds.Stage) -> bool:
  steps = isinstance(stage, kinds.Train) and stage.steps > 0
  return steps or isinstance(stage, kinds.Cluster)


def _some(names: Sequence[str]) -> str:
  """The first of some names, and how many more there are."""
  more = len(names) - _NAMED
  shown = ", ".join(names[:_NAMED])
  return f"{shown} and {more} more" if more > 0 else shown
