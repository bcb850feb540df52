"""Whether the data set has what the stages of a config read of it.

Looked at before the first stage runs; the set has to be prepared for that.
"""

from prod_jax import kinds, strict
from prod_jax.config import Config
from prod_jax.sets.dataset import Dataset


def check(config: Config, dataset: Dataset) -> None:
  """Finds splits and answers that are read and are not there.

  Raises:
    ConfigError: a stage encodes a split that the set has not.
    DataError: a stage goes by answers, and queries have none.
  """
  for name, stage in config.stages.items():
    if isinstance(stage, kinds.Encode):
      _check_splits(f"config.stages.{name}", stage, dataset)
    elif (
      isinstance(stage, kinds.Mine | kinds.Evaluate)
      and stage.relevance == "answers"
    ):
      dataset.answers(stage.split)


def _check_splits(where: str, stage: kinds.Encode, dataset: Dataset) -> None:
  for split in stage.splits:
    if split not in dataset.queries:
      raise strict.ConfigError(
        f"{where}.splits asks for {split!r}, and {dataset.name} has "
        f"{', '.join(dataset.queries)}; add its files, or leave the split out"
      )
