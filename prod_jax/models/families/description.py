"""A family's config.json: what of it we compute, and how ours is written."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from prod_jax.models import weights
from prod_jax.models.cross import Head
from prod_jax.models.families import ALIASES, FAMILIES
from prod_jax.models.families.family import Family
from prod_jax.models.transformer_config import TransformerConfig
from prod_jax.models.weights import WEIGHTS, WeightsError

CONFIG = "config.json"
_ADAPTER = "adapter_config.json"
# Each has names of its own, and sizes become int32 in a compiled program.
_MOST_LAYERS, _MOST = 1000, 2**31 - 1
_MAY_BE_0 = ("type_vocab", "local_window")  # no table, and no neighbours


def described(path: pathlib.Path) -> dict[str, Any]:
  """What a config.json says; WeightsError where it is not one."""
  if (path.parent / _ADAPTER).is_file() and not path.is_file():
    raise WeightsError(
      f"{path.parent} holds an adapter ({_ADAPTER}) without its model; save "
      "both in one, with peft's merge_and_unload and save_pretrained"
    )
  if not path.is_file():
    raise WeightsError(
      f"{path} is not there; it takes a folder with {CONFIG} and {WEIGHTS}"
    )
  return weights.read_json(path)


def check_family(folder: pathlib.Path) -> None:
  """Raises WeightsError where an encoder is of a family that we know not.

  Whatever else is wrong with its folder, nobody needs to mend it.
  """
  _family_name(folder / CONFIG, described(folder / CONFIG))


def family_of(path: pathlib.Path, settings: Mapping[str, Any]) -> Family:
  """Whose config.json it is; WeightsError where we know no such family."""
  return FAMILIES[_family_name(path, settings)]


def _family_name(path: pathlib.Path, settings: Mapping[str, Any]) -> str:
  kind = str(settings.get("model_type", "bert"))
  name = ALIASES.get(kind, kind)
  if name not in FAMILIES:
    known = ", ".join(sorted({*FAMILIES, *ALIASES}))
    raise WeightsError(
      f"{path}: model_type is {kind!r}, a family that is not read; those that "
      f"are: {known}"
    )
  return name


def config_of(
  path: pathlib.Path, settings: Mapping[str, Any]
) -> TransformerConfig:
  """The shape in a config.json; WeightsError where we do not compute it."""
  name = _family_name(path, settings)
  family = FAMILIES[name]
  for key, known in family.supported.items():
    value = settings.get(key, known[0])
    if value not in known:
      raise WeightsError(f"{path}: {key} is {value!r}; supported: {known}")
  fields = {
    our: _value(
      path,
      settings,
      their,
      default,
      (int(our not in _MAY_BE_0), _MOST_LAYERS if our == "depth" else _MOST),
    )
    for our, (their, default) in family.fields.items()
  }
  try:
    return TransformerConfig(
      **fields | {"family": name} | family.ours(settings)
    )
  except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
    raise WeightsError(f"{path}: {error}") from error


def _value(
  path: pathlib.Path,
  settings: Mapping[str, Any],
  key: str,
  default: Any,
  ends: tuple[int, int],
) -> Any:
  """A field; WeightsError where it is of another type than its default.

  Of whole numbers those outside of `ends` are refused, of others those below 0.
  """
  value = settings.get(key, default)
  whole_number = isinstance(default, float) and type(value) is int
  if type(value) is not type(default) and not whole_number:
    kind = type(default).__name__
    raise WeightsError(f"{path}: {key} is {value!r}, not of type {kind}")
  if isinstance(default, str | bool):
    return value
  least, most = (0, math.inf) if isinstance(default, float) else ends
  if not value >= least:  # a NaN is not
    raise WeightsError(f"{path}: {key} is {value}; it takes {least} or more")
  if value > most:
    raise WeightsError(f"{path}: {key} is {value}; it takes {most} at most")
  return value


def head_of(path: pathlib.Path, settings: Mapping[str, Any]) -> Head:
  """The head of the family, for one label."""
  try:
    return family_of(path, settings).head.shape(settings)
  except (ValueError, TypeError) as error:
    raise WeightsError(f"{path}: {error}") from error


def description(config: TransformerConfig, head: Head | None) -> dict[str, Any]:
  """The config.json of an encoder, perhaps with a head.

  Raises:
    ValueError: the family's does not say what the encoder or the head is.
  """
  family = FAMILIES[config.family]
  settings: dict[str, Any] = {"model_type": config.family}
  settings |= {
    their: getattr(config, o) for o, (their, _) in family.fields.items()
  }
  settings |= {key: known[0] for key, known in family.supported.items()}
  settings |= family.written(config)
  kind = "Model"
  if head is not None and not head.is_linear:
    kind = "ForSequenceClassification"
    labels = range(head.labels)
    settings |= family.head.fields(head)
    settings["id2label"] = {str(i): f"LABEL_{i}" for i in labels}
    settings["label2id"] = {f"LABEL_{i}": i for i in labels}
    said = dataclasses.replace(family.head.shape(settings), labels=head.labels)
    if said != head:
      raise ValueError(f"a head of {config.family} is {said}, not {head}")
  settings["architectures"] = [f"{family.architecture}{kind}"]
  found = config_of(pathlib.Path(CONFIG), settings)
  # How a model is run is no business of a folder, and a task's row is in the
  # type table by now.
  asked = dataclasses.replace(
    config, remat="", chunks=1, dtype="float32", task_row=False
  )
  if found != asked:
    raise ValueError(f"an encoder of {config.family} is {found}, not {asked}")
  return settings
