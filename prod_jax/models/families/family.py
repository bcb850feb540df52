"""What a family of encoders calls its config's fields and its weights."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from prod_jax.models.cross import Head
from prod_jax.models.transformer_config import TransformerConfig

Settings = Mapping[str, Any]  # a config.json
# Our module and theirs, where a module is one of ours stacked on others.
Modules = Mapping[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Names:
  """What a family calls its tensors, without `.weight` and `.bias`.

  Attributes:
    outer: their module -> ours, for what stands outside of the layers. Several
      of ours lie stacked in theirs, in this order.
    layer: what stands in front of a layer's modules, with {} for its number.
    inner: as `outer`, in a layer.
    task: the tensor of `TransformerConfig.task_row`.
  """

  outer: Modules
  layer: str
  inner: Modules
  task: str = ""


@dataclasses.dataclass(frozen=True)
class HeadNames:
  """What it calls the parts of a sequence classifier's head.

  Attributes:
    shape: the head without its labels, from a config.json.
    modules: our module in the head -> theirs; ours is "" for the last layer.
    fields: what of the head its config.json says.
  """

  shape: Callable[[Settings], Head]
  modules: Mapping[str, str]
  fields: Callable[[Head], dict[str, Any]] = lambda head: {}


@dataclasses.dataclass(frozen=True)
class Family:
  """One way to write an encoder down.

  Attributes:
    architecture: what the names of its classes in transformers begin with.
    prefix: of its encoder's tensors in a model with a head.
    fields: our field -> theirs in config.json, and what transformers takes
      where it is left out.
    supported: their field -> the values that we compute; the first is taken
      where it is left out.
    names: of its tensors.
    head: of its sequence classifier.
    types: tokens say by their type which text of a pair they are of.
    ours: our fields that are no plain copy of one of theirs.
    written: the reverse.
  """

  architecture: str
  prefix: str
  fields: Mapping[str, tuple[str, Any]]
  supported: Mapping[str, tuple[Any, ...]]
  names: Names
  head: HeadNames
  types: bool = True
  ours: Callable[[Settings], dict[str, Any]] = lambda settings: {}
  written: Callable[[TransformerConfig], dict[str, Any]] = lambda config: {}
