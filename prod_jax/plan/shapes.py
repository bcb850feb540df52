"""A config whose weights and data are elsewhere, made to stand by itself.

With the shape that the config gives in the place of weights, and published
counts in the place of a data set, a plan needs neither.
"""

import dataclasses
from collections.abc import Mapping

from prod_jax import config, model_kinds, strict
from prod_jax.sets import sizes
from prod_jax.sets.sizes import Size
from prod_jax.stages import folders
from prod_jax.stages.run import Run


def known(planned: config.Config) -> config.Config:
  """The config, with shapes instead of weights that are not here.

  Raises:
    ConfigError: the shape is not given, or not whole.
  """
  models = {
    name: model if _here(model) else _without_weights(name, model)
    for name, model in planned.models.items()
  }
  return dataclasses.replace(planned, models=models)


def check_vocabulary(run: Run) -> None:
  """Raises ConfigError where only an absent tokenizer would know a shape."""
  for name, model in run.config.models.items():
    asked = not model.weights and not model.vocab_size
    late = model if isinstance(model, model_kinds.Late) else None
    masks = late is not None and late.mask_queries
    if asked or masks or (late and late.skip):
      key = "vocab_size" if asked else "mask_queries" if masks else "skip"
      try:
        run.tokenizer_of(name)
      except (strict.ConfigError, ModuleNotFoundError) as error:
        raise strict.ConfigError(
          f"config.models.{name}.{key}={getattr(model, key)} needs the "
          f"tokenizer, which is not here ({error}); set another {key}, or "
          f"config.models.{name}.tokenizer"
        ) from error


def size_of(
  data: config.Data,
  passages: int = 0,
  queries: int = 0,
  query_tokens: int = 0,
  passage_tokens: int = 0,
) -> Size:
  """Counts of a data set: given ones, else published ones.

  Args:
    data: of the config; its limits are applied.
    passages: of the collection, 0 where it is not given.
    queries: of each split, 0 where they are not given.
    query_tokens, passage_tokens: of a text in the mean, the same.

  Returns:
    Its `passages` is 0, and splits are missing, where nothing is known.
  """
  found = sizes.published_size(data.name) or Size(0, {})
  total = passages or found.passages
  if data.max_passages:
    total = min(total or data.max_passages, data.max_passages)
  splits: dict[str, int] = {**found.queries}
  if queries:
    splits = dict.fromkeys({*splits, "train", "dev", "test"}, queries)
  counts = _at_most(splits, data.max_queries)
  return Size(total, counts, query_tokens, passage_tokens)


def _at_most(
  splits: Mapping[str, int], limits: Mapping[str, int]
) -> dict[str, int]:
  # A limit alone is the count too: a set has more than a limit asks for.
  return {
    name: min(counts[name] for counts in (splits, limits) if name in counts)
    for name in {*splits, *limits}
  }


def _here(model: model_kinds.Model) -> bool:
  if not model.weights:
    return True
  try:
    folders.weights_folder(model)
  except strict.ConfigError:
    return False
  return True


def _without_weights(name: str, model: model_kinds.Model) -> model_kinds.Model:
  where, kept = f"config.models.{name}", len(model.layers)
  given = {key: getattr(model, key) for key in model_kinds.NEEDED}
  given["depth"] = given["depth"] or kept
  missing = [key for key, size in given.items() if not size]
  if missing:
    raise strict.ConfigError(
      f"{where}: weights {model.weights!r} are not here; to plan without them "
      f"give {', '.join(missing)} beside them"
    )
  return dataclasses.replace(model, weights="", layers=(), depth=given["depth"])
